package pipeline

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// TruncatedField is the name of the raw field that says that an event was cut;
// its value is the number of bytes that the event had.
const TruncatedField = "assay:truncated"

// cut shortens the longest texts of ev until it serialises into limit bytes.
// Only text is shortened: ids, times and counts stay, and nothing is dropped
// before what is left of each text would be worthless.
func cut(ev *telemetryv1.Event, size, limit int) ([]byte, error) {
	if ev.Raw == nil {
		ev.Raw = &telemetryv1.Raw{}
	}
	flag := &telemetryv1.Field{Name: TruncatedField, Value: strconv.Itoa(size)}
	ev.Raw.Data = append(ev.Raw.Data, flag)
	for longest := limit; longest >= 64; longest /= 2 {
		shorten(ev.ProtoReflect(), longest)
		if b, err := proto.Marshal(ev); err != nil || len(b) <= limit {
			return b, err
		}
	}
	// Very many short fields: the raw record cannot stay, the table's row can.
	ev.Raw.UserData, ev.Raw.Data = nil, []*telemetryv1.Field{flag}
	b, err := proto.Marshal(ev)
	if err == nil && len(b) > limit {
		err = fmt.Errorf("an event of %d bytes cannot be cut to the server's bound of %d", size, limit)
	}
	return b, err
}

// texts calls change for every string of a message, at any depth.
func texts(m protoreflect.Message, change func(string) string) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
		case field.IsList() && field.Kind() == protoreflect.StringKind:
			list := value.List()
			for i := range list.Len() {
				list.Set(i, protoreflect.ValueOfString(change(list.Get(i).String())))
			}
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				texts(value.List().Get(i).Message(), change)
			}
		case field.IsList():
		case field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(change(value.String())))
		case field.Message() != nil:
			texts(value.Message(), change)
		}
		return true
	})
}

func makeValid(m protoreflect.Message) {
	texts(m, func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") })
}

func shorten(m protoreflect.Message, longest int) {
	texts(m, func(s string) string {
		if len(s) <= longest {
			return s
		}
		for longest > 0 && !utf8.RuneStart(s[longest]) {
			longest--
		}
		return s[:longest]
	})
}
