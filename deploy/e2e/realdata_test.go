package e2e

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/assay-audit/assay/proto/evidence"
)

// Recorded logs of ASSAY_TESTDATA, and how many records our reader finds there.
const (
	realFiles   = 144
	realRecords = 16_076
)

// dumped is a record as assay-agent evtx dump --json prints it.
type dumped struct {
	RecordID uint64 `json:"record_id"`
	EventID  int64  `json:"event_id"`
	Provider string
	Channel  string
	Computer string
	Data     []struct{ Name, Value string }
	UserData map[string]json.RawMessage `json:"user_data"`
}

// TestRealLogs imports logs that Windows wrote, counts, and holds the verdicts
// to what the records say.
func TestRealLogs(t *testing.T) {
	t.Parallel()
	dir := realLogs(t)
	w := newWorld(t)
	a := w.enrol(t, "importer", "enrol", "import")
	records := dump(t, dir)
	want := map[eventKey]int64{}
	for i := range records {
		want[records[i].key()]++
	}
	// Some of the logs are damaged, which exit code 1 tells.
	if first := a.startImport(t, dir).result(t, 1); first.Files != realFiles || first.New != realRecords || first.Failed == 0 {
		t.Errorf("%d records of %d files were imported, %d of them damaged; want %d of %d", first.New, first.Files, first.Failed, realRecords, realFiles)
	}
	w.awaitProjected(t)
	got := w.readStream(t, evidence.Import)
	sameCount(t, "in the batches", got.count, want)
	tables := w.countTables(t)
	sameCount(t, "in the tables", tables, want)
	if len(got.records) != realRecords || sum(tables) != realRecords {
		t.Errorf("%d records were received and %d projected, want %d", len(got.records), sum(tables), realRecords)
	}
	w.awaitEvaluated(t)
	w.judgeRealLogs(t, records)

	if again := a.startImport(t, dir).result(t, 1); again.New != 0 || again.Known != realFiles {
		t.Errorf("importing once more took %d records as new and knew %d files", again.New, again.Known)
	}
	w.awaitProjected(t)
	sameCount(t, "in the tables after importing once more", w.countTables(t), want)
	w.nothingAside(t)
	w.mustVerify(t)
}

func (d *dumped) key() eventKey { return eventKey{d.Computer, d.Channel, d.EventID} }

// realLogs unpacks the recorded logs, each in the folder that it is kept in.
func realLogs(t *testing.T) string {
	t.Helper()
	data := os.Getenv("ASSAY_TESTDATA")
	if data == "" {
		t.Skip("ASSAY_TESTDATA names no folder with evtx.tar.gz: real logs are not tested")
	}
	file, err := os.Open(filepath.Join(data, "evtx.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for archive := tar.NewReader(packed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg || !filepath.IsLocal(header.Name) {
			continue
		}
		name := filepath.Join(dir, header.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err == nil {
			err = os.WriteFile(name, text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// dump reads all records with the program's own reader.
func dump(t *testing.T, dir string) []dumped {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var records []dumped
	for i := 0; i < len(files); i += 16 {
		r := run(t, patiently, "assay-agent", append([]string{"evtx", "dump", "--json"}, files[i:min(i+16, len(files))]...)...)
		lines := bufio.NewScanner(strings.NewReader(r.stdout))
		lines.Buffer(nil, maxOutput)
		for lines.Scan() {
			var d dumped
			if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
				t.Fatalf("a line of the dump: %v", err)
			}
			records = append(records, d)
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) != realFiles || len(records) != realRecords {
		t.Fatalf("the reader finds %d records in %d files, want %d in %d", len(records), len(files), realRecords, realFiles)
	}
	return records
}

// awaitEvaluated waits for an evaluation that began after now.
func (w *world) awaitEvaluated(t *testing.T) {
	t.Helper()
	var now time.Time
	if err := w.pool.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	await(t, "an evaluation", patiently, func(ctx context.Context) (bool, string) {
		var runs int64
		err := w.pool.QueryRow(ctx, `SELECT count(*) FROM run WHERE started_at > $1`, now).Scan(&runs)
		return err == nil && runs > 0, fmt.Sprint(err)
	})
}

// record is a record as a finding can name it.
type record struct {
	Computer string
	RecordID uint64
}

// judgeRealLogs holds all verdicts of the imported hosts to the records.
func (w *world) judgeRealLogs(t *testing.T, records []dumped) {
	t.Helper()
	violations := map[string]map[record]bool{"log.cleared": {}, "log.policy_change": {}}
	channels := parameter(t, "log.cleared", "channels")
	subcategories := parameter(t, "log.policy_change", "subcategories")
	for i := range records {
		d := &records[i]
		if d.clears(channels) {
			violations["log.cleared"][record{d.Computer, d.RecordID}] = true
		}
		if d.reducesAuditing(subcategories) {
			violations["log.policy_change"][record{d.Computer, d.RecordID}] = true
		}
	}
	for check, want := range violations {
		if len(want) == 0 {
			t.Fatalf("no record violates %s: nothing is tested", check)
		}
		w.judgeOccurrence(t, check, want)
	}
	w.judgeAbsence(t)
}

// clears reports whether the record is of the clearing of a log that counts.
func (d *dumped) clears(channels []string) bool {
	if d.Provider != "Microsoft-Windows-Eventlog" {
		return false
	}
	var cleared struct{ Channel string }
	if raw, ok := d.UserData["LogFileCleared"]; ok {
		if err := json.Unmarshal(raw, &cleared); err != nil {
			return false
		}
	}
	listed := slices.ContainsFunc(channels, func(c string) bool { return strings.EqualFold(c, cleared.Channel) })
	return d.Channel == "Security" && d.EventID == 1102 || d.Channel == "System" && d.EventID == 104 && listed
}

// reducesAuditing reports whether the record takes auditing from a subcategory
// that must have it.
func (d *dumped) reducesAuditing(subcategories []string) bool {
	if d.Channel != "Security" || d.Provider != "Microsoft-Windows-Security-Auditing" {
		return false
	}
	value := map[string]string{}
	for _, f := range d.Data {
		value[f.Name] = f.Value
	}
	changes := value["AuditPolicyChanges"]
	profiled := slices.ContainsFunc(subcategories, func(g string) bool { return strings.EqualFold(g, value["SubcategoryGuid"]) })
	return d.EventID == 4912 || d.EventID == 4719 && profiled && (strings.Contains(changes, "%%8448") || strings.Contains(changes, "%%8450"))
}

// parameter is the default of a check's parameter, as its file documents it.
func parameter(t *testing.T, check, name string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "server", "internal", "framework", "checks", check+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Parameters []struct {
			Name    string
			Default yaml.Node
		}
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range doc.Parameters {
		var list []string
		if p.Name == name && p.Default.Decode(&list) == nil && len(list) > 0 {
			return list
		}
	}
	t.Fatalf("check %s documents no parameter %s", check, name)
	return nil
}

// judgeOccurrence checks that a check fails on exactly the hosts of the
// violating records, and that its findings name exactly those records.
func (w *world) judgeOccurrence(t *testing.T, check string, want map[record]bool) {
	t.Helper()
	hosts := map[string]bool{}
	for r := range want {
		hosts[r.Computer] = true
	}
	for _, v := range w.verdicts(t) {
		if v.Kind == "imported" && v.Check == check && (v.State == "fail") != hosts[v.Host] {
			t.Errorf("%s is %s on %s (%s); its logs hold a violation: %t", check, v.State, v.Host, v.Reason, hosts[v.Host])
		}
	}
	got := map[record]bool{}
	for _, f := range w.findings(t, check) {
		if len(f.Evidence) == 0 {
			t.Errorf("the finding %q of %s names no event", f.Title, check)
		}
		for _, ref := range f.Evidence {
			got[w.recordAt(t, ref)] = true
		}
	}
	for r := range want {
		if !got[r] {
			t.Errorf("%s: no finding names record %d of %s", check, r.RecordID, r.Computer)
		}
	}
	for r := range got {
		if !want[r] {
			t.Errorf("%s: a finding names record %d of %s, which is no violation", check, r.RecordID, r.Computer)
		}
	}
}

// judgeAbsence checks that what logs alone cannot show is not said of a host.
func (w *world) judgeAbsence(t *testing.T) {
	t.Helper()
	// Neither an agent nor people answering alerts were there when it was recorded.
	notApplicable := map[string]bool{"agent.alive": true, "log.forward_lag": true, "log.chain": true,
		"alert.answered": true, "alert.failures": true, "alert.reviewed": true}
	states := map[string]int{}
	for _, v := range w.verdicts(t) {
		if v.Kind != "imported" {
			continue
		}
		states[v.State]++
		switch {
		case notApplicable[v.Check] != (v.State == "not_applicable"):
			t.Errorf("%s is %s (%s) on %s, of which only exported logs are known", v.Check, v.State, v.Reason, v.Host)
		case v.State == "fail" && v.Evidence == 0:
			t.Errorf("%s fails on %s without evidence: %s", v.Check, v.Host, v.Reason)
		case v.State != "fail" && v.State != "unknown" && v.State != "not_applicable":
			t.Errorf("%s is %s on %s, whose logs end years ago", v.Check, v.State, v.Host)
		}
	}
	t.Logf("verdicts on imported hosts: %v", states)
}

// verdict is the newest verdict of a check on a host.
type verdict struct {
	Host, Kind, Check, State, Reason string
	Evidence                         int
}

func (w *world) verdicts(t *testing.T) []verdict {
	t.Helper()
	rows, err := w.pool.Query(t.Context(), `SELECT h.name, h.kind, v.check_id, v.state, v.reason, v.evidence_total FROM verdict v JOIN host h ON h.id = v.host_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []verdict
	for rows.Next() {
		var v verdict
		if err := rows.Scan(&v.Host, &v.Kind, &v.Check, &v.State, &v.Reason, &v.Evidence); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there is no verdict")
	}
	return all
}

// finding is one as assayctl prints it.
type finding struct {
	Title    string
	HostName string `json:"host_name"`
	Status   string
	Evidence []eventRef
}

type eventRef struct {
	Position int64 `json:",string"`
	Ordinal  int64
}

func (w *world) findings(t *testing.T, check string) []finding {
	t.Helper()
	var list struct{ Findings []finding }
	w.ctlJSON(t, &list, "findings", "--check", check)
	return list.Findings
}

// recordAt asks which record the event at a place in the ledger was.
func (w *world) recordAt(t *testing.T, ref eventRef) record {
	t.Helper()
	var r record
	err := w.pool.QueryRow(t.Context(), `SELECT h.name, e.record_id FROM hit e JOIN host h ON h.id = e.host_id WHERE e.position = $1 AND e.ordinal = $2`,
		ref.Position, ref.Ordinal).Scan(&r.Computer, &r.RecordID)
	if err != nil {
		t.Fatalf("looking up event %d/%d: %v", ref.Position, ref.Ordinal, err)
	}
	return r
}
