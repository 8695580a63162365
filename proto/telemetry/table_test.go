package telemetry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// full returns an event of the table with every field of its body set.
func full(t *testing.T, table *Table) *telemetryv1.Event {
	t.Helper()
	ev := &telemetryv1.Event{}
	m := ev.ProtoReflect()
	body := m.NewField(table.body)
	for i, field := range table.fields {
		var v protoreflect.Value
		switch {
		case field.IsList():
			v = body.Message().NewField(field)
			v.List().Append(protoreflect.ValueOfString("a"))
			v.List().Append(protoreflect.ValueOfString(string(field.Name())))
		case field.Kind() == protoreflect.StringKind:
			v = protoreflect.ValueOfString(string(field.Name()))
		case field.Kind() == protoreflect.BoolKind:
			v = protoreflect.ValueOfBool(true)
		case field.Kind() == protoreflect.Int32Kind:
			v = protoreflect.ValueOfInt32(int32(i))
		case field.Kind() == protoreflect.Int64Kind:
			v = protoreflect.ValueOfInt64(int64(-i))
		case field.Kind() == protoreflect.Uint32Kind:
			v = protoreflect.ValueOfUint32(1<<32 - 1)
		case field.Kind() == protoreflect.Uint64Kind:
			v = protoreflect.ValueOfUint64(1<<64 - 1)
		default:
			t.Fatalf("no value for %s", field.FullName())
		}
		body.Message().Set(field, v)
	}
	m.Set(table.body, body)
	return ev
}

// TestEveryBodyIsATable: a body without a table would vanish from every query,
// so those that are none are named here.
func TestEveryBodyIsATable(t *testing.T) {
	t.Parallel()
	none := map[string]bool{"source_health": true, "gap": true, "agent_event": true}
	bodies := (&telemetryv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		body := bodies.Get(i)
		ev := &telemetryv1.Event{}
		ev.ProtoReflect().Set(body, ev.ProtoReflect().NewField(body))
		table := Of(ev)
		if (table == nil) != none[string(body.Name())] {
			t.Errorf("%s: table %v", body.Name(), table)
		}
		if table != nil && ByName(table.Name) != table {
			t.Errorf("%s: ByName finds another", table.Name)
		}
		if class, _ := OCSF(ev); class == 0 {
			t.Errorf("%s: no OCSF class", body.Name())
		}
	}
	if Of(nil) != nil || Of(&telemetryv1.Event{}) != nil || ByName("win_nothing") != nil {
		t.Error("a table for nothing")
	}
}

// TestValues: every column of every table gets a value of its kind, in order,
// and an absent number is null where an absent text is empty.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, table := range Tables() {
		for name, ev := range map[string]*telemetryv1.Event{"full": full(t, table), "empty": emptied(full(t, table))} {
			row := table.Values(Placement{Position: 7, Ordinal: 2}, ev)
			if len(row) != len(table.Columns) {
				t.Fatalf("%s %s: %d values for %d columns", table.Name, name, len(row), len(table.Columns))
			}
			for i, c := range table.Columns {
				if row[i] == nil {
					if !c.Nullable {
						t.Errorf("%s.%s %s: null", table.Name, c.Name, name)
					}
					if name == "full" && i >= len(commonColumns) {
						t.Errorf("%s.%s: a set field became null", table.Name, c.Name)
					}
					continue
				}
				if got := kindOfValue(row[i]); got != c.Kind {
					t.Errorf("%s.%s %s: %T is not of its kind", table.Name, c.Name, name, row[i])
				}
				if s, ok := row[i].(string); ok && name == "full" && i >= len(commonColumns) && s != c.Name {
					t.Errorf("%s.%s: holds the value of %s", table.Name, c.Name, s)
				}
			}
		}
	}
}

func emptied(ev *telemetryv1.Event) *telemetryv1.Event {
	table := Of(ev)
	m := ev.ProtoReflect()
	m.Set(table.body, m.NewField(table.body))
	return ev
}

func kindOfValue(v any) Kind {
	switch v.(type) {
	case [16]byte:
		return KindUUID
	case time.Time:
		return KindTime
	case string:
		return KindText
	case bool:
		return KindBool
	case int32:
		return KindInt32
	case int64:
		return KindInt64
	case float64:
		return KindFloat64
	case []string:
		return KindTexts
	}
	return 255
}

func TestRow(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 11, 23, 1, 0, 0, 0, time.FixedZone("", 3600))
	ev := &telemetryv1.Event{
		ObservedAt: 1700000000_1234567,
		Source:     telemetryv1.Source_SOURCE_EVENT_LOG,
		Grade:      telemetryv1.Grade_GRADE_C,
		Mode:       telemetryv1.Mode_MODE_BACKFILL,
		RuleName:   "a\x00b\xff",
		Position:   &telemetryv1.Position{Channel: "Security", RecordId: 1<<63 + 5},
		Raw:        &telemetryv1.Raw{Provider: "p", EventId: 4616, Channel: "not this"},
		Body: &telemetryv1.Event_Clock{Clock: &telemetryv1.ClockEvent{
			Action: "set", DeltaMs: proto.Int64(-5), Pid: proto.Uint32(0),
		}},
	}
	host := [16]byte{1, 2, 3}
	got := Of(ev).Values(Placement{HostID: host, Position: 9, Ordinal: 3, ReceivedAt: received}, ev)
	want := []any{
		host, int64(9), int32(3), time.Date(2023, 11, 14, 22, 13, 20, 123456700, time.UTC), received.UTC(),
		"event_log", "C", "backfill", int64(1<<63 - 1), "Security", "p", int32(4616), "a\ufffdb\ufffd",
		"set", "", "", int64(-5), "", int64(0), "", "", "", "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got[HostIDColumn] != any(host) || got[ReceivedAtColumn] != any(received.UTC()) {
		t.Error("indexes of common columns")
	}
	ev.ObservedAt = -1 << 63
	if got := Of(ev).Values(Placement{}, ev)[ObservedAtColumn]; got != any(earliest) {
		t.Errorf("time before all times became %v", got)
	}
}

func BenchmarkAppendValues(b *testing.B) {
	ev := &telemetryv1.Event{Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Pid: proto.Uint32(4), Path: `C:\a.exe`}}}
	var row []any
	for b.Loop() {
		row = Of(ev).AppendValues(row[:0], Placement{}, ev)
	}
}
