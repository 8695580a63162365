package cli_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/internal/collect"
	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/service"
	"github.com/assay-audit/assay/proto/evidence"
)

// realLogs unpacks the event logs of ASSAY_TESTDATA.
func realLogs(t testing.TB) string {
	t.Helper()
	data := os.Getenv("ASSAY_TESTDATA")
	if data == "" {
		t.Skip("ASSAY_TESTDATA names no folder with evtx.tar.gz: real logs are not tested")
	}
	f, err := os.Open(filepath.Join(data, "evtx.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	packed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	archive := tar.NewReader(packed)
	for {
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
		name := filepath.Join(dir, strings.ReplaceAll(header.Name, "/", "_"))
		b, err := io.ReadAll(archive)
		if err == nil {
			err = os.WriteFile(name, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Every record that the reader finds in real logs arrives at the server once.
func TestRealLogsArriveWhole(t *testing.T) {
	t.Parallel()
	logs := realLogs(t)
	want := map[string]bool{}
	files, err := collect.Find([]string{logs})
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if want[string(b)] {
			continue // the same bytes count once
		}
		want[string(b)] = true
		log, err := evtx.Open(strings.NewReader(string(b)), int64(len(b)), evtx.Options{})
		if err != nil {
			continue
		}
		for range log.Records() {
			records++
		}
	}
	r := newRig(t)
	code, out, errs := r.run(t.Context(), "import", logs)
	if code != 0 && code != 1 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	events, err := r.server.Events(evidence.Import)
	if err != nil {
		t.Fatal(err)
	}
	type identity struct {
		sha            string
		chunk, ordinal uint32
	}
	seen := map[identity]bool{}
	for _, ev := range events {
		if ev.GetAgentEvent() != nil {
			continue
		}
		p := ev.GetPosition()
		id := identity{string(p.GetFileSha256()), p.GetChunk(), p.GetOrdinal()}
		if seen[id] {
			t.Fatalf("record %v came twice", id)
		}
		seen[id] = true
	}
	if len(seen) != records {
		t.Fatalf("%d records arrived, the reader finds %d", len(seen), records)
	}
	t.Logf("%d records of %d files", records, len(files))
}

// BenchmarkImport measures records a second from event logs into the spool,
// fsync included.
func BenchmarkImport(b *testing.B) {
	logs := realLogs(b)
	var records uint64
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		r := newBenchRig(b)
		b.StartTimer()
		began := time.Now()
		n := r.importOffline(b, logs)
		spent += time.Since(began)
		records += n
	}
	b.ReportMetric(float64(records)/spent.Seconds(), "records/s")
	b.ReportMetric(spent.Seconds()*1e6/float64(records), "us/record")
}

type benchRig struct{ dir string }

func newBenchRig(b *testing.B) *benchRig {
	b.Helper()
	server := servertest.New(b, time.Now)
	dir := filepath.Join(b.TempDir(), "state")
	enrolBench(b, server, dir)
	return &benchRig{dir: dir}
}

func enrolBench(b *testing.B, server *servertest.Server, dir string) {
	b.Helper()
	_, err := enrol.Enrol(b.Context(), enrol.Config{
		Dir: dir, Server: server.Address, CAHash: server.CAHash, Token: servertest.Token,
		Host: &enrol.Host{Name: "bench"}, Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
}

// importOffline imports without an uplink and returns the number of records.
func (r *benchRig) importOffline(b *testing.B, logs string) uint64 {
	b.Helper()
	agent, err := service.Open(service.Config{Dir: r.dir, Holder: "bench", Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	files, err := collect.Find([]string{logs})
	if err != nil {
		b.Fatal(err)
	}
	var summary collect.Summary
	importer := &collect.Importer{Files: files, Now: time.Now, Done: summary.Add}
	if err := agent.Pipeline.Run(b.Context(), importer); err != nil {
		b.Fatal(err)
	}
	if err := agent.Close(); err != nil {
		b.Fatal(err)
	}
	return summary.Totals().New
}
