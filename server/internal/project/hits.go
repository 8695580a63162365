package project

import (
	"fmt"
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/rule"
)

// Selector is a selector of a check, as a Sigma rule document.
type Selector struct {
	Check string
	Name  string
	YAML  []byte
	// Keep lists the raw fields that hits carry on.
	Keep []string
}

// Bounds on what a hit keeps of an event, which an attacker may have written.
const (
	maxKeptValue = 1024 // bytes
	maxKept      = 32
)

// Hits projects the events that selectors of checks match.
type Hits struct {
	set       *rule.Set
	selectors map[string]Selector // by the source name that the rule was compiled from
}

// NewHits compiles the selectors. A selector that does not compile is an error:
// a check without it would pass in silence.
func NewHits(selectors []Selector) (*Hits, error) {
	h := &Hits{selectors: make(map[string]Selector, len(selectors))}
	sources := make([]rule.Source, len(selectors))
	for i, s := range selectors {
		name := s.Check + "/" + s.Name
		h.selectors[name] = s
		sources[i] = rule.Source{Name: name, Data: s.YAML}
	}
	set, problems := rule.Compile(sources, rule.Config{})
	if len(problems) > 0 {
		return nil, fmt.Errorf("compiling selectors: %v", problems)
	}
	h.set = set
	return h, nil
}

// Digest is over all selectors, for the run record.
func (h *Hits) Digest() [32]byte { return h.set.Digest() }

// Lane returns the projection for one lane: it holds scratch space of its own.
func (h *Hits) Lane() Projection { return &laneHits{hits: h, scratch: new(rule.Scratch)} }

type laneHits struct {
	hits    *Hits
	scratch *rule.Scratch
	event   rawEvent // the one that is being matched
}

// Project implements Projection.
func (l *laneHits) Project(b *Batch, step *Step) {
	for i := range b.Events {
		ev := &b.Events[i]
		if !ev.View.HasRaw {
			continue
		}
		l.event.RawView = &ev.View.Raw
		for _, match := range l.hits.set.Match(&l.event, l.scratch) {
			selector, ok := l.hits.selectors[match.Rule.Source]
			if !ok {
				continue
			}
			step.delta.Hits = append(step.delta.Hits, hitOf(ev, selector))
		}
	}
}

func hitOf(ev *Event, selector Selector) assay.Hit {
	v := ev.View
	return assay.Hit{
		Host: ev.Host, Check: selector.Check, Selector: selector.Name, Ref: ev.Ref,
		ObservedAt: v.Time(), ReceivedAt: ev.ReceivedAt, BookedAt: ev.BookedAt, ClockFault: ev.ClockFault,
		Mode: ev.Mode, Grade: gradeOf(v.Grade), Source: telemetry.SourceName(v.Source),
		Channel: clean(v.Raw.Channel), Provider: clean(v.Raw.Provider), EventID: v.Raw.EventID, RecordID: v.Raw.Number(rawRecordID),
		Fields: kept(&rawEvent{&v.Raw}, selector.Keep),
	}
}

func gradeOf(grade telemetryv1.Grade) assay.Grade {
	return assay.Grade(grade) // the numbers of both are A = 1 to D = 4
}

// kept picks fields by name; a name with spaces also answers without them.
func kept(ev *rawEvent, keep []string) map[string]string {
	fields := make(map[string]string, len(keep))
	ev.Fields(func(name, value string) bool {
		for _, want := range keep {
			if name != want && strings.ReplaceAll(name, " ", "") != want {
				continue
			}
			if _, have := fields[want]; !have {
				if len(value) > maxKeptValue {
					value = value[:maxKeptValue]
				}
				fields[want] = telemetry.Text(value)
			}
		}
		return len(fields) < maxKept
	})
	return fields
}

// rawEvent shows a Windows event to the rule engine.
type rawEvent struct{ *telemetry.RawView }

func (e *rawEvent) Provider() string { return e.RawView.Provider }
func (e *rawEvent) Channel() string  { return e.RawView.Channel }
func (e *rawEvent) EventID() uint32  { return e.RawView.EventID }

// Numbers of the fields of telemetry.v1.Raw.
const (
	rawProviderGUID      = 2
	rawEventSourceName   = 3
	rawQualifiers        = 5
	rawVersion           = 6
	rawLevel             = 7
	rawTask              = 8
	rawOpcode            = 9
	rawUserSID           = 13
	rawActivityID        = 14
	rawRelatedActivityID = 15
	rawProcessID         = 16
	rawThreadID          = 17
	rawRecordID          = 18
)

// SystemField answers for the System element under the names that Sigma gives it.
func (e *rawEvent) SystemField(name string) (string, bool) {
	switch name {
	case "Computer":
		return e.Computer, true
	case "Channel":
		return e.RawView.Channel, true
	case "Provider_Name":
		return e.RawView.Provider, true
	case "Provider_Guid":
		return present(e.Text(rawProviderGUID))
	case "Provider_EventSourceName":
		return present(e.Text(rawEventSourceName))
	case "Security_UserID":
		return present(e.Text(rawUserSID))
	case "Correlation_ActivityID":
		return present(e.Text(rawActivityID))
	case "Correlation_RelatedActivityID":
		return present(e.Text(rawRelatedActivityID))
	case "Keywords":
		return fmt.Sprintf("0x%x", e.Keywords), true
	case "EventID":
		return fmt.Sprint(e.RawView.EventID), true
	}
	if field, ok := systemNumbers[name]; ok {
		return fmt.Sprint(e.Number(field)), true
	}
	return "", false
}

// systemNumbers are the other numbers of the System element.
var systemNumbers = map[string]uint64{
	"Qualifiers": rawQualifiers, "EventID_Qualifiers": rawQualifiers, "Version": rawVersion, "Level": rawLevel, "Task": rawTask, "Opcode": rawOpcode,
	"EventRecordID": rawRecordID, "Execution_ProcessID": rawProcessID, "Execution_ThreadID": rawThreadID,
}

func present(value string) (string, bool) { return value, value != "" }
