package evtx_test

import (
	"testing"
	"time"

	et "github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/assay-audit/assay/agent/winevent"
	"github.com/google/go-cmp/cmp"
)

func TestSystem(t *testing.T) {
	t.Parallel()
	got := only(t, et.Log(et.Options{}, et.Event{
		RecordID: 77, Time: moment, Provider: "Microsoft-Windows-Security-Auditing",
		ProviderGUID: "54849625-5478-4994-A5BA-3E3B0328C30D", EventID: 4624, Qualifiers: 16384,
		Version: 2, Level: 4, Task: 12544, Opcode: 1, Keywords: 0x8020000000000000,
		Channel: "Security", Computer: "HOST.example", UserSID: "S-1-5-18",
		ActivityID: "{DEADBEEF-0000-0000-0000-000000000001}", ProcessID: 712, ThreadID: 9000,
	}))
	want := &winevent.Record{
		RecordID: 77, Time: moment, Provider: "Microsoft-Windows-Security-Auditing",
		ProviderGUID: "{54849625-5478-4994-a5ba-3e3b0328c30d}", EventID: 4624, Qualifiers: 16384,
		Version: 2, Level: 4, Task: 12544, Opcode: 1, Keywords: 0x8020000000000000,
		Channel: "Security", Computer: "HOST.example", UserSID: "S-1-5-18",
		ActivityID: "{deadbeef-0000-0000-0000-000000000001}", ProcessID: 712, ThreadID: 9000,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestSystemAsText: a log converted from a trace holds System as text, and its
// channel is a number.
func TestSystemAsText(t *testing.T) {
	t.Parallel()
	got := only(t, et.File(et.Options{}, et.Record{Number: 5, Root: et.El("Event",
		et.El("System",
			et.El("Provider").With("Name", et.Text("RPC")).With("Guid", et.Text("6AD52B32-D609-4BE9-AE07-CE8DAE937E39")),
			et.El("EventID", et.Text("5")).With("Qualifiers", et.Text("0x10")),
			et.El("Version", et.Text("1")), et.El("Level", et.Text("4")), et.El("Task", et.Text("1")), et.El("Opcode", et.Text("70000")),
			et.El("Keywords", et.Text("0x4000000000000000")),
			et.El("TimeCreated").With("SystemTime", et.Text("2019-05-12T12:52:43.702578600Z")),
			et.El("EventRecordID", et.Text("12")),
			et.El("Execution").With("ProcessID", et.Text("604")).With("ThreadID", et.Text("5912")),
			et.El("Channel", et.Text("4")), et.El("Computer", et.Text("IEWIN7")), et.El("Container", et.Text("x")),
		))}))
	want := &winevent.Record{
		RecordID: 12, Time: time.Date(2019, 5, 12, 12, 52, 43, 702578600, time.UTC), Provider: "RPC",
		ProviderGUID: "{6ad52b32-d609-4be9-ae07-ce8dae937e39}", EventID: 5, Qualifiers: 16, Version: 1, Level: 4, Task: 1,
		Keywords: 0x4000000000000000, Channel: "4", Computer: "IEWIN7", ProcessID: 604, ThreadID: 5912,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// body reads an event whose body is the fragment.
func body(t *testing.T, f et.Fragment) *winevent.Record {
	t.Helper()
	return only(t, et.Log(et.Options{}, et.Event{RecordID: 1, Time: moment, Body: f}))
}

func TestEventData(t *testing.T) {
	t.Parallel()
	fields := func(namesAndValues ...string) (f []winevent.Field) {
		for i := 0; i < len(namesAndValues); i += 2 {
			f = append(f, winevent.Field{Name: namesAndValues[i], Value: namesAndValues[i+1]})
		}
		return f
	}
	data := func(name string, content ...et.Content) *et.Element {
		return et.El("Data", content...).With("Name", et.Text(name))
	}
	instance := func(values []et.Value, content ...et.Content) et.Fragment {
		return et.Of(7, et.El("EventData", content...), values...)
	}
	for name, test := range map[string]struct {
		body et.Fragment
		want []winevent.Field
	}{
		"plain element":               {et.El("EventData", data("a", et.Text("1")), et.El("Data", et.Text("2"))), fields("a", "1", "", "2")},
		"empty":                       {et.El("EventData"), nil},
		"other elements":              {et.El("EventData", data("a", et.Text("1")), et.El("Binary", et.Text("00FF"))), fields("a", "1", "Binary", "00FF")},
		"references":                  {et.El("EventData", data("a", et.Text("x "), et.EntityRef("lt"), et.EntityRef("amp"), et.EntityRef("gt"), et.EntityRef("quot"), et.EntityRef("apos"), et.CharRef('é'), et.EntityRef("nbsp"))), fields("a", `x <&>"'é&nbsp;`)},
		"character data":              {et.El("EventData", data("a", et.CDATA("<raw>"), et.Text("!"))), fields("a", "<raw>!")},
		"processing instruction":      {et.El("EventData", et.PI("target", "data"), data("a", et.Text("1"))), fields("a", "1")},
		"optional null drops":         {instance([]et.Value{et.Null(), et.Uint8(1)}, data("a", et.Opt(0)), data("b", et.Opt(1))), fields("b", "1")},
		"optional empty text stays":   {instance([]et.Value{et.String("")}, data("a", et.Opt(0))), fields("a", "")},
		"normal null stays":           {instance([]et.Value{et.Null()}, data("a", et.Sub(0))), fields("a", "")},
		"optional beside text drops":  {instance([]et.Value{et.Null()}, data("a", et.Text("x"), et.Opt(0))), nil},
		"optional attribute drops":    {instance([]et.Value{et.Null()}, et.El("Data", et.Text("1")).With("Name", et.Opt(0))), fields("", "1")},
		"optional value not there":    {instance([]et.Value{et.Uint8(1)}, data("a", et.Sub(0)), data("b", et.Opt(9))), fields("a", "1")},
		"name from a value":           {instance([]et.Value{et.String("n"), et.Uint8(1)}, et.El("Data", et.Sub(1)).With("Name", et.Sub(0))), fields("n", "1")},
		"text around a value":         {instance([]et.Value{et.Uint8(5)}, data("a", et.Text("<"), et.Sub(0), et.Text(">"))), fields("a", "<5>")},
		"array beside text":           {instance([]et.Value{et.Strings("a", "b")}, data("a", et.Text("x"), et.Sub(0))), fields("a", "xa,b")},
		"array in an attribute":       {instance([]et.Value{et.Strings("a", "b")}, et.El("Data", et.Text("1")).With("Name", et.Sub(0))), fields("a,b", "1")},
		"classic strings":             {instance([]et.Value{et.Strings("one", "two"), et.Binary([]byte{1})}, et.El("Data", et.Sub(0)), et.El("Binary", et.Opt(1))), fields("", "one", "", "two", "Binary", "01")},
		"structure":                   {et.El("EventData", et.El("ComplexData", data("a", et.Text("1")), data("b", et.Text("2"))).With("Name", et.Text("s")), data("c", et.Text("3"))), fields("a", "1", "b", "2", "c", "3")},
		"one value in several places": {instance([]et.Value{et.Hex32(0xff)}, data("a", et.Sub(0)), data("b", et.Sub(0))), fields("a", "0xff", "b", "0xff")},
		"nested template": {instance([]et.Value{et.BinXML(et.Of(8, data("in", et.Sub(0)), et.Uint8(3)))}, data("out", et.Text("1")), et.Sub(0)),
			fields("out", "1", "in", "3")},
		"nested element in Data": {instance([]et.Value{et.BinXML(data("in", et.Text("x")))}, data("out", et.Sub(0))), fields("in", "x")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(test.want, body(t, test.body).Data); d != "" {
				t.Error(d)
			}
		})
	}
	t.Run("name", func(t *testing.T) {
		t.Parallel()
		if got := body(t, et.El("EventData", data("a", et.Text("1"))).With("Name", et.Text("TaskStarted"))); got.DataName != "TaskStarted" || len(got.Data) != 1 {
			t.Errorf("DataName %q, Data %v", got.DataName, got.Data)
		}
	})
}

func TestUserData(t *testing.T) {
	t.Parallel()
	leaf := func(name, text string) winevent.Element { return winevent.Element{Name: name, Text: text} }
	cleared := et.El("UserData", et.El("LogFileCleared",
		et.El("SubjectUserSid", et.Sub(0)), et.El("Channel", et.Opt(1)), et.El("BackupPath", et.Opt(2)), et.El("Tag", et.Opt(3)),
	).With("xmlns", et.Text("http://manifests.microsoft.com/win/2004/08/windows/eventlog")).With("kind", et.Opt(1)).With("none", et.Opt(2)))
	for name, test := range map[string]struct {
		body et.Fragment
		want *winevent.Element
	}{
		"template": {
			et.Of(9, cleared, et.SID("S-1-5-18"), et.String("System"), et.Null(), et.Strings("x", "y")),
			&winevent.Element{Name: "LogFileCleared", Attributes: []winevent.Field{{Name: "kind", Value: "System"}}, Children: []winevent.Element{
				leaf("SubjectUserSid", "S-1-5-18"), leaf("Channel", "System"), leaf("Tag", "x"), leaf("Tag", "y"),
			}},
		},
		"nothing":     {et.El("UserData"), nil},
		"text":        {et.El("UserData", et.Text("x")), &winevent.Element{Name: "UserData", Text: "x"}},
		"several":     {et.El("UserData", et.El("a", et.Text("1")), et.El("b")), &winevent.Element{Name: "UserData", Children: []winevent.Element{leaf("a", "1"), leaf("b", "")}}},
		"mixed":       {et.El("UserData", et.El("a", et.Text("\n "), et.El("b", et.Text("1")))), &winevent.Element{Name: "a", Children: []winevent.Element{leaf("b", "1")}}},
		"other child": {et.El("ProcessingErrorData", et.El("ErrorCode", et.Text("15"))), &winevent.Element{Name: "ProcessingErrorData", Children: []winevent.Element{leaf("ErrorCode", "15")}}},
		"rendering":   {et.El("RenderingInfo", et.El("Message", et.Text("x"))), nil},
		"nested": {
			et.Of(10, et.El("UserData", et.El("a", et.Sub(0))), et.BinXML(et.Of(11, et.El("b", et.Sub(0)), et.Uint8(4)))),
			&winevent.Element{Name: "a", Children: []winevent.Element{leaf("b", "4")}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(test.want, body(t, test.body).UserData); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestManyChunks: templates and names are stored once per chunk and referred to.
func TestManyChunks(t *testing.T) {
	t.Parallel()
	var events []et.Event
	for i := range 2000 {
		events = append(events, et.Event{
			RecordID: uint64(i + 100), Time: moment, Channel: "C", EventID: uint16(i),
			Data: []et.Field{et.Named("n", et.Uint32(uint32(i))), et.Named("text", et.String("some text that takes room"))},
		})
	}
	file := et.Log(et.Options{}, events...)
	if len(file) < et.FileHeaderSize+3*et.ChunkSize {
		t.Fatalf("the file has only %d bytes", len(file))
	}
	r := read(t, file)
	if len(r.records) != len(events) || len(r.problems) != 0 {
		t.Fatalf("%d records, problems %v", len(r.records), r.problems)
	}
	ordinal, chunk := uint32(0), uint32(0)
	for i, record := range r.records {
		p := r.positions[i]
		if p.Chunk != chunk {
			ordinal, chunk = 0, chunk+1
		}
		if p.Chunk != chunk || p.Ordinal != ordinal || p.RecordNumber != uint64(i+100) || p.Damaged {
			t.Fatalf("record %d is at %+v", i, p)
		}
		if p.Offset < et.FileHeaderSize+int64(chunk)*et.ChunkSize+et.ChunkHeaderSize || string(file[p.Offset:p.Offset+4]) != "**\x00\x00" {
			t.Fatalf("record %d: no record at %d", i, p.Offset)
		}
		if record.RecordID != uint64(i+100) || record.EventID != uint32(i) || record.Data[1].Value != "some text that takes room" {
			t.Fatalf("record %d is %+v", i, record)
		}
		ordinal++
	}
}
