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
}

// Project implements Projection.
func (l *laneHits) Project(b *Batch, step *Step) {
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Body.GetRaw() == nil {
			continue
		}
		for _, match := range l.hits.set.Match(rawEvent{ev.Body.GetRaw()}, l.scratch) {
			selector, ok := l.hits.selectors[match.Rule.Source]
			if !ok {
				continue
			}
			step.delta.Hits = append(step.delta.Hits, hitOf(ev, selector))
		}
	}
}

func hitOf(ev *Event, selector Selector) assay.Hit {
	raw := ev.Body.GetRaw()
	return assay.Hit{
		Host: ev.Host, Check: selector.Check, Selector: selector.Name, Ref: ev.Ref,
		ObservedAt: telemetry.ObservedAt(ev.Body), ReceivedAt: ev.ReceivedAt, BookedAt: ev.BookedAt, ClockFault: ev.ClockFault,
		Mode: ev.Mode, Grade: gradeOf(ev.Body.GetGrade()), Source: telemetry.SourceName(ev.Body.GetSource()),
		Channel: clean(raw.GetChannel()), Provider: clean(raw.GetProvider()), EventID: raw.GetEventId(), RecordID: raw.GetRecordId(),
		Fields: kept(rawEvent{raw}, selector.Keep),
	}
}

func gradeOf(grade telemetryv1.Grade) assay.Grade {
	return assay.Grade(grade) // the numbers of both are A = 1 to D = 4
}

// kept picks fields by name; a name with spaces also answers without them.
func kept(ev rawEvent, keep []string) map[string]string {
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
type rawEvent struct{ raw *telemetryv1.Raw }

func (e rawEvent) Provider() string { return e.raw.GetProvider() }
func (e rawEvent) Channel() string  { return e.raw.GetChannel() }
func (e rawEvent) EventID() uint32  { return e.raw.GetEventId() }

// Fields yields EventData in order, then the leaves of UserData.
func (e rawEvent) Fields(yield func(name, value string) bool) {
	for _, f := range e.raw.GetData() {
		if !yield(f.GetName(), f.GetValue()) {
			return
		}
	}
	if e.raw.GetUserData() != nil {
		yieldLeaves(e.raw.GetUserData(), yield)
	}
}

func yieldLeaves(element *telemetryv1.Element, yield func(name, value string) bool) bool {
	for _, a := range element.GetAttributes() {
		if !yield(a.GetName(), a.GetValue()) {
			return false
		}
	}
	if len(element.GetChildren()) == 0 {
		return yield(element.GetName(), element.GetText())
	}
	for _, child := range element.GetChildren() {
		if !yieldLeaves(child, yield) {
			return false
		}
	}
	return true
}

// SystemField answers for the System element under the names that Sigma gives it.
func (e rawEvent) SystemField(name string) (string, bool) {
	switch name {
	case "Computer":
		return e.raw.GetComputer(), true
	case "Channel":
		return e.raw.GetChannel(), true
	case "Provider_Name":
		return e.raw.GetProvider(), true
	case "Provider_Guid":
		return present(e.raw.GetProviderGuid())
	case "Provider_EventSourceName":
		return present(e.raw.GetEventSourceName())
	case "Security_UserID":
		return present(e.raw.GetUserSid())
	case "Correlation_ActivityID":
		return present(e.raw.GetActivityId())
	case "Correlation_RelatedActivityID":
		return present(e.raw.GetRelatedActivityId())
	case "Keywords":
		return fmt.Sprintf("0x%x", e.raw.GetKeywords()), true
	}
	if number, ok := e.systemNumber(name); ok {
		return fmt.Sprint(number), true
	}
	return "", false
}

func (e rawEvent) systemNumber(name string) (uint64, bool) {
	switch name {
	case "EventID":
		return uint64(e.raw.GetEventId()), true
	case "Qualifiers", "EventID_Qualifiers":
		return uint64(e.raw.GetQualifiers()), true
	case "Version":
		return uint64(e.raw.GetVersion()), true
	case "Level":
		return uint64(e.raw.GetLevel()), true
	case "Task":
		return uint64(e.raw.GetTask()), true
	case "Opcode":
		return uint64(e.raw.GetOpcode()), true
	case "EventRecordID":
		return e.raw.GetRecordId(), true
	case "Execution_ProcessID":
		return uint64(e.raw.GetProcessId()), true
	case "Execution_ThreadID":
		return uint64(e.raw.GetThreadId()), true
	}
	return 0, false
}

func present(value string) (string, bool) { return value, value != "" }
