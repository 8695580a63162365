package evtx_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/assay-audit/assay/agent/winevent"
	"github.com/google/go-cmp/cmp"
)

var moment = time.Date(2026, 3, 4, 5, 6, 7, 123456700, time.UTC)

// only reads a log of one record that must be clean.
func only(t *testing.T, file []byte) *winevent.Record {
	t.Helper()
	r := read(t, file)
	if len(r.records) != 1 || len(r.problems) != 0 {
		t.Fatalf("%d records, problems %v", len(r.records), r.problems)
	}
	return r.records[0]
}

func TestValueTypes(t *testing.T) {
	t.Parallel()
	const guid = "{00112233-4455-6677-8899-aabbccddeeff}"
	for name, test := range map[string]struct {
		value evtxtest.Value
		want  string
	}{
		"null":                   {evtxtest.Null(), ""},
		"string":                 {evtxtest.String("C:\\Ünïcode €𝄞 <&>\r\n\t"), "C:\\Ünïcode €𝄞 <&>\r\n\t"},
		"string, empty":          {evtxtest.String(""), ""},
		"string, four ASCII":     {evtxtest.String("abcd"), "abcd"},
		"string, terminated":     {evtxtest.String("abcdefgh\x00\x00"), "abcdefgh"},
		"string, NUL inside":     {evtxtest.String("abc\x00defg"), "abc\ufffddefg"},
		"string, control":        {evtxtest.String("a\x01\x1b[0m"), "a\x01\x1b[0m"},
		"string, lone surrogate": {evtxtest.Raw(0x01, []byte{'a', 0, 0x00, 0xd8, 'b', 0}), "a\ufffdb"},
		"string, noncharacter":   {evtxtest.Raw(0x01, []byte{0xff, 0xff, 0xd0, 0xfd}), "\ufffd\ufffd"},
		"string, odd length":     {evtxtest.Raw(0x01, []byte{'a', 0, 'b'}), "a"},
		"ANSI":                   {evtxtest.ANSI("caf\xe9 \x80\x00"), "café €"},
		"ANSI, NUL inside":       {evtxtest.ANSI("a\x00b"), "a\ufffdb"},
		"int8":                   {evtxtest.Int8(-128), "-128"},
		"uint8":                  {evtxtest.Uint8(255), "255"},
		"int16":                  {evtxtest.Int16(-32768), "-32768"},
		"uint16":                 {evtxtest.Uint16(65535), "65535"},
		"int32":                  {evtxtest.Int32(-2147483648), "-2147483648"},
		"uint32":                 {evtxtest.Uint32(4294967295), "4294967295"},
		"int64":                  {evtxtest.Int64(math.MinInt64), "-9223372036854775808"},
		"uint64":                 {evtxtest.Uint64(math.MaxUint64), "18446744073709551615"},
		"uint32, wrong length":   {evtxtest.Raw(0x08, []byte{1, 2, 0xab}), "0102AB"},
		"real32":                 {evtxtest.Real32(0.1), "0.1"},
		"real32, seven digits":   {evtxtest.Real32(1234567.8), "1234568"},
		"real32, small":          {evtxtest.Real32(1.5e-7), "1.5e-007"},
		"real64":                 {evtxtest.Real64(3.14159265358979), "3.14159265358979"},
		"real64, integer":        {evtxtest.Real64(-120), "-120"},
		"real64, zero":           {evtxtest.Real64(0), "0"},
		"real64, large":          {evtxtest.Real64(1e300), "1e+300"},
		"real64, rounds up":      {evtxtest.Real64(999999999999999.9), "1e+015"},
		"real64, infinite":       {evtxtest.Real64(math.Inf(1)), "1.#INF"},
		"real64, minus infinite": {evtxtest.Real64(math.Inf(-1)), "-1.#INF"},
		"real64, not a number":   {evtxtest.Real64(math.NaN()), "-1.#IND"},
		"true":                   {evtxtest.Bool(true), "true"},
		"false":                  {evtxtest.Bool(false), "false"},
		"binary":                 {evtxtest.Binary([]byte{0x0a, 0xff, 0x00}), "0AFF00"},
		"GUID":                   {evtxtest.GUID(strings.ToUpper(guid)), guid},
		"GUID, wrong length":     {evtxtest.Raw(0x0f, []byte{1, 2}), "0102"},
		"size, 32 bits":          {evtxtest.Size32(0xdead), "0xdead"},
		"size, 64 bits":          {evtxtest.Size64(0x7fffdeadbeef), "0x7fffdeadbeef"},
		"FILETIME":               {evtxtest.FileTime(moment), "2026-03-04T05:06:07.1234567Z"},
		"FILETIME, zero":         {evtxtest.Raw(0x11, make([]byte, 8)), "1601-01-01T00:00:00.0000000Z"},
		"FILETIME, last":         {evtxtest.Raw(0x11, []byte{255, 255, 255, 255, 255, 255, 255, 127}), "30828-09-14T02:48:05.4775807Z"},
		"FILETIME, no time":      {evtxtest.Raw(0x11, []byte{1, 0, 0, 0, 0, 0, 0, 128}), "0x8000000000000001"},
		"SYSTEMTIME":             {evtxtest.SystemTime(moment), "2026-03-04T05:06:07.1230000Z"},
		"SID":                    {evtxtest.SID("S-1-5-21-1-2-4294967295-500"), "S-1-5-21-1-2-4294967295-500"},
		"SID, no subauthority":   {evtxtest.SID("S-1-5"), "S-1-5"},
		"SID, long authority":    {evtxtest.SID("S-1-0x123456789abc-1"), "S-1-0x123456789abc-1"},
		"SID, cut":               {evtxtest.Raw(0x13, []byte{1, 5, 0, 0, 0, 0, 0, 5, 1, 2}), "01050000000000050102"},
		"hex32":                  {evtxtest.Hex32(0x3e7), "0x3e7"},
		"hex32, zero":            {evtxtest.Hex32(0), "0x0"},
		"hex64":                  {evtxtest.Hex64(0x8020000000000000), "0x8020000000000000"},
		"XML text":               {evtxtest.Raw(0x23, []byte{'<', 0, 'a', 0, '>', 0}), "<a>"},
		"handle":                 {evtxtest.Raw(0x20, []byte{0x10, 0, 0, 0}), "0x10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := only(t, evtxtest.Log(evtxtest.Options{}, evtxtest.Event{
				RecordID: 1, Time: moment, Data: []evtxtest.Field{{Name: "V", Value: test.value}, {Name: "After", Value: evtxtest.Uint8(7)}},
			}))
			want := []winevent.Field{{Name: "V", Value: test.want}, {Name: "After", Value: "7"}}
			if d := cmp.Diff(want, got.Data); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestUnknownTypeIsNoted(t *testing.T) {
	t.Parallel()
	r := read(t, evtxtest.Log(evtxtest.Options{}, evtxtest.Event{
		RecordID: 9, Time: moment, Data: []evtxtest.Field{{Name: "V", Value: evtxtest.Raw(0x27, []byte{0xc0, 0x01})}},
	}))
	if len(r.records) != 1 || r.records[0].Data[0].Value != "C001" {
		t.Errorf("records %+v", r.records)
	}
	if len(r.problems) != 1 || r.problems[0].Severity.String() != "note" || !strings.Contains(r.problems[0].Text, "record 9 has a value of unknown type 0x27") {
		t.Errorf("problems %v", r.problems)
	}
}

// TestArrays: Windows repeats the element for each member.
func TestArrays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		value evtxtest.Value
		want  []string
	}{
		"strings":          {evtxtest.Strings("one", "", "three"), []string{"one", "", "three"}},
		"strings, empty":   {evtxtest.Strings(), []string{""}},
		"strings, one":     {evtxtest.Strings("x"), []string{"x"}},
		"strings, no end":  {evtxtest.Raw(0x81, []byte{'a', 0, 0, 0, 'b', 0}), []string{"a", "b"}},
		"ANSI":             {evtxtest.Array(evtxtest.ANSI("a"), evtxtest.ANSI("b")), []string{"a", "b"}},
		"int8":             {evtxtest.Array(evtxtest.Int8(-1), evtxtest.Int8(1)), []string{"-1", "1"}},
		"uint16":           {evtxtest.Array(evtxtest.Uint16(1), evtxtest.Uint16(65535)), []string{"1", "65535"}},
		"int32":            {evtxtest.Array(evtxtest.Int32(-1), evtxtest.Int32(5)), []string{"-1", "5"}},
		"uint64":           {evtxtest.Array(evtxtest.Uint64(1), evtxtest.Uint64(2)), []string{"1", "2"}},
		"real32":           {evtxtest.Array(evtxtest.Real32(0.5), evtxtest.Real32(2)), []string{"0.5", "2"}},
		"real64":           {evtxtest.Array(evtxtest.Real64(0.5)), []string{"0.5"}},
		"bool":             {evtxtest.Array(evtxtest.Bool(true), evtxtest.Bool(false)), []string{"true", "false"}},
		"GUID":             {evtxtest.Array(evtxtest.GUID("00000000-0000-0000-0000-000000000001"), evtxtest.GUID("00000000-0000-0000-0000-000000000002")), []string{"{00000000-0000-0000-0000-000000000001}", "{00000000-0000-0000-0000-000000000002}"}},
		"FILETIME":         {evtxtest.Array(evtxtest.FileTime(moment), evtxtest.FileTime(moment)), []string{"2026-03-04T05:06:07.1234567Z", "2026-03-04T05:06:07.1234567Z"}},
		"SYSTEMTIME":       {evtxtest.Array(evtxtest.SystemTime(moment)), []string{"2026-03-04T05:06:07.1230000Z"}},
		"SID":              {evtxtest.Array(evtxtest.SID("S-1-5-18"), evtxtest.SID("S-1-5-32-544")), []string{"S-1-5-18", "S-1-5-32-544"}},
		"hex32":            {evtxtest.Array(evtxtest.Hex32(1), evtxtest.Hex32(255)), []string{"0x1", "0xff"}},
		"hex64":            {evtxtest.Array(evtxtest.Hex64(1), evtxtest.Hex64(255)), []string{"0x1", "0xff"}},
		"size":             {evtxtest.Array(evtxtest.Size64(16)), []string{"0x10"}},
		"uint32, cut":      {evtxtest.Raw(0x88, []byte{1, 0, 0, 0, 2}), []string{"1", "02"}},
		"binary, no array": {evtxtest.Raw(0x8e, []byte{1, 2}), []string{"0102"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := only(t, evtxtest.Log(evtxtest.Options{}, evtxtest.Event{
				RecordID: 1, Time: moment, Data: []evtxtest.Field{{Name: "V", Value: test.value}, {Name: "After", Value: evtxtest.Uint8(7)}},
			}))
			want := []winevent.Field{}
			for _, s := range test.want {
				want = append(want, winevent.Field{Name: "V", Value: s})
			}
			want = append(want, winevent.Field{Name: "After", Value: "7"})
			if d := cmp.Diff(want, got.Data); d != "" {
				t.Error(d)
			}
		})
	}
}
