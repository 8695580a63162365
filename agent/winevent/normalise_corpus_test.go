package winevent_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/winevent"
	"github.com/assay-audit/assay/proto/telemetry"
)

// eachSample calls visit with every genuine record below ASSAY_TESTDATA.
func eachSample(t *testing.T, visit func(file string, r *winevent.Record)) {
	t.Helper()
	folder := os.Getenv("ASSAY_TESTDATA")
	if folder == "" {
		t.Skip("ASSAY_TESTDATA is not set: no sample logs to read")
	}
	for _, archive := range []string{"evtx.tar.gz", "sigma/regression-public.tar.gz"} {
		packed, err := os.ReadFile(filepath.Join(folder, archive))
		if err != nil {
			t.Fatal(err)
		}
		unzipped, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		for files := tar.NewReader(unzipped); ; {
			entry, err := files.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(entry.Name, ".evtx") {
				continue
			}
			data, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			log, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
			if err != nil {
				continue
			}
			for _, record := range log.Records() {
				visit(entry.Name, record)
			}
		}
	}
}

// TestSamplesNormalise: every genuine record becomes one event of one table,
// with its source, its grade, an OCSF class and a row; nothing of it is lost.
func TestSamplesNormalise(t *testing.T) {
	t.Parallel()
	n := &winevent.Normaliser{Subject: telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED, Mode: telemetryv1.Mode_MODE_IMPORT}
	tables, untyped := map[string]int{}, map[string]int{}
	records := 0
	eachSample(t, func(file string, r *winevent.Record) {
		records++
		ev := n.Normalise(r)
		table := telemetry.Of(ev)
		if table == nil {
			t.Fatalf("%s: record %d has no table", file, r.RecordID)
		}
		tables[table.Name]++
		if table.Name == "win_log_events" {
			untyped[fmt.Sprintf("%s %d", r.Provider, r.EventID)]++
		}
		if ev.Subject.GetHost() != r.Computer || ev.Source == 0 || ev.Grade == 0 || ev.ObservedAt == 0 {
			t.Errorf("%s: record %d: envelope %v %v %v %v", file, r.RecordID, ev.Subject, ev.Source, ev.Grade, ev.ObservedAt)
		}
		if class, _ := telemetry.OCSF(ev); class == 0 {
			t.Errorf("%s: record %d: no OCSF class", file, r.RecordID)
		}
		if _, err := proto.Marshal(ev); err != nil {
			t.Errorf("%s: record %d: %v", file, r.RecordID, err)
		}
		checkRaw(t, r, ev)
		if row := table.Values(telemetry.Placement{}, ev); len(row) != len(table.Columns) {
			t.Errorf("%s: %d columns", table.Name, len(row))
		}
	})
	t.Logf("%d records", records)
	for _, name := range byCount(tables) {
		t.Logf("%6d %s", tables[name], name)
	}
	for _, name := range byCount(untyped) {
		t.Logf("       %6d log record: %s", untyped[name], name)
	}
	if len(tables) < 15 {
		t.Errorf("records of %d tables only", len(tables))
	}
}

func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// checkRaw: what the event carries is the record, time aside.
func checkRaw(t *testing.T, r *winevent.Record, ev *telemetryv1.Event) {
	t.Helper()
	want := *r
	want.Time = r.Time.Truncate(0)
	got := winevent.RecordOf(ev.GetRaw())
	got.Time = want.Time
	if !sameRecord(&want, got) {
		t.Errorf("record %d of %s is not whole in raw:\n%+v\n%+v", r.RecordID, r.Provider, want, got)
	}
}

func sameRecord(a, b *winevent.Record) bool {
	x, y := *a, *b
	x.Data, y.Data, x.UserData, y.UserData = nil, nil, nil, nil
	if fmt.Sprintf("%+v", x) != fmt.Sprintf("%+v", y) || !slices.Equal(a.Data, b.Data) {
		return false
	}
	if a.UserData == nil || b.UserData == nil {
		return a.UserData == b.UserData
	}
	return sameElement(a.UserData, b.UserData)
}

func sameElement(a, b *winevent.Element) bool {
	if a.Name != b.Name || a.Text != b.Text || !slices.Equal(a.Attributes, b.Attributes) {
		return false
	}
	return slices.EqualFunc(a.Children, b.Children, func(x, y winevent.Element) bool { return sameElement(&x, &y) })
}

// BenchmarkNormalise measures a process start as Sysmon writes it.
func BenchmarkNormalise(b *testing.B) {
	r := &winevent.Record{Provider: telemetry.SysmonProvider, EventID: 1}
	for i := range 23 {
		r.Data = append(r.Data, winevent.Field{Name: fmt.Sprintf("Field%d", i), Value: `C:\Windows\System32\svchost.exe -k netsvcs`})
	}
	r.Data[4].Name, r.Data[10].Name, r.Data[17].Name = "Image", "CommandLine", "Hashes"
	var n winevent.Normaliser
	for b.Loop() {
		n.Normalise(r)
	}
}
