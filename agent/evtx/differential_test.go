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
