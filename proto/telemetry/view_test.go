package telemetry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// copied encodes a row of Values as COPY wants it: the plain way, to compare with.
func copied(t testing.TB, row []any) []byte {
	t.Helper()
	b := binary.BigEndian.AppendUint16(nil, uint16(len(row)))
	sized := func(data []byte) {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
	}
	for _, value := range row {
		switch v := value.(type) {
		case nil:
			b = append(b, 0xff, 0xff, 0xff, 0xff)
		case [16]byte:
			sized(v[:])
		case string:
			sized([]byte(v))
		case bool:
			sized(map[bool][]byte{false: {0}, true: {1}}[v])
		case int32:
			sized(binary.BigEndian.AppendUint32(nil, uint32(v)))
		case int64:
			sized(binary.BigEndian.AppendUint64(nil, uint64(v)))
		case float64:
			sized(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
		case time.Time:
			since := v.UnixMicro() - time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
			sized(binary.BigEndian.AppendUint64(nil, uint64(since)))
		case []string:
			array := []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25}
			if len(v) > 0 {
				array[3] = 1
				array = binary.BigEndian.AppendUint32(array, uint32(len(v)))
				array = binary.BigEndian.AppendUint32(array, 1)
			}
			for _, s := range v {
				array = append(binary.BigEndian.AppendUint32(array, uint32(len(s))), s...)
			}
			sized(array)
		default:
			t.Fatalf("no encoding of %T", value)
		}
	}
	return b
}

// agree compares what a view says of bytes with what the message says.
func agree(t testing.TB, data []byte) {
	t.Helper()
	ev := new(telemetryv1.Event)
	wantErr := proto.Unmarshal(data, ev)
	v, err := ParseView(string(data))
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("ParseView says %v, protobuf %v: %x", err, wantErr, data)
	}
	if err != nil {
		return
	}
	if v.SubjectKind != ev.GetSubject().GetKind() || v.SubjectHost != ev.GetSubject().GetHost() || v.Mode != ev.GetMode() || v.Source != ev.GetSource() ||
		v.Grade != ev.GetGrade() || v.ObservedAt != ev.GetObservedAt() || v.InterruptTime != ev.GetInterruptTime() || v.BootID != ev.GetBootId() ||
		v.RuleName != ev.GetRuleName() || v.HasRaw != (ev.GetRaw() != nil) || v.Table != Of(ev) {
		t.Fatalf("the view of %v is %+v", ev, v)
	}
	p := ev.GetPosition()
	if v.Position != (PositionView{p.GetChannel(), p.GetRecordId(), string(p.GetFileSha256()), p.GetChunk(), p.GetOrdinal()}) {
		t.Fatalf("position %+v of %v", v.Position, p)
	}
	agreeRaw(t, &v.Raw, ev.GetRaw())
	if message, err := v.Message(); err != nil || !proto.Equal(withoutUnknown(ev), withoutUnknown(message)) {
		t.Fatalf("message %v (%v) of %v", message, err, ev)
	}
	if v.Table == nil {
		return
	}
	place := Placement{HostID: [16]byte{1, 2}, Position: 1 << 40, Ordinal: 7, ReceivedAt: time.Date(2026, 11, 23, 4, 5, 6, 7000, time.UTC)}
	var encoder CopyEncoder
	want := copied(t, v.Table.Values(place, ev))
	for range 2 { // an encoder forgets the row before
		if got := encoder.AppendRow(nil, place, &v); !bytes.Equal(got, want) {
			t.Fatalf("row of %v\n%q\nwant\n%q", ev, got, want)
		}
	}
	texts := map[int]string{}
	v.Texts(func(column int, value string) bool {
		texts[column] = value
		return true
	})
	for i, field := range v.Table.fields {
		if field.Kind() == protoreflect.StringKind && !field.IsList() {
			if got, want := texts[i+len(commonColumns)], Body(ev).Get(field).String(); got != want {
				t.Fatalf("text %s is %q, want %q", field.Name(), got, want)
			}
		}
	}
}

func withoutUnknown(ev *telemetryv1.Event) *telemetryv1.Event {
	data, err := proto.Marshal(ev)
	if err != nil {
		return nil
	}
	out := new(telemetryv1.Event)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, out); err != nil {
		return nil
	}
	return out
}

func agreeRaw(t testing.TB, v *RawView, raw *telemetryv1.Raw) {
	t.Helper()
	if v.Provider != raw.GetProvider() || v.Channel != raw.GetChannel() || v.Computer != raw.GetComputer() || v.EventID != raw.GetEventId() || v.Keywords != raw.GetKeywords() {
		t.Fatalf("the view of %v is %+v", raw, v)
	}
	fields := raw.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		switch field := fields.Get(i); field.Kind() {
		case protoreflect.StringKind:
			if got, want := v.Text(uint64(field.Number())), raw.ProtoReflect().Get(field).String(); got != want {
				t.Fatalf("%s is %q, want %q", field.Name(), got, want)
			}
		case protoreflect.Uint32Kind:
			if got, want := uint32(v.Number(uint64(field.Number()))), uint32(raw.ProtoReflect().Get(field).Uint()); got != want {
				t.Fatalf("%s is %d, want %d", field.Name(), got, want)
			}
		case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
			if got, want := v.Number(uint64(field.Number())), raw.ProtoReflect().Get(field).Uint(); got != want {
				t.Fatalf("%s is %d, want %d", field.Name(), got, want)
			}
		}
	}
	var got, want []string
	v.Fields(func(name, value string) bool {
		got = append(got, name, value)
		return true
	})
	for _, f := range raw.GetData() {
		want = append(want, f.GetName(), f.GetValue())
	}
	if raw.GetUserData() != nil {
		want = leaves(want, raw.GetUserData())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("fields %q, want %q", got, want)
	}
}

func leaves(list []string, e *telemetryv1.Element) []string {
	for _, a := range e.GetAttributes() {
		list = append(list, a.GetName(), a.GetValue())
	}
	if len(e.GetChildren()) == 0 {
		return append(list, e.GetName(), e.GetText())
	}
	for _, child := range e.GetChildren() {
		list = leaves(list, child)
	}
	return list
}

// random fills a message from r, each field as often as not.
func random(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if field.ContainingOneof() != nil && !field.HasOptionalKeyword() || r.IntN(2) == 0 {
			continue
		}
		switch {
		case field.IsList():
			list := m.Mutable(field).List()
			for range r.IntN(4) {
				if field.Message() == nil {
					list.Append(scalar(r, field))
				} else if depth > 0 {
					random(r, list.AppendMutable().Message(), depth-1)
				}
			}
		case field.Message() != nil:
			if depth > 0 {
				random(r, m.Mutable(field).Message(), depth-1)
			}
		default:
			m.Set(field, scalar(r, field))
		}
	}
}

func scalar(r *rand.Rand, field protoreflect.FieldDescriptor) protoreflect.Value {
	n := []uint64{0, 1, 127, 128, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64, r.Uint64()}[r.IntN(9)]
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "a", "a\x00b", "\u202e\u00e4", strings.Repeat("x", 300)}[r.IntN(5)])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(make([]byte, r.IntN(40)))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(n % 10)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(math.Float64frombits(n))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind, protoreflect.Sint64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	}
	return protoreflect.ValueOfUint64(n)
}

// randomEvents makes an event with each body, and one without.
func randomEvents(t testing.TB, r *rand.Rand) [][]byte {
	t.Helper()
	var all [][]byte
	bodies := new(telemetryv1.Event).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() + 1 {
		ev := new(telemetryv1.Event)
		random(r, ev.ProtoReflect(), 4)
		if i < bodies.Len() {
			random(r, ev.ProtoReflect().Mutable(bodies.Get(i)).Message(), 3)
		}
		data, err := proto.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// TestViewSaysWhatTheMessageSays: random events of every kind, whole and spoiled.
func TestViewSaysWhatTheMessageSays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		for _, data := range randomEvents(t, r) {
			agree(t, data)
			if len(data) == 0 {
				continue
			}
			cut := data[:r.IntN(len(data))]
			agree(t, cut)
			flipped := bytes.Clone(data)
			flipped[r.IntN(len(data))] ^= byte(1 << r.IntN(8))
			agree(t, flipped)
			// Two events in one are one to protobuf, which merges them.
			agree(t, append(bytes.Clone(data), data...))
			agree(t, append(bytes.Clone(flipped), data...))
		}
	}
}

func TestViewOfStrangeForms(t *testing.T) {
	t.Parallel()
	message := func(field protowire.Number, inside ...byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), inside)
	}
	deep := message(1, 'x')
	for range 100 {
		deep = message(4, deep...)
	}
	for name, data := range map[string][]byte{
		"nothing":               nil,
		"unknown field":         message(15, 1, 2, 3),
		"unknown body":          message(99, 1),
		"unknown raw field":     message(10, message(77, 1)...),
		"unknown column":        message(32, protowire.AppendVarint(protowire.AppendTag(nil, 900, protowire.VarintType), 1)...),
		"two raws":              append(message(10, message(1, 'a')...), message(10, message(11, 'b')...)...),
		"two bodies":            append(message(32, message(5, 'a')...), message(37, message(5, 'b')...)...),
		"one body twice":        append(message(32, message(5, 'a')...), message(32, message(6, 'b')...)...),
		"a column twice":        message(32, append(message(5, 'a'), message(5, 'b')...)...),
		"no UTF-8 in a column":  message(32, message(5, 0xff)...),
		"no UTF-8 in a field":   message(10, message(20, message(2, 0xff)...)...),
		"no UTF-8 in user data": message(10, message(21, message(3, 0xff)...)...),
		"text as number":        message(32, protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 1)...),
		"group":                 protowire.AppendTag(protowire.AppendTag(nil, 200, protowire.StartGroupType), 200, protowire.EndGroupType),
		"field 0":               {0x00, 0x01},
		"long varint":           {0x40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
		"overlong varint":       {0x40, 0x81, 0x80, 0x00},
		"health":                message(17, message(1, '1')...),
		"spoiled health":        message(17, message(1, 0xff)...),
		"deep user data":        message(10, message(21, deep...)...),
		"two names":             message(10, message(21, append(message(1, 'a'), message(1, 'b')...)...)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agree(t, data)
		})
	}
}

func FuzzView(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, data := range randomEvents(f, r) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}

func BenchmarkView(b *testing.B) {
	ev := &telemetryv1.Event{
		Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF}, Position: &telemetryv1.Position{Channel: "Security", RecordId: 1},
		ObservedAt: 1, Raw: &telemetryv1.Raw{Provider: "Provider", Channel: "Security", Computer: "host", EventId: 4688},
		Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Pid: proto.Uint32(4), Path: `C:\a.exe`, Cmdline: `"C:\a.exe" -x`}},
	}
	for i := range 20 {
		ev.Raw.Data = append(ev.Raw.Data, &telemetryv1.Field{Name: fmt.Sprintf("Name%d", i), Value: "a value of some length"})
	}
	data, err := proto.Marshal(ev)
	if err != nil {
		b.Fatal(err)
	}
	text := string(data)
	var encoder CopyEncoder
	var row []byte
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, err := ParseView(text)
			if err != nil {
				b.Fatal(err)
			}
			row = encoder.AppendRow(row[:0], Placement{}, &v)
		}
	})
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ev := new(telemetryv1.Event)
			if err := proto.Unmarshal(data, ev); err != nil {
				b.Fatal(err)
			}
			_ = Of(ev).Values(Placement{}, ev)
		}
	})
}
