package evtx_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	et "github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/assay-audit/assay/agent/winevent"
	"github.com/google/go-cmp/cmp"
)

// What the sample logs hold, counted by walking their chunks by hand. The cut
// chunk of log2timeline-System2 holds 89 whole records that the other readers
// do not reach; two logs end in a record that was never written to its end.
const (
	sampleFiles      = 144
	sampleRecords    = 16_076
	velocidexRecords = 15_989
	cutChunkRecords  = 89
	// What evtxexport gets to before it gives up on some files, and the texts
	// that it loses.
	evtxexportRecords = 14_641
	evtxexportBlank   = 2
)

// torn names the records that the other reader pieces together from zeros (a
// provider GUID that ends in zeros, an event of id 0): file and record number.
var torn = map[string]uint64{
	"omerbenamram-Microsoft-Windows-LanguagePackSetup%4Operational.evtx": 17,
	"omerbenamram-Microsoft-Windows-HelloForBusiness%4Operational.evtx":  6,
}

func TestAgainstVelocidex(t *testing.T) {
	t.Parallel()
	files, total, theirs, left := 0, 0, 0, maps.Clone(torn)
	explained := map[string]int{}
	for _, s := range samples(t) {
		ours := read(t, s.data)
		files++
		total += len(ours.records)
		byNumber := map[uint64]*winevent.Record{}
		for i, p := range ours.positions {
			byNumber[p.RecordNumber] = ours.records[i]
		}
		for _, other := range readVelocidex(t, s.data) {
			theirs++
			record := byNumber[other.number]
			if record == nil {
				if left[filepath.Base(s.name)] != other.number {
					t.Errorf("%s: record %d is missing", s.name, other.number)
				}
				delete(left, filepath.Base(s.name))
				continue
			}
			if d := other.difference(record, explained); d != "" {
				t.Errorf("%s: record %d: %s", s.name, other.number, d)
			}
		}
	}
	if files != sampleFiles || total != sampleRecords || theirs != velocidexRecords {
		t.Errorf("%d files, %d records, %d by the other reader; want %d, %d, %d", files, total, theirs, sampleFiles, sampleRecords, velocidexRecords)
	}
	if len(left) > 0 || theirs-len(torn)+cutChunkRecords != total {
		t.Errorf("torn records not met: %v; %d - %d + %d is not %d", left, theirs, len(torn), cutChunkRecords, total)
	}
	t.Logf("%d records in %d files, %d by the other reader", total, files, theirs)
	for _, reason := range slices.Sorted(maps.Keys(explained)) {
		t.Logf("explained %6d: it %s", explained[reason], reason)
	}
}

// beyondEvtxexport are the files that evtxexport gives up on: it knows neither
// plain elements with references nor the types they lead it to.
var beyondEvtxexport = map[string]int{
	"ID4799-4624-Local_admin_group_enumerated_by_SharpHound.evtx":                                       55,
	"ID800-4103-4104-Print_spooler_privilege_escalation_(CVE-2020-1048).evtx":                           10,
	"ID4622-New_SSP_loaded_in_LSA_(only_legitim).evtx":                                                  420,
	"ID1116-1117-Defender_threat_detected.evtx":                                                         6,
	"ID1151-Defender_health_status.evtx":                                                                455,
	"ID800-4103-Interactive_PipeShell_over_named_pipe_(server_and_client).evtx":                         30,
	"omerbenamram-E_ShadowCopy6_windows_system32_winevt_logs_Microsoft-Windows-CAPI2%4Operational.evtx": 459,
}

// TestAgainstEvtxexport compares every field of every record, in order, with
// Debian's evtxexport.
func TestAgainstEvtxexport(t *testing.T) {
	t.Parallel()
	all := samples(t)
	tool, err := exec.LookPath("evtxexport")
	if err != nil {
		t.Fatal("evtxexport is missing: install the Debian package libevtx-utils")
	}
	compared, fields, lines := 0, 0, 0
	for _, s := range all {
		ours, theirs := read(t, s.data).records, evtxexport(t, tool, s.data)
		if want, beyond := beyondEvtxexport[filepath.Base(s.name)]; beyond {
			if len(ours) != want || len(theirs) >= want {
				t.Errorf("%s: %d records, %d by evtxexport, want %d and fewer", s.name, len(ours), len(theirs), want)
			}
		} else if cut := len(ours) - len(theirs); cut != 0 && (cut != cutChunkRecords || filepath.Base(s.name) != "log2timeline-System2.evtx") {
			t.Errorf("%s: %d records, %d by evtxexport", s.name, len(ours), len(theirs))
		}
		for i := range min(len(ours), len(theirs)) {
			canonical(ours[i], false)
			canonical(theirs[i], true)
			lines += blankLines(theirs[i], ours[i])
			if d := cmp.Diff(theirs[i], ours[i]); d != "" {
				t.Errorf("%s: record %d (-evtxexport +ours):\n%s", s.name, ours[i].RecordID, d)
			}
			compared++
			fields += len(ours[i].Fields())
		}
	}
	t.Logf("%d records with %d fields compared", compared, fields)
	if compared != evtxexportRecords || lines != evtxexportBlank {
		t.Errorf("%d records compared, %d blank lines lost by evtxexport; want %d and %d", compared, lines, evtxexportRecords, evtxexportBlank)
	}
}

func evtxexport(t *testing.T, tool string, data []byte) []*winevent.Record {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log.evtx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// It fails where it cannot go on, after the records before; the caller
	// knows for which files that is.
	out, _ := exec.Command(tool, "-f", "xml", path).Output()
	start := bytes.Index(out, []byte("<Event"))
	if start < 0 {
		return nil
	}
	records, err := winevent.ParseXML(bytes.NewReader(out[start:]))
	if err != nil {
		t.Fatalf("reading evtxexport's output: %v", err)
	}
	return records
}

var (
	paddedHex = regexp.MustCompile(`^0x0+([0-9a-f]+)$`)
	guidText  = regexp.MustCompile(`^\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}$`)
	longTime  = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7})00Z$`)
)

// blankLines sets the one loss of evtxexport that is not of form: it shows a
// text that is a bare line feed as empty, as Event Viewer does, although the
// record holds it.
func blankLines(theirs, ours *winevent.Record) (n int) {
	for i := range min(len(theirs.Data), len(ours.Data)) {
		if theirs.Data[i].Value == "" && ours.Data[i].Value == "\n" {
			theirs.Data[i].Value = "\n"
			n++
		}
	}
	return n
}

// canonical removes the three differences of form: evtxexport pads hexadecimal
// numbers to their width, prints GUIDs in upper case and times with nine
// digits. Ours is left alone but for GUIDs, which occur as plain text too.
func canonical(r *winevent.Record, theirs bool) {
	fix := func(text string) string {
		if guidText.MatchString(text) {
			return strings.ToLower(text)
		}
		if theirs {
			text = paddedHex.ReplaceAllString(text, "0x$1")
			text = longTime.ReplaceAllString(text, "${1}Z")
		}
		return text
	}
	for i := range r.Data {
		r.Data[i].Value = fix(r.Data[i].Value)
	}
	if r.UserData != nil {
		fixElement(r.UserData, fix)
	}
}

func fixElement(e *winevent.Element, fix func(string) string) {
	e.Text = fix(e.Text)
	for i := range e.Attributes {
		e.Attributes[i].Value = fix(e.Attributes[i].Value)
	}
	for i := range e.Children {
		fixElement(&e.Children[i], fix)
	}
}

// TestWriterAgainstEvtxexport: what the tests' own writer writes is what others
// take for an event log, so that tests on its files test the format. Negative
// integers and SYSTEMTIME are left out: evtxexport of 2018 prints -5 as
// -2147483643, and milliseconds with three digits.
func TestWriterAgainstEvtxexport(t *testing.T) {
	t.Parallel()
	samples(t) // skips where the tool is not to be expected
	tool, err := exec.LookPath("evtxexport")
	if err != nil {
		t.Fatal("evtxexport is missing: install the Debian package libevtx-utils")
	}
	template := et.Of(9, et.El("UserData", et.El("Inner", et.El("Sid", et.Sub(0)), et.El("None", et.Opt(1))).With("kind", et.Text("k"))),
		et.SID("S-1-5-21-1-2-3-4"), et.Null())
	logs := [][]byte{
		threeChunks(et.Options{}),
		threeChunks(et.Options{Dirty: true}),
		et.Log(et.Options{}, et.Event{RecordID: 1, Time: moment, Provider: "P", Body: template}, et.Event{
			RecordID: 2, Time: moment, Provider: "P", ProviderGUID: "00000000-0000-0000-0000-00000000000a", Data: []et.Field{
				et.Named("a", et.Hex64(0x3e7)), et.Named("b", et.Int32(5)), et.Named("c", et.GUID("00000000-0000-0000-0000-00000000000b")),
				et.Named("d", et.FileTime(moment)), et.Named("e", et.Bool(true)), et.Named("f", et.Binary([]byte{1, 255})), et.Named("g", et.String("ü€")),
				et.Named("h", et.Strings("x", "y")),
			}}),
	}
	for i, log := range logs {
		ours, theirs := read(t, log).records, evtxexport(t, tool, log)
		if len(ours) != len(theirs) {
			t.Errorf("log %d: %d records, %d by evtxexport", i, len(ours), len(theirs))
		}
		for j := range min(len(ours), len(theirs)) {
			canonical(ours[j], false)
			canonical(theirs[j], true)
			if d := cmp.Diff(theirs[j], ours[j]); d != "" {
				t.Errorf("log %d, record %d (-evtxexport +ours):\n%s", i, j, d)
			}
		}
	}
}

// TestSampleProblems: of the sample logs three are damaged, each in its own
// way, and nothing else is taken for damage.
func TestSampleProblems(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"log2timeline-System2.evtx": {"the file ends here, but its header counts 96 chunks", "cut off after 64832 of 65536 bytes",
			"offset 199640 (chunk 2): record 284 of 616 bytes reaches past the end", "announces 90 records (195 to 284), 89 were found"},
		"omerbenamram-Microsoft-Windows-HelloForBusiness%4Operational.evtx": {"checksum of the record area", "offset 8080 (chunk 0): record 6 was not written to its end",
			"the records end here, 5704 bytes before", "announces 20 records (1 to 20), 6 were found"},
		"omerbenamram-Microsoft-Windows-LanguagePackSetup%4Operational.evtx": {"checksum of the record area", "offset 12024 (chunk 0): record 17 was not written to its end",
			"the records end here, 1152 bytes before", "announces 20 records (1 to 20), 17 were found"},
	}
	for _, s := range samples(t) {
		t.Run(filepath.Base(s.name), func(t *testing.T) {
			t.Parallel()
			checkProblems(t, read(t, s.data).problems, evtx.Damage, want[filepath.Base(s.name)])
		})
	}
}

// TestSampleEntities reads a record that both other readers break off at its
// entities.
func TestSampleEntities(t *testing.T) {
	t.Parallel()
	for _, s := range samples(t) {
		if !strings.Contains(s.name, "CAPI2%4Operational") {
			continue
		}
		r := read(t, s.data)
		i := slices.IndexFunc(r.positions, func(p evtx.Position) bool { return p.RecordNumber == 291 })
		if i < 0 {
			t.Fatal("no record 291")
		}
		var headers []string
		for _, f := range r.records[i].Fields() {
			if f.Name == "Header" {
				headers = append(headers, f.Value)
			}
		}
		if len(headers) != 17 || headers[12] != `ETag: "863cf3fa3bbdd11:0"` || headers[16] != "X-Powered-By: ASP.NET" {
			t.Errorf("headers %q", headers)
		}
		return
	}
	t.Error("the log is not among the samples")
}
