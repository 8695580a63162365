package event_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

func fresh() *event.Mapper {
	return event.New(event.Config{Processes: process.NewTable([16]byte{7}), Drives: func() []event.Drive { return drives }})
}

func saysTruncated(ev *telemetryv1.Event) bool {
	return slices.ContainsFunc(ev.GetRaw().GetData(), func(f *telemetryv1.Field) bool { return f.GetName() == "Truncated" && f.GetValue() == "true" })
}

// TestEachTextThatIsCut: whichever text of a record the driver shortened, the event
// says so, and one of which nothing was shortened does not.
func TestEachTextThatIsCut(t *testing.T) {
	t.Parallel()
	for name, r := range script(t) {
		whole := decode(t, r)
		if whole.Body == nil || r.Class == kernel.ClassPayload { // copies: TestCopyThatIsCut
			continue
		}
		for _, ev := range fresh().Events(whole) {
			if saysTruncated(ev) {
				t.Errorf("%s is said to be cut: %v", name, ev)
			}
		}
		value := reflect.ValueOf(whole.Body).Elem()
		for i := range value.NumField() {
			field := value.Type().Field(i).Name
			text, ok := value.Field(i).Interface().(kernel.Text)
			if !ok || field == "User" { // a SID that is cut is none
				continue
			}
			text.Truncated = true
			again := decode(t, r)
			reflect.ValueOf(again.Body).Elem().Field(i).Set(reflect.ValueOf(text))
			for _, ev := range fresh().Events(again) {
				if !saysTruncated(ev) {
					t.Errorf("%s with its %s cut does not say so: %v", name, field, ev)
				}
			}
		}
	}
}

// TestLongBinaryValue: the table shows the beginning of a long one, and says so.
func TestLongBinaryValue(t *testing.T) {
	t.Parallel()
	for size, cut := range map[int]bool{256: false, 257: true} {
		r := by(kernel.ClassRegistry, kernel.KindKeySet, keyBody(3, `\REGISTRY\MACHINE\SOFTWARE\X`, "B", []byte(strings.Repeat("x", size))))
		if ev := fresh().Events(decode(t, r))[0]; saysTruncated(ev) != cut {
			t.Errorf("of %d bytes it is %v", size, ev)
		}
	}
}

// TestCopyThatIsCut: a question says that its copy ended early, as an answer does.
func TestCopyThatIsCut(t *testing.T) {
	t.Parallel()
	two := append(question(t, false), 0, 0, 1, 0, 1)
	two[5] = 2 // a second question: the root
	for n, cut := range map[int]bool{len(two): false, len(two) - 2: true} {
		events := fresh().Events(decode(t, by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(17, 0, 1, 53, two[:n]))))
		if len(events) == 0 || saysTruncated(events[0]) != cut {
			t.Errorf("of %d bytes: %v", n, events)
		}
	}
}
