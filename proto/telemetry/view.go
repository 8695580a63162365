package telemetry

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// View is an event in its serialised form, taken apart as far as most readers
// need. It says exactly what the message says that proto.Unmarshal makes of the
// same bytes, at a fraction of the price. Its strings are parts of one string.
type View struct {
	SubjectKind   telemetryv1.SubjectKind
	SubjectHost   string
	Source        telemetryv1.Source
	Grade         telemetryv1.Grade
	Mode          telemetryv1.Mode
	ObservedAt    int64 // ticks
	InterruptTime uint64
	BootID        string
	RuleName      string
	Position      PositionView
	// HasRaw is false for events that are of no Windows record; then Raw is empty.
	HasRaw bool
	Raw    RawView
	// Table holds the event; nil for those that no table holds.
	Table *Table

	data string // the event
	body string // the message in the oneof
}

// PositionView is an event's position.
type PositionView struct {
	Channel        string
	RecordID       uint64
	FileSHA256     string
	Chunk, Ordinal uint32
}

// RawView is the header of a Windows record.
type RawView struct {
	Provider, Channel, Computer string
	EventID                     uint32
	Keywords                    uint64

	data string // the message
}

// ParseView reads one serialised Event. It fails where proto.Unmarshal does.
func ParseView(data string) (v View, err error) {
	err = v.Parse(data)
	return v, err
}

// Parse is ParseView into v, whatever it was before. After an error v is empty.
func (v *View) Parse(data string) error {
	if v.parsePlain(data) {
		return nil
	}
	err := v.parseOdd(data)
	if err != nil {
		*v = View{}
	}
	return err
}

func (v *View) parseOdd(data string) error {
	// Seldom: bytes that our encoder does not write. Protobuf's own reader says
	// what they mean, and its writer puts that into plain form.
	ev := new(telemetryv1.Event)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(data), ev); err != nil {
		return fmt.Errorf("decoding event: %w", err)
	}
	plain, err := proto.Marshal(ev)
	if err != nil {
		return fmt.Errorf("encoding event: %w", err)
	}
	if !v.parsePlain(string(plain)) {
		return fmt.Errorf("decoding event: %w", errNotPlain)
	}
	return nil
}

// Message decodes the whole event. The result is the caller's.
func (v *View) Message() (*telemetryv1.Event, error) {
	ev := new(telemetryv1.Event)
	if err := proto.Unmarshal([]byte(v.data), ev); err != nil {
		return nil, fmt.Errorf("decoding event: %w", err)
	}
	return ev, nil
}

// Time is when it happened, as tables hold it.
func (v *View) Time() time.Time { return boundedTime(v.ObservedAt) }

// Field numbers of Event and the messages in it (event.proto).
const (
	eventRaw       = 10
	eventFirstBody = 16
)

// parsePlain takes what our encoder writes: each field at most once, and known.
// All of it is checked, also what is not read.
func (v *View) parsePlain(data string) bool {
	*v = View{data: data}
	w := wire{rest: data}
	var seen uint32
	bodies := 0
	for w.next() {
		if w.field < eventFirstBody {
			if seen&(1<<w.field) != 0 {
				return false
			}
			seen |= 1 << w.field
			if !v.header(&w) {
				return false
			}
			continue
		}
		if bodies++; bodies > 1 || !v.setBody(w.field, w.message()) {
			return false
		}
	}
	return !w.failed
}

func (v *View) header(w *wire) bool {
	switch w.field {
	case 1:
		return v.subject(w.message()) && !w.failed
	case 2:
		v.Source = telemetryv1.Source(w.varintValue())
	case 3:
		v.Grade = telemetryv1.Grade(w.varintValue())
	case 4:
		return v.Position.parse(w.message()) && !w.failed
	case 5:
		v.ObservedAt = int64(w.fixedValue())
	case 6:
		v.InterruptTime = w.fixedValue()
	case 7:
		v.BootID = w.text()
	case 8:
		v.Mode = telemetryv1.Mode(w.varintValue())
	case 9:
		v.RuleName = w.text()
	case eventRaw:
		v.HasRaw = true
		return v.Raw.parse(w.message()) && !w.failed
	default:
		return false
	}
	return !w.failed
}

func (v *View) subject(data string) bool {
	w := wire{rest: data}
	for w.next() {
		switch w.field {
		case 1:
			v.SubjectKind = telemetryv1.SubjectKind(w.varintValue())
		case 2:
			v.SubjectHost = w.text()
		default:
			return false
		}
	}
	return !w.failed
}

func (p *PositionView) parse(data string) bool {
	w := wire{rest: data}
	for w.next() {
		switch w.field {
		case 1:
			p.Channel = w.text()
		case 2:
			p.RecordID = w.varintValue()
		case 3:
			w.varintValue()
		case 4:
			p.FileSHA256 = w.message()
		case 5:
			p.Chunk = uint32(w.varintValue())
		case 6:
			p.Ordinal = uint32(w.varintValue())
		default:
			return false
		}
	}
	return !w.failed
}

// setBody notes the message in the oneof and checks it.
func (v *View) setBody(field uint64, data string) bool {
	v.body = data
	if field < uint64(len(load().byNumber)) {
		v.Table = load().byNumber[field]
	}
	if v.Table == nil {
		// Statements of the agent, which are few: protobuf's reader checks them.
		return proto.Unmarshal([]byte(v.data), new(telemetryv1.Event)) == nil && load().untabled[field]
	}
	var seen [2]uint64
	for w := (wire{rest: data}); ; {
		if !w.next() {
			return !w.failed
		}
		at, ok := v.Table.columnOf(w.field)
		if !ok || !v.Table.plain[at].check(&w) {
			return false
		}
		if v.Table.plain[at].kind == KindTexts {
			continue
		}
		if seen[at/64]&(1<<(at%64)) != 0 {
			return false
		}
		seen[at/64] |= 1 << (at % 64)
	}
}

// Texts yields the text fields of a table's event that are not empty, by the
// index of their column in the table.
func (v *View) Texts(yield func(column int, value string) bool) {
	if v.Table == nil {
		return
	}
	for w := (wire{rest: v.body}); w.next(); {
		at, ok := v.Table.columnOf(w.field)
		if ok && v.Table.plain[at].kind == KindText && w.bytes != "" && !yield(len(commonColumns)+at, w.bytes) {
			return
		}
	}
}
