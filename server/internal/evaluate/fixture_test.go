package evaluate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/rule"
)

// fixtureKinds are the situations that every check must have an answer to.
var fixtureKinds = []string{"ok", "violation", "lookalike", "explained", "stale", "no_data", "clock", "recovered", "imported"}

const fixtureRoot = "../framework/testdata"

// fixture is one situation of one check. Times are relative to the instant.
type fixture struct {
	Synthetic bool   `yaml:"synthetic"`
	About     string `yaml:"about"`
	Host      struct {
		Imported   bool          `yaml:"imported"`
		ExpectedOn bool          `yaml:"expected_on"`
		FirstSeen  time.Duration `yaml:"first_seen"`
		Unseen     bool          `yaml:"unseen"`
	} `yaml:"host"`
	Watermark  time.Duration         `yaml:"watermark"`
	Parameters map[string]string     `yaml:"parameters"`
	Lists      map[string][]string   `yaml:"lists"`
	Changes    []fixtureSpan         `yaml:"change_windows"`
	Coverage   []fixtureCoverage     `yaml:"coverage"`
	Events     []fixtureEvent        `yaml:"events"`
	Metrics    []fixtureMetric       `yaml:"metrics"`
	Verified   []fixtureVerification `yaml:"verifications"`
	Reviews    []struct {
		At time.Duration `yaml:"at"`
	} `yaml:"reviews"`
	Openings []fixtureOpening `yaml:"openings"`
	NoRules  bool             `yaml:"no_rules"`
	Want     struct {
		State    string   `yaml:"state"`
		Reason   string   `yaml:"reason"`
		Findings []string `yaml:"findings"`
		Grade    string   `yaml:"grade"`
	} `yaml:"want"`
}

type fixtureSpan struct {
	From time.Duration `yaml:"from"`
	To   time.Duration `yaml:"to"`
}

type fixtureCoverage struct {
	Source       string        `yaml:"source"`
	Channel      string        `yaml:"channel"`
	Capabilities []string      `yaml:"capabilities"`
	From         time.Duration `yaml:"from"`
	To           time.Duration `yaml:"to"`
	State        string        `yaml:"state"`
	Mode         string        `yaml:"mode"`
	Grade        string        `yaml:"grade"`
	Reason       string        `yaml:"reason"`
}

type fixtureEvent struct {
	At       time.Duration     `yaml:"at"`
	Channel  string            `yaml:"channel"`
	Provider string            `yaml:"provider"`
	ID       uint32            `yaml:"id"`
	Record   uint64            `yaml:"record"`
	Data     map[string]string `yaml:"data"`
	Mode     string            `yaml:"mode"`
	Clock    bool              `yaml:"clock_fault"`
	// Hits is how many selectors of the check must match; -1 (unset): at least one.
	Unmatched bool `yaml:"unmatched"`
}

type fixtureMetric struct {
	Name  string `yaml:"name"`
	Key   string `yaml:"key"`
	Day   int    `yaml:"day"` // 0: the day that closes at the instant
	Good  uint64 `yaml:"good"`
	Total uint64 `yaml:"total"`
}

type fixtureVerification struct {
	At   time.Duration `yaml:"at"`
	Good bool          `yaml:"good"`
}

// fixtureOpening is an opening of an alert. Times that are zero are not there.
type fixtureOpening struct {
	Title          string        `yaml:"title"`
	Level          string        `yaml:"level"`
	Failure        bool          `yaml:"failure"`
	At             time.Duration `yaml:"at"`
	AcknowledgeDue time.Duration `yaml:"acknowledge_due"`
	CloseDue       time.Duration `yaml:"close_due"`
	Acknowledged   time.Duration `yaml:"acknowledged"`
	Closed         time.Duration `yaml:"closed"`
}

func (o *fixtureOpening) opening(i int) Opening {
	at := func(d time.Duration) time.Time {
		if d == 0 {
			return time.Time{}
		}
		return fixtureInstant.Add(d)
	}
	level, _ := assay.ParseLevel(o.Level)
	return Opening{
		Alert: assay.AlertID{byte(i + 1)}, Failure: o.Failure, Title: o.Title, Level: level, At: at(o.At), Position: uint64(i),
		AcknowledgeDue: at(o.AcknowledgeDue), CloseDue: at(o.CloseDue), Acknowledged: Deed{At: at(o.Acknowledged)}, Closed: Deed{At: at(o.Closed)},
	}
}

// fixtureInstant is the close of a UTC day, so that a bucket is judged.
var fixtureInstant = time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)

func readFixtures(t *testing.T, path string) []fixture {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var list []fixture
	for {
		var f fixture
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if !f.Synthetic || f.About == "" {
			t.Errorf("%s: a fixture says that it is synthetic and what it is about", path)
		}
		list = append(list, f)
	}
	return list
}

// selectors compiles the shipped selectors as the projector does.
func selectors(t *testing.T, library *framework.Library) (*rule.Set, map[string]framework.SigmaSelector) {
	t.Helper()
	var sources []rule.Source
	byName := map[string]framework.SigmaSelector{}
	for _, s := range library.Selectors() {
		sources = append(sources, rule.Source{Name: s.Name(), Data: s.SigmaYAML})
		byName[s.Name()] = s
	}
	set, problems := rule.Compile(sources, rule.Config{})
	for _, p := range problems {
		t.Errorf("selector: %s", p)
	}
	return set, byName
}

// hits feeds the events of a fixture through the real selectors.
func (f *fixture) hits(t *testing.T, check string, set *rule.Set, byName map[string]framework.SigmaSelector) []assay.Hit {
	t.Helper()
	scratch := &rule.Scratch{}
	var hits []assay.Hit
	for i, e := range f.Events {
		event := rule.FieldsEvent{ProviderName: e.Provider, ChannelName: e.Channel, ID: e.ID}
		for _, name := range slices.Sorted(maps.Keys(e.Data)) {
			event.Data = append(event.Data, rule.Field{Name: name, Value: e.Data[name]})
		}
		found := 0
		for _, match := range set.Match(&event, scratch) {
			selector, ok := byName[match.Rule.Name]
			if !ok {
				t.Fatalf("rule %q is no selector", match.Rule.Name)
			}
			if selector.Check == check {
				found++
			}
			fields := map[string]string{}
			for _, name := range selector.Keep {
				if value, ok := e.Data[name]; ok {
					fields[name] = value
				}
			}
			at := fixtureInstant.Add(e.At)
			mode := assay.Mode(e.Mode)
			if mode == "" {
				mode = assay.Live
			}
			hits = append(hits, assay.Hit{
				Host: assay.HostID{1}, Check: selector.Check, Selector: selector.Selector,
				Ref:        assay.EventRef{Position: uint64(100 + i), Ordinal: uint32(i)},
				ObservedAt: at, ReceivedAt: at, BookedAt: at, ClockFault: e.Clock, Mode: mode, Grade: assay.GradeC,
				Source: "event_log", Channel: e.Channel, Provider: e.Provider, EventID: e.ID, RecordID: e.Record, Fields: fields,
			})
		}
		if (found == 0) != e.Unmatched {
			t.Errorf("event %d (%s %d): %d selectors of %s match, unmatched is %v", i, e.Channel, e.ID, found, check, e.Unmatched)
		}
	}
	return hits
}

var gradeNames = map[string]assay.Grade{"": assay.GradeC, "A": assay.GradeA, "B": assay.GradeB, "C": assay.GradeC, "D": assay.GradeD}

func (f *fixture) inputs(t *testing.T, check string, library *framework.Library, set *rule.Set, byName map[string]framework.SigmaSelector) Inputs {
	t.Helper()
	at := func(d time.Duration) time.Time { return fixtureInstant.Add(d) }
	in := Inputs{
		Library: library, Hits: f.hits(t, check, set, byName), Watermark: at(f.Watermark),
		Host:        Host{ID: assay.HostID{1}, Imported: f.Host.Imported, ExpectedOn: f.Host.ExpectedOn, FirstSeen: at(-240 * time.Hour)},
		LedgerSince: at(-240 * time.Hour), Lists: map[string]List{}, Parameters: map[string]map[string]string{check: f.Parameters},
	}
	if f.Host.FirstSeen != 0 {
		in.Host.FirstSeen = at(f.Host.FirstSeen)
	}
	if f.Host.Unseen {
		in.Host.FirstSeen = time.Time{}
	}
	for name, values := range f.Lists {
		list := List{Owner: "owner", ValidFrom: at(-100 * time.Hour)}
		for _, v := range values {
			list.Entries = append(list.Entries, ListEntry{Value: v})
		}
		in.Lists[name] = list
	}
	for _, w := range f.Changes {
		in.ChangeWindows = append(in.ChangeWindows, ChangeWindow{From: at(w.From), To: at(w.To), Approver: "approver", Reason: "change"})
	}
	for i, c := range f.Coverage {
		r := assay.CoverageRange{
			Host: in.Host.ID, Source: c.Source, Channel: c.Channel, State: assay.CoverageState(c.State), Mode: assay.Mode(c.Mode),
			Grade: gradeNames[c.Grade], From: at(c.From), To: at(c.To), Reason: c.Reason,
			Since: assay.EventRef{Position: uint64(2 * i)}, Until: assay.EventRef{Position: uint64(2*i + 1)},
		}
		if r.State == "" {
			r.State = assay.Covered
		}
		if r.Mode == "" {
			r.Mode = assay.Live
		}
		for _, capability := range c.Capabilities {
			r.Capability = capability
			in.Coverage = append(in.Coverage, r)
		}
	}
	for _, m := range f.Metrics {
		in.Metrics = append(in.Metrics, assay.Metric{Host: in.Host.ID, Name: m.Name, Key: m.Key, Day: at(-Window).AddDate(0, 0, m.Day), Good: m.Good, Total: m.Total})
	}
	for i, v := range f.Verified {
		in.Verifications = append(in.Verifications, Verification{At: at(v.At), Good: v.Good, Position: uint64(i), Detail: "payload of batch 7"})
	}
	for i, v := range f.Reviews {
		in.Reviews = append(in.Reviews, Review{At: at(v.At), Position: uint64(i)})
	}
	for i := range f.Openings {
		in.Openings = append(in.Openings, f.Openings[i].opening(i))
	}
	if !f.NoRules {
		in.RulesOn = []RulesOn{{At: at(-1000 * time.Hour), Rules: 30}}
	}
	return in
}

// TestFixtures runs every check through every kind of situation.
func TestFixtures(t *testing.T) {
	t.Parallel()
	library, err := framework.Load()
	if err != nil {
		t.Fatal(err)
	}
	set, byName := selectors(t, library)
	for _, check := range library.Checks() {
		cannot := map[string]string{}
		if data, err := os.ReadFile(filepath.Join(fixtureRoot, check.ID, "cannot.yaml")); err == nil {
			if err := yaml.Unmarshal(data, &cannot); err != nil {
				t.Fatal(err)
			}
		}
		for _, kind := range fixtureKinds {
			t.Run(check.ID+"/"+kind, func(t *testing.T) {
				path := filepath.Join(fixtureRoot, check.ID, kind+".yaml")
				if reason, stated := cannot[kind]; stated {
					if len(reason) < 20 {
						t.Errorf("cannot.yaml gives no reason for %s", kind)
					}
					if _, err := os.Stat(path); err == nil {
						t.Errorf("%s exists though cannot.yaml says that it cannot", path)
					}
					return
				}
				for i, f := range readFixtures(t, path) {
					f.judge(t, i, check.ID, library, set, byName)
				}
			})
		}
	}
}

func (f *fixture) judge(t *testing.T, i int, check string, library *framework.Library, set *rule.Set, byName map[string]framework.SigmaSelector) {
	t.Helper()
	result := Evaluate(f.inputs(t, check, library, set, byName), 1000, fixtureInstant)
	for _, v := range result.Verdicts {
		if v.Check != check {
			continue
		}
		if v.State.String() != f.Want.State || string(v.Reason) != f.Want.Reason || f.Want.Grade != "" && v.Grade.String() != f.Want.Grade {
			t.Errorf("%d: %s\ngot  %s %s %s: %s\nwant %s %s %s", i, f.About, v.State, v.Reason, v.Grade, v.Detail, f.Want.State, f.Want.Reason, f.Want.Grade)
		}
	}
	var titles []string
	for _, finding := range result.Findings {
		if finding.Check == check {
			titles = append(titles, finding.Title)
		}
	}
	if !slices.Equal(titles, f.Want.Findings) {
		t.Errorf("%d: %s\nfindings %s\nwant     %s", i, f.About, list(titles), list(f.Want.Findings))
	}
}

func list(titles []string) string { return fmt.Sprintf("[%s]", strings.Join(titles, " · ")) }
