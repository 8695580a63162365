package telemetry

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// Placement is what a row says beyond its event.
type Placement struct {
	// HostID is the host's UUID.
	HostID [16]byte
	// Position is the ledger position of the batch.
	Position int64
	// Ordinal is the index of the event in the batch.
	Ordinal int32
	// ReceivedAt is when the server received the batch.
	ReceivedAt time.Time
}

// Times outside these bounds are no times of events. They are brought inside,
// since PostgreSQL refuses a whole COPY for one of them.
var (
	earliest = time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Values encodes ev, which must be an event of this table (see Of), as one row
// in the order of Columns. Every value has the Go type of its column's Kind, or
// is nil where the column is nullable and the event does not say.
func (t *Table) Values(p Placement, ev *telemetryv1.Event) []any {
	return t.AppendValues(make([]any, 0, len(t.Columns)), p, ev)
}

// AppendValues is Values into a buffer of the caller's.
func (t *Table) AppendValues(row []any, p Placement, ev *telemetryv1.Event) []any {
	row = append(row,
		p.HostID, p.Position, p.Ordinal,
		ObservedAt(ev), p.ReceivedAt.UTC(),
		SourceName(ev.GetSource()), GradeName(ev.GetGrade()), ModeName(ev.GetMode()),
	)
	if id := ev.GetPosition().GetRecordId(); id != 0 {
		row = append(row, clamp(id))
	} else {
		row = append(row, nil)
	}
	channel := ev.GetPosition().GetChannel()
	if channel == "" {
		channel = ev.GetRaw().GetChannel()
	}
	row = append(row, text(channel), text(ev.GetRaw().GetProvider()))
	if ev.GetRaw() != nil {
		row = append(row, int32(min(ev.GetRaw().GetEventId(), math.MaxInt32)))
	} else {
		row = append(row, nil)
	}
	row = append(row, text(ev.GetRuleName()))

	body := ev.ProtoReflect().Get(t.body).Message()
	for _, field := range t.fields {
		if field.HasPresence() && !body.Has(field) {
			row = append(row, nil)
			continue
		}
		row = append(row, value(field, body.Get(field)))
	}
	return row
}

// ObservedAt is the event's time as tables hold it.
func ObservedAt(ev *telemetryv1.Event) time.Time { return boundedTime(ev.GetObservedAt()) }

func boundedTime(ticks int64) time.Time {
	at := evidence.Time(ticks)
	switch {
	case at.Before(earliest):
		return earliest
	case at.After(latest):
		return latest
	}
	return at
}

func value(field protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch field.Kind() {
	case protoreflect.StringKind:
		if field.IsList() {
			return texts(v.List())
		}
		return text(v.String())
	case protoreflect.BoolKind:
		return v.Bool()
	case protoreflect.Int32Kind:
		return int32(v.Int())
	case protoreflect.Int64Kind:
		return v.Int()
	case protoreflect.DoubleKind:
		return v.Float()
	default: // uint32, uint64: kindOf admits nothing else
		return clamp(v.Uint())
	}
}

func texts(list protoreflect.List) []string {
	out := make([]string, list.Len())
	for i := range out {
		out[i] = text(list.Get(i).String())
	}
	return out
}

// text makes s fit for a text column: PostgreSQL takes neither NUL nor invalid
// UTF-8 and would refuse the whole batch of rows for one such value.
func text(s string) string { return strings.ToValidUTF8(withoutNUL(s), "\ufffd") }

// withoutNUL is text for what is valid UTF-8 already, as all texts of a View are.
func withoutNUL(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\ufffd")
	}
	return s
}

// clamp keeps what exceeds a bigint at its greatest value.
func clamp(v uint64) int64 { return int64(min(v, math.MaxInt64)) }

// Indexes of common columns in a row.
const (
	HostIDColumn     = 0
	ObservedAtColumn = 3
	ReceivedAtColumn = 4
)
