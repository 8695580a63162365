package winevent

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// Normaliser turns records into telemetry events. The zero value is one for
// live records of the own host. It holds no state: the same record gives the
// same event, and one Normaliser serves any number of goroutines if its
// Processes does.
type Normaliser struct {
	// Subject is whose records these are; unset means the own host's.
	Subject telemetryv1.SubjectKind
	// Mode is how they were read; unset means live.
	Mode telemetryv1.Mode
	// Drives replaces prefixes of NT device paths by drive letters. A path
	// that none of them begins is kept as it is.
	Drives []Drive
	// Processes resolves process ids to identities, where there is a table of
	// them. nil leaves every identity unresolved.
	Processes ProcessTable
}

// Drive says that Device (\Device\HarddiskVolume3) is mounted as Letter (C:).
type Drive struct {
	Device string
	Letter string
}

// ProcessTable knows the processes of the host.
type ProcessTable interface {
	// Resolve returns the process_uid of the process that had pid at a time,
	// and identity "exact" or "matched"; "" where it knows none.
	Resolve(pid uint32, at time.Time) (uid, identity string)
}

// Normalise returns the event that r is. Every record becomes exactly one:
// what no mapping knows, or what lacks the fields that its mapping needs, is a
// LogRecord. The record itself is always in raw, in full but for secrets of
// this product. r is not changed, and nothing of it is shared.
func (n *Normaliser) Normalise(r *Record) *telemetryv1.Event {
	r = redacted(r)
	ev := &telemetryv1.Event{
		Subject:  n.subject(r),
		Source:   n.source(r),
		Mode:     n.Mode,
		Position: &telemetryv1.Position{Channel: valid(r.Channel), RecordId: r.RecordID},
		Raw:      RawOf(r),
	}
	if ev.Mode == telemetryv1.Mode_MODE_UNSPECIFIED {
		ev.Mode = telemetryv1.Mode_MODE_LIVE
	}
	ev.Grade = telemetry.GradeOf(ev.Source, r.Provider, r.EventID, r.Version)
	if !r.Time.IsZero() {
		ev.ObservedAt = evidence.Ticks(r.Time)
	}
	m := &mapper{normaliser: n, record: r, fields: r.Fields(), event: ev}
	m.event.RuleName = m.ruleName()
	if mapping := mappings()[mappingKey{strings.ToLower(r.Provider), r.EventID}]; mapping != nil {
		mapping(m)
	}
	if ev.Body == nil {
		ev.Body = &telemetryv1.Event_LogRecord{LogRecord: m.logRecord()}
	}
	m.identify()
	return ev
}

func (n *Normaliser) subject(r *Record) *telemetryv1.Subject {
	s := &telemetryv1.Subject{Kind: n.Subject}
	switch n.Subject {
	case telemetryv1.SubjectKind_SUBJECT_KIND_UNSPECIFIED, telemetryv1.SubjectKind_SUBJECT_KIND_SELF:
		s.Kind = telemetryv1.SubjectKind_SUBJECT_KIND_SELF
	default:
		s.Host = valid(r.Computer)
	}
	return s
}

func (n *Normaliser) source(r *Record) telemetryv1.Source {
	if n.Subject == telemetryv1.SubjectKind_SUBJECT_KIND_FORWARDED {
		return telemetryv1.Source_SOURCE_FORWARDED
	}
	return telemetry.SourceOf(r.Provider)
}

// mapping fills the event's body from the record. It leaves the body unset
// where the record does not have what the table is about.
type mapping func(*mapper)

type mappingKey struct {
	provider string // lower case: forwarded and exported logs differ in case
	eventID  uint32
}

// row is one entry of a mapping table: the events of one provider that one
// mapping serves.
type row struct {
	provider string
	eventIDs []uint32
	mapping  mapping
}

var mappings = sync.OnceValue(func() map[mappingKey]mapping {
	all := map[mappingKey]mapping{}
	for _, rows := range [][]row{
		processRows(), fileRows(), registryRows(), wmiRows(), networkRows(), firewallRows(), mediaRows(),
		defenderRows(), sysmonServiceRows(), logRows(), powerRows(), auditPolicyRows(), clockRows(),
		logonRows(), accountRows(), groupRows(), serviceRows(), taskRows(), scriptRows(), shareRows(),
	} {
		for _, r := range rows {
			for _, id := range r.eventIDs {
				key := mappingKey{strings.ToLower(r.provider), id}
				if all[key] != nil {
					panic(fmt.Sprintf("winevent: two mappings for %s %d", r.provider, id))
				}
				all[key] = r.mapping
			}
		}
	}
	return all
})

// Providers, as records name them.
const (
	providerSecurity   = "Microsoft-Windows-Security-Auditing"
	providerEventlog   = "Microsoft-Windows-Eventlog"
	providerClassicLog = "EventLog"
	providerSCM        = "Service Control Manager"
	providerFirewall   = "Microsoft-Windows-Windows Firewall With Advanced Security"
)

// maxRendered bounds LogRecord.fields.
const maxRendered = 8 << 10

// logRecord renders what no table is for.
func (m *mapper) logRecord() *telemetryv1.LogRecord {
	r := m.record
	rec := &telemetryv1.LogRecord{
		Level:    proto.Uint32(uint32(r.Level)),
		Task:     proto.Uint32(uint32(r.Task)),
		Opcode:   proto.Uint32(uint32(r.Opcode)),
		Keywords: fmt.Sprintf("0x%x", r.Keywords),
		UserSid:  valid(r.UserSID),
	}
	var b strings.Builder
	for _, f := range m.fields {
		line := len(f.Name) + 1 + len(f.Value) + 1
		if b.Len()+line > maxRendered {
			rec.Cut = proto.Bool(true)
			if room := maxRendered - b.Len() - len(f.Name) - 2; room > 0 {
				b.WriteString(f.Name + "=" + cutText(f.Value, room))
			}
			break
		}
		b.WriteString(f.Name + "=" + f.Value + "\n")
	}
	rec.Fields = valid(strings.TrimSuffix(b.String(), "\n"))
	return rec
}

// cutText is the beginning of s, at most n bytes, between characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ruleName is the name of the Sysmon rule that kept the event.
func (m *mapper) ruleName() string {
	if m.record.Provider != telemetry.SysmonProvider {
		return ""
	}
	return m.text("RuleName")
}
