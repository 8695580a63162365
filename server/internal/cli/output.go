package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

// printJSON writes one message as indented JSON with the names of the API.
func printJSON(w io.Writer, message proto.Message) error {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	// protojson varies its spacing on purpose; scripts and diffs want none of it.
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	return printValue(w, value)
}

func printValue(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// table prints rows under a header, in columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, header ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.row(header...)
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = plain(cells[i])
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t *table) flush() error { return t.w.Flush() }

// plain makes text from events safe for a terminal: control characters and
// what reorders text are shown, not obeyed.
func plain(text string) string {
	if !strings.ContainsFunc(text, unsafeRune) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unsafeRune(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05Z")
}

func percent(share float64, known bool) string {
	if !known {
		return "-"
	}
	return strconv.FormatFloat(share*100, 'f', 1, 64) + " %"
}

func stateName(s consolev1.State) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATE_"))
}

// vector prints a state vector, worst first, leaving out what is zero.
func vector(c *consolev1.StateCounts) string {
	var parts []string
	for _, p := range []struct {
		n    uint32
		name string
	}{
		{c.GetFail(), "fail"}, {c.GetError(), "error"}, {c.GetUnknown(), "unknown"}, {c.GetManual(), "manual"},
		{c.GetPass(), "pass"}, {c.GetNotApplicable(), "n/a"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.name))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

func counts(c *consolev1.StateCounts) map[string]uint32 {
	return map[string]uint32{
		"pass": c.GetPass(), "fail": c.GetFail(), "unknown": c.GetUnknown(), "error": c.GetError(),
		"not_applicable": c.GetNotApplicable(), "manual": c.GetManual(),
	}
}

func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
