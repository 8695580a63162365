package evtx_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/assay-audit/assay/agent/winevent"
	"github.com/google/go-cmp/cmp"
)

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;")

// eventXML writes a record as EvtRender would: on one line, what is absent left
// out, control characters and line ends as they are.
func eventXML(r *winevent.Record) string {
	var b strings.Builder
	attribute := func(name, value string) string {
		if value == "" {
			return ""
		}
		return fmt.Sprintf(" %s='%s'", name, escape.Replace(value))
	}
	qualifiers := ""
	if r.Qualifiers != 0 {
		qualifiers = fmt.Sprintf(" Qualifiers='%d'", r.Qualifiers)
	}
	time := ""
	if !r.Time.IsZero() {
		time = r.Time.Format("2006-01-02T15:04:05.0000000Z")
	}
	fmt.Fprintf(&b, "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider%s%s%s/>",
		attribute("Name", r.Provider), attribute("Guid", r.ProviderGUID), attribute("EventSourceName", r.EventSourceName))
	fmt.Fprintf(&b, "<EventID%s>%d</EventID><Version>%d</Version><Level>%d</Level><Task>%d</Task><Opcode>%d</Opcode><Keywords>0x%x</Keywords>",
		qualifiers, r.EventID, r.Version, r.Level, r.Task, r.Opcode, r.Keywords)
	fmt.Fprintf(&b, "<TimeCreated%s/><EventRecordID>%d</EventRecordID><Correlation%s%s/><Execution ProcessID='%d' ThreadID='%d'/>",
		attribute("SystemTime", time), r.RecordID, attribute("ActivityID", r.ActivityID), attribute("RelatedActivityID", r.RelatedActivityID), r.ProcessID, r.ThreadID)
	fmt.Fprintf(&b, "<Channel>%s</Channel><Computer>%s</Computer><Security%s/></System>", escape.Replace(r.Channel), escape.Replace(r.Computer), attribute("UserID", r.UserSID))
	fmt.Fprintf(&b, "<EventData%s>", attribute("Name", r.DataName))
	for _, f := range r.Data {
		fmt.Fprintf(&b, "<Data%s>%s</Data>", attribute("Name", f.Name), escape.Replace(f.Value))
	}
	b.WriteString("</EventData>")
	if r.UserData != nil {
		b.WriteString("<UserData>")
		elementXML(&b, r.UserData)
		b.WriteString("</UserData>")
	}
	b.WriteString("</Event>")
	return b.String()
}

func elementXML(b *strings.Builder, e *winevent.Element) {
	b.WriteString("<" + e.Name)
	for _, a := range e.Attributes {
		fmt.Fprintf(b, ` %s="%s"`, a.Name, escape.Replace(a.Value))
	}
	b.WriteString(">" + escape.Replace(e.Text))
	for i := range e.Children {
		elementXML(b, &e.Children[i])
	}
	b.WriteString("</" + e.Name + ">")
}

// checkRoundTrip reads records again from their XML: a live event and an
// imported one must be equal.
func checkRoundTrip(t *testing.T, name string, records []*winevent.Record) {
	t.Helper()
	var document strings.Builder
	for _, r := range records {
		document.WriteString(eventXML(r))
	}
	again, err := winevent.ParseXML(strings.NewReader(document.String()))
	if len(records) > 0 && err != nil || len(again) != len(records) {
		t.Fatalf("%s: %d of %d records, %v", name, len(again), len(records), err)
	}
	for i := range records {
		if d := cmp.Diff(records[i], again[i]); d != "" {
			t.Errorf("%s: record %d (-evtx +xml):\n%s", name, records[i].RecordID, d)
		}
	}
}

func TestXMLRoundTrip(t *testing.T) {
	t.Parallel()
	checkRoundTrip(t, "written", read(t, threeChunks(evtxtest.Options{})).records)
	checkRoundTrip(t, "text", read(t, evtxtest.Log(evtxtest.Options{}, evtxtest.Event{
		RecordID: 1, Time: moment, Channel: "C & D", UserSID: "S-1-5-18", Data: []evtxtest.Field{
			evtxtest.Named("it's <&>", evtxtest.String("line\r\nend\rtab\t<&>'\"\x01\x1b ünï𝄞")),
			evtxtest.Named("", evtxtest.Raw(0x01, []byte{0xd0, 0xfd, 0xff, 0xff, 0, 0, 0, 0xd8, 'x', 0})),
		},
	})).records)
}

func TestSampleXMLRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range samples(t) {
		checkRoundTrip(t, s.name, read(t, s.data).records)
	}
}
