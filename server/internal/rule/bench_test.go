package rule

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// otrfEvents reads the NDJSON data sets, whose events are flat maps.
func otrfEvents(tb testing.TB, limit int) []Event {
	tb.Helper()
	root := os.Getenv("ASSAY_TESTDATA")
	if root == "" {
		tb.Skip("ASSAY_TESTDATA is not set: the public corpora are not at hand")
	}
	archives, err := filepath.Glob(filepath.Join(root, "otrf", "*.zip"))
	if err != nil || len(archives) == 0 {
		tb.Fatalf("no archives: %v", err)
	}
	var out []Event
	for _, name := range archives {
		zr, err := zip.OpenReader(name)
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range zr.File {
			if !strings.HasSuffix(f.Name, ".json") || strings.HasPrefix(filepath.Base(f.Name), "._") {
				continue
			}
			r, err := f.Open()
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, flatEvents(tb, r, limit)...)
			_ = r.Close()
		}
		_ = zr.Close()
	}
	return out
}

func flatEvents(tb testing.TB, r io.Reader, limit int) []Event {
	tb.Helper()
	var out []Event
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() && (limit == 0 || len(out) < limit) {
		line := bytes.Trim(lines.Bytes(), "\x00 \r")
		if len(line) == 0 {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		var m map[string]any
		if err := dec.Decode(&m); err != nil {
			tb.Fatal(err)
		}
		e := new(FieldsEvent)
		for name, v := range m {
			var s string
			switch v := v.(type) {
			case string:
				s = v
			case json.Number:
				s = v.String()
			default:
				continue
			}
			switch name {
			case "EventID":
				n, _ := parseNumber(s)
				e.ID = uint32(n.magnitude)
			case "SourceName":
				e.ProviderName = s
			case "Channel":
				e.ChannelName = s
			case "Hostname":
				e.System = append(e.System, Field{"Computer", s})
			case "Level", "Keywords", "Task":
				e.System = append(e.System, Field{name, s})
			case "Message", "@timestamp", "@version", "tags":
			default:
				e.Data = append(e.Data, Field{name, s})
			}
		}
		sort.Slice(e.Data, func(i, j int) bool { return e.Data[i].Name < e.Data[j].Name })
		out = append(out, e)
	}
	return out
}

func allRecords(tb testing.TB) []Event {
	tb.Helper()
	var out []Event
	records := corpusRecords(tb)
	files := make([]string, 0, len(records))
	for f := range records {
		files = append(files, f)
	}
	sort.Strings(files)
	for _, f := range files {
		for _, r := range records[f] {
			out = append(out, r.event)
		}
	}
	return out
}

func isSysmon1(e Event) bool {
	return e.EventID() == 1 && e.Channel() == "Microsoft-Windows-Sysmon/Operational"
}

func keepEvents(events []Event, keep func(Event) bool) []Event {
	var out []Event
	for _, e := range events {
		if keep(e) {
			out = append(out, e)
		}
	}
	return out
}

func benchmarkMatch(b *testing.B, events []Event) {
	b.Helper()
	s := compilePublic(b)
	sc := new(Scratch)
	evaluated := 0
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Match(events[i], sc)
		evaluated += len(sc.picked)
		if i++; i == len(events) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(evaluated)/float64(b.N), "evaluated/event")
	b.ReportMetric(float64(len(events)), "events")
}

// BenchmarkMatchAllRecords matches every record of the public event logs.
func BenchmarkMatchAllRecords(b *testing.B) { benchmarkMatch(b, allRecords(b)) }

// BenchmarkMatchSysmonProcess matches process creations alone, which half of
// all rules look at.
func BenchmarkMatchSysmonProcess(b *testing.B) {
	benchmarkMatch(b, keepEvents(append(allRecords(b), regressionRecords(b)...), isSysmon1))
}

// BenchmarkMatchLiveCaptures matches captures of live attacks.
func BenchmarkMatchLiveCaptures(b *testing.B) { benchmarkMatch(b, otrfEvents(b, 2000)) }

// BenchmarkMatchLiveProcess matches the process creations of those.
func BenchmarkMatchLiveProcess(b *testing.B) {
	benchmarkMatch(b, keepEvents(otrfEvents(b, 0), isSysmon1))
}

// BenchmarkCompile compiles all public rules and reports the prefilter's tables.
func BenchmarkCompile(b *testing.B) {
	sources, cfg := publicRules(b), publicConfig()
	var s *Set
	for b.Loop() {
		s, _ = Compile(sources, cfg)
	}
	b.ReportMetric(float64(s.Stats().TableBytes)/(1<<20), "table-MiB")
	b.ReportMetric(float64(s.Stats().Unfiltered), "unfiltered")
}

// regressionRecords are the records of the public regression cases.
func regressionRecords(tb testing.TB) []Event {
	tb.Helper()
	var out []Event
	untar(tb, corpusFile(tb, "sigma/regression-public.tar.gz"), func(name string, data []byte) {
		if strings.HasSuffix(name, ".evtx") {
			for _, r := range readEVTX(tb, data) {
				out = append(out, r.event)
			}
		}
	})
	return out
}
