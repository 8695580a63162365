package winevent_test

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/assay-audit/assay/agent/winevent"
	"github.com/google/go-cmp/cmp"
)

const logonXML = `<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>` +
	`<Provider Name='Microsoft-Windows-Security-Auditing' Guid='{54849625-5478-4994-A5BA-3E3B0328C30D}' EventSourceName='Src'/>` +
	`<EventID Qualifiers='16384'>4624</EventID><Version>2</Version><Level>0</Level><Task>12544</Task><Opcode>1</Opcode>` +
	`<Keywords>0x8020000000000000</Keywords><TimeCreated SystemTime='2026-03-04T05:06:07.1234567Z'/><EventRecordID>77</EventRecordID>` +
	`<Correlation ActivityID='{DEADBEEF-0000-0000-0000-000000000001}' RelatedActivityID='deadbeef-0000-0000-0000-000000000002'/>` +
	`<Execution ProcessID='712' ThreadID='9000'/><Channel>Security</Channel><Computer>HOST.example</Computer><Security UserID='S-1-5-18'/></System>` +
	`<EventData Name='Logon'><Data Name='SubjectLogonId'>0x3e7</Data><Data>plain &lt;&amp;&gt; text</Data><Data Name='Empty'/><Binary>00FF</Binary></EventData>` +
	`<RenderingInfo Culture='en-US'><Message>An account was logged on.</Message></RenderingInfo></Event>`

func logonRecord() *winevent.Record {
	return &winevent.Record{
		RecordID: 77, Time: time.Date(2026, 3, 4, 5, 6, 7, 123456700, time.UTC),
		Provider: "Microsoft-Windows-Security-Auditing", ProviderGUID: "{54849625-5478-4994-a5ba-3e3b0328c30d}", EventSourceName: "Src",
		EventID: 4624, Qualifiers: 16384, Version: 2, Task: 12544, Opcode: 1, Keywords: 0x8020000000000000,
		Channel: "Security", Computer: "HOST.example", UserSID: "S-1-5-18",
		ActivityID: "{deadbeef-0000-0000-0000-000000000001}", RelatedActivityID: "{deadbeef-0000-0000-0000-000000000002}",
		ProcessID: 712, ThreadID: 9000, DataName: "Logon",
		Data: []winevent.Field{{Name: "SubjectLogonId", Value: "0x3e7"}, {Value: "plain <&> text"}, {Name: "Empty"}, {Name: "Binary", Value: "00FF"}},
	}
}

// utf16Text encodes with a byte order mark, if one is asked for.
func utf16Text(order binary.AppendByteOrder, mark bool, text string) string {
	var b []byte
	if mark {
		text = "\ufeff" + text
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestParseXMLForms(t *testing.T) {
	t.Parallel()
	indented := strings.ReplaceAll(logonXML, "><", ">\r\n  <")
	for name, test := range map[string]struct {
		document string
		events   int
	}{
		"one event":             {logonXML, 1},
		"declaration":           {"<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\r\n" + logonXML, 1},
		"document":              {"<Events>" + logonXML + "\n" + logonXML + "</Events>", 2},
		"list":                  {logonXML + "\r\n" + logonXML + "\r\n" + logonXML, 3},
		"no namespace":          {strings.Replace(logonXML, " xmlns='http://schemas.microsoft.com/win/2004/08/events/event'", "", 1), 1},
		"byte order mark":       {"\ufeff" + logonXML, 1},
		"UTF-16LE":              {utf16Text(binary.LittleEndian, true, "<?xml version='1.0' encoding='utf-16'?>"+logonXML), 1},
		"UTF-16BE":              {utf16Text(binary.BigEndian, true, logonXML), 1},
		"UTF-16LE, no mark":     {utf16Text(binary.LittleEndian, false, logonXML), 1},
		"UTF-16BE, no mark":     {utf16Text(binary.BigEndian, false, logonXML), 1},
		"comments":              {"<!-- it's > an export --><Events><!-- x -->" + logonXML + "</Events>", 1},
		"indented":              {indented, 1},
		"indented document":     {"<Events>\r\n" + indented + "\r\n</Events>\r\n", 1},
		"prefix":                {strings.NewReplacer("<Event ", "<e:Event ", "</Event>", "</e:Event>", "<System>", "<e:System>", "</System>", "</e:System>", "<Channel>", "<e:Channel>", "</Channel>", "</e:Channel>").Replace(logonXML), 1},
		"attributes over lines": {strings.ReplaceAll(logonXML, "' Guid=", "'\r\n\tGuid="), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := winevent.ParseXML(strings.NewReader(test.document))
			if err != nil || len(records) != test.events {
				t.Fatalf("%d records, %v", len(records), err)
			}
			for _, r := range records {
				if d := cmp.Diff(logonRecord(), r); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// TestParseXMLText: a text comes out as Windows put it in, even where XML would
// change or forbid it.
func TestParseXMLText(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ raw, want string }{
		"line ends":              {"a\r\nb\rc\nd", "a\r\nb\rc\nd"},
		"control characters":     {"\x01\x1b[31m\x7f", "\x01\x1b[31m\x7f"},
		"NUL":                    {"a\x00b", "a\ufffdb"},
		"no UTF-8":               {"a\xffb", "a\ufffdb"},
		"noncharacters":          {"\ufdd1\uffff", "\ufffd\ufffd"},
		"references":             {"&#13;&#10;&quot;&apos;&#x1D11E;", "\r\n\"'𝄞"},
		"character data":         {"<![CDATA[<raw>&amp;]]>!", "<raw>&amp;!"},
		"white space":            {"  \t x ", "  \t x "},
		"greater than":           {"a > b", "a > b"},
		"beside greater than":    {"'>'\r\n", "'>'\r\n"},
		"private use, unchanged": {"\ue000\uf8ff", "\ue000\uf8ff"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := winevent.ParseXML(strings.NewReader("<Event><EventData><Data Name='v'>" + test.raw + "</Data></EventData></Event>"))
			if err != nil || len(records) != 1 {
				t.Fatalf("%d records, %v", len(records), err)
			}
			if got := records[0].Data[0].Value; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseXMLUserData(t *testing.T) {
	t.Parallel()
	leaf := func(name, text string) winevent.Element { return winevent.Element{Name: name, Text: text} }
	for name, test := range map[string]struct {
		body string
		want *winevent.Element
	}{
		"usual": {
			"<UserData><LogFileCleared xmlns='http://x' xmlns:auto-ns2='http://y' kind='k'>\n <SubjectUserSid>S-1-5-18</SubjectUserSid> <Tag>a</Tag><Tag>b</Tag>\n</LogFileCleared></UserData>",
			&winevent.Element{Name: "LogFileCleared", Attributes: []winevent.Field{{Name: "kind", Value: "k"}}, Children: []winevent.Element{leaf("SubjectUserSid", "S-1-5-18"), leaf("Tag", "a"), leaf("Tag", "b")}},
		},
		"prefix":            {"<UserData><n:a><n:b>1</n:b></n:a></UserData>", &winevent.Element{Name: "n:a", Children: []winevent.Element{leaf("n:b", "1")}}},
		"nothing":           {"<UserData/>", nil},
		"layout":            {"<UserData>\n</UserData>", nil},
		"text":              {"<UserData>x</UserData>", &winevent.Element{Name: "UserData", Text: "x"}},
		"several":           {"<UserData><a>1</a><b/></UserData>", &winevent.Element{Name: "UserData", Children: []winevent.Element{leaf("a", "1"), leaf("b", "")}}},
		"error":             {"<ProcessingErrorData><ErrorCode>15</ErrorCode></ProcessingErrorData>", &winevent.Element{Name: "ProcessingErrorData", Children: []winevent.Element{leaf("ErrorCode", "15")}}},
		"error beside data": {"<UserData><a>1</a></UserData><DebugData><b>2</b></DebugData>", &winevent.Element{Name: "UserData", Children: []winevent.Element{{Name: "a", Text: "1"}, {Name: "DebugData", Children: []winevent.Element{leaf("b", "2")}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := winevent.ParseXML(strings.NewReader("<Event>" + test.body + "</Event>"))
			if err != nil || len(records) != 1 {
				t.Fatalf("%d records, %v", len(records), err)
			}
			if d := cmp.Diff(test.want, records[0].UserData); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseXMLSystemCorners(t *testing.T) {
	t.Parallel()
	records, err := winevent.ParseXML(strings.NewReader("<Event><System>" +
		"<Provider Name=' P ' Guid='no guid'/><EventID> 7 </EventID><Version>300</Version><Level>x</Level><Task>0x10</Task>" +
		"<Keywords>-1</Keywords><TimeCreated SystemTime='2026-03-04T05:06:07.123456789+01:00'/><Channel>4</Channel><Execution ProcessID='0x1C' ThreadID='99999999999'/>" +
		"</System><EventData><ComplexData Name='s'><Data Name='in'>1</Data></ComplexData></EventData></Event>"))
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	want := &winevent.Record{
		Provider: "P", ProviderGUID: "no guid", EventID: 7, Task: 16, ProcessID: 28, Channel: "4",
		Time: time.Date(2026, 3, 4, 4, 6, 7, 123456700, time.UTC), Data: []winevent.Field{{Name: "in", Value: "1"}},
	}
	if d := cmp.Diff(want, records[0]); d != "" {
		t.Error(d)
	}
}

func TestParseXMLErrors(t *testing.T) {
	t.Parallel()
	deep := func(n int) string {
		return "<Event>" + strings.Repeat("<a>", n) + strings.Repeat("</a>", n) + "</Event>"
	}
	for name, test := range map[string]struct {
		document string
		events   int
		want     error // nil for any
	}{
		"empty":              {"", 0, winevent.ErrNoEvent},
		"no event":           {"<html><body/></html>", 0, winevent.ErrNoEvent},
		"text":               {"no markup at all", 0, winevent.ErrNoEvent},
		"cut":                {logonXML + logonXML[:len(logonXML)-20], 1, io.ErrUnexpectedEOF},
		"cut document":       {"<Events>" + logonXML, 1, io.ErrUnexpectedEOF},
		"crossed":            {"<Event><System></Event></System>", 0, nil},
		"not opened":         {logonXML + "</Events>", 1, nil},
		"other encoding":     {"<?xml version='1.0' encoding='ebcdic'?>" + logonXML, 0, nil},
		"too deep":           {logonXML + deep(64), 1, winevent.ErrEventTooLarge},
		"too deep around":    {strings.Repeat("<a>", 65) + logonXML, 0, winevent.ErrEventTooLarge},
		"too many fields":    {"<Event><EventData>" + strings.Repeat("<Data/>", 4096) + "</EventData></Event>", 0, winevent.ErrEventTooLarge},
		"too many bytes":     {"<Event><EventData><Data>" + strings.Repeat("x", 4<<20) + "</Data></EventData></Event>", 0, winevent.ErrEventTooLarge},
		"too much layout":    {logonXML + strings.Repeat(" ", 4<<20) + logonXML, 1, winevent.ErrEventTooLarge},
		"a name without end": {"<" + strings.Repeat("x", 5<<20), 0, winevent.ErrEventTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := winevent.NewXMLDecoder(strings.NewReader(test.document))
			events := 0
			var err error
			for err == nil {
				if _, err = d.Next(); err == nil {
					events++
				}
			}
			if events != test.events || errors.Is(err, io.EOF) && test.want == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%d events, %v", events, err)
			}
			if _, again := d.Next(); again == nil || again.Error() != err.Error() {
				t.Errorf("after the error %v: %v", err, again)
			}
		})
	}
	// Just inside the bounds.
	for _, document := range []string{deep(63), "<Event><EventData>" + strings.Repeat("<Data/>", 4094) + "</EventData></Event>"} {
		if _, err := winevent.ParseXML(strings.NewReader(document)); err != nil {
			t.Error(err)
		}
	}
}

// TestParseXMLManyEvents: the bounds are per event, not per document.
func TestParseXMLManyEvents(t *testing.T) {
	t.Parallel()
	d := winevent.NewXMLDecoder(strings.NewReader("<Events>" + strings.Repeat(logonXML, 5000) + "</Events>"))
	events := 0
	for {
		_, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	if events != 5000 {
		t.Errorf("%d events", events)
	}
}
