package assay

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"
)

// Level is how much a detection matters. Levels compare; the zero value is that
// of rules that state none.
type Level uint8

// The levels, rising.
const (
	NoLevel Level = iota
	Informational
	Low
	Medium
	High
	Critical
)

var levelNames = [...]string{NoLevel: "", Informational: "informational", Low: "low", Medium: "medium", High: "high", Critical: "critical"}

func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return ""
}

// ParseLevel reads what String prints; empty is NoLevel.
func ParseLevel(text string) (Level, error) {
	if i := slices.Index(levelNames[:], text); i >= 0 {
		return Level(i), nil
	}
	return NoLevel, Errorf(Invalid, "%q is no level: use informational, low, medium, high or critical", text)
}

// Kinds of document in a rule pack.
const (
	KindRule        = "rule"
	KindCorrelation = "correlation"
	KindFilter      = "filter"
)

// Bounds on a rule pack.
const (
	MaxPackFiles   = 20_000
	MaxPackBytes   = 64 << 20 // of all files
	MaxPackArchive = 16 << 20 // compressed
	MaxPackName    = 64
)

// BuiltinPack is the name of the pack that comes with the server.
const BuiltinPack = "assay"

// ChecksPack stands in the alerts of findings where a rule's pack would; no
// pack may have its name.
const ChecksPack = "checks"

// RulePack is one version of a pack, as it was imported.
type RulePack struct {
	Name    string
	Version string
	// Digest is over the names and contents of all files.
	Digest     [32]byte
	Builtin    bool
	ImportedBy string
	ImportedAt time.Time
	Position   uint64

	Files    []PackFile
	Rules    []Rule
	Problems []RuleProblem
}

// PackFile is a file of a pack.
type PackFile struct {
	Path string
	Data []byte
}

// RuleProblem says why a document of a pack was refused.
type RuleProblem struct {
	Path   string
	Line   int
	Rule   string // id or title, where it could be read
	Reason string
}

// RuleID names a rule: its pack and its id there.
type RuleID struct{ Pack, ID string }

// Rule is a document of a pack version that can be turned on.
type Rule struct {
	Pack, Version  string
	ID             string
	Kind           string
	Title          string
	Level          Level
	Status         string
	Logsource      string
	Description    string
	Author         string
	License        string
	Tags           []string
	References     []string
	FalsePositives []string
	// Related are the ids of the rules that a correlation refers to.
	Related []string
	// AlertBy are the fields that tell its alerts apart, beside the host.
	AlertBy      []string
	Digest       [32]byte
	Path         string
	Line         int
	Begins, Ends int // of its document in the file, in bytes
}

// Count counts the documents of a kind.
func (p *RulePack) Count(kind string) (n int) {
	for i := range p.Rules {
		if p.Rules[i].Kind == kind {
			n++
		}
	}
	return n
}

// PackDigest is SHA-256 over the files, whatever their order.
func PackDigest(files []PackFile) [32]byte {
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b PackFile) int { return strings.Compare(a.Path, b.Path) })
	h := sha256.New()
	h.Write([]byte("assay/rule-pack/v1\x00"))
	for _, f := range sorted {
		sum := sha256.Sum256(f.Data)
		h.Write([]byte(f.Path + "\x00"))
		h.Write(sum[:])
	}
	return [32]byte(h.Sum(nil))
}

// RuleSet is what events are matched against from a ledger position on.
type RuleSet struct {
	Position     uint64
	Digest       [32]byte
	Rules        int // of all kinds but correlations
	Correlations int
	ChangedAt    time.Time
}

// SetDigest is SHA-256 over the rules that are on.
func SetDigest(rules []Rule) [32]byte {
	lines := make([]string, len(rules))
	for i := range rules {
		r := &rules[i]
		lines[i] = r.Pack + "\x00" + r.Version + "\x00" + r.ID + "\x00" + string(r.Digest[:])
	}
	slices.Sort(lines)
	h := sha256.New()
	h.Write([]byte("assay/rules-in-force/v1\x00"))
	for _, line := range lines {
		h.Write([]byte(line))
	}
	return [32]byte(h.Sum(nil))
}

// CheckPackName is Invalid for what cannot name a pack or a version.
func CheckPackName(what, name string) error {
	ok := name != "" && len(name) <= MaxPackName && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._+-", c)
	})
	if !ok {
		return Errorf(Invalid, "%s %q: use 1 to %d letters, digits and . _ + -", what, name, MaxPackName)
	}
	return nil
}

// BackfillID names a backfill.
type BackfillID [16]byte

func (id BackfillID) String() string { return formatID(id) }

// ParseBackfillID reads a UUID.
func ParseBackfillID(text string) (BackfillID, error) {
	id, err := parseID(text)
	return BackfillID(id), err
}

// RuleBackfill is a run of rules over what was received before they were on.
type RuleBackfill struct {
	ID            BackfillID
	Pack, Version string
	Rules         []string
	Since         time.Time
	From, To      uint64 // ledger positions, To excluded
	Position      uint64 // next to read
	State         string // "running", "done", "cancelled" or "failed"
	Detections    uint64
	Error         string
	By, Reason    string
	StartedAt     time.Time
	FinishedAt    time.Time
}

// Detection is one match of one rule by one event, or by several of which this
// is the last.
type Detection struct {
	Host        HostID
	Rule        RuleID
	Version     string
	SetPosition uint64
	Ref         EventRef
	Level       Level
	ObservedAt  time.Time
	ReceivedAt  time.Time
	BookedAt    time.Time
	ClockFault  bool
	Grade       Grade
	Source      string
	Channel     string
	EventID     uint32
	ProcessUID  string
	Matched     []MatchedValue
	Key         []NamedText // of the fields that tell alerts apart
	Group       []NamedText // a correlation's group
	Members     []EventRef
	MemberCount int
}

// MatchedValue is a field value that satisfied a part of a rule.
type MatchedValue struct{ Selection, Field, Value string }

// NamedText is a named value.
type NamedText struct{ Name, Value string }

// Bounds on a detection.
const (
	MaxMatched      = 32
	MaxMatchedValue = 512
	MaxAlertBy      = 8
	MaxMembers      = 64
)
