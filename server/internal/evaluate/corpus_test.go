package evaluate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/winevent"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/rule"
)

// corpus calls yield for each record of the genuine logs.
func corpus(t *testing.T, yield func(*winevent.Record)) {
	t.Helper()
	folder := os.Getenv("ASSAY_TESTDATA")
	if folder == "" {
		t.Skip("ASSAY_TESTDATA is not set: no sample logs to read")
	}
	file, err := os.Open(filepath.Join(folder, "evtx.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(unzipped); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(entry.Name, ".evtx") {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		log, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
		if err != nil {
			continue
		}
		for _, r := range log.Records() {
			yield(r)
		}
	}
}

// TestCorpus runs the selectors over genuine logs as if they were imported.
func TestCorpus(t *testing.T) {
	t.Parallel()
	library := load(t)
	set, byName := selectors(t, library)
	scratch := &rule.Scratch{}
	hosts := map[string]*Inputs{}
	counts := map[string]int{}
	position := uint64(0)
	corpus(t, func(r *winevent.Record) {
		position++
		event := rule.FieldsEvent{ProviderName: r.Provider, ChannelName: r.Channel, ID: r.EventID}
		for _, f := range r.Fields() {
			event.Data = append(event.Data, rule.Field(f))
		}
		for _, match := range set.Match(&event, scratch) {
			selector := byName[match.Rule.Name]
			counts[match.Rule.Name]++
			fields := map[string]string{}
			for _, name := range selector.Keep {
				if value, ok := r.Value(name); ok {
					fields[name] = value
				}
			}
			in := hosts[r.Computer]
			if in == nil {
				in = &Inputs{Library: library, Host: Host{Imported: true, FirstSeen: r.Time}}
				hosts[r.Computer] = in
			}
			in.Hits = append(in.Hits, assay.Hit{
				Check: selector.Check, Selector: selector.Selector, Ref: assay.EventRef{Position: position}, BookedAt: r.Time, Mode: assay.Imported,
				Grade: assay.GradeC, Channel: r.Channel, EventID: r.EventID, RecordID: r.RecordID, Fields: fields,
			})
		}
	})
	for _, name := range []string{
		"log.cleared/security", "log.cleared/other", "log.policy_change/removed", "log.stop/service_stop", "log.stop/shutdown",
		"log.stop/shutdown_requested", "agent.alive/shutdown", "time.changed/audited", "time.changed/kernel", "media.known_device/installed",
	} {
		if counts[name] == 0 {
			t.Errorf("no genuine event matches %s", name)
		}
	}
	failing := map[string]int{}
	for computer, in := range hosts {
		for _, v := range Evaluate(*in, position+1, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)).Verdicts {
			switch v.State {
			case assay.StateFail:
				failing[v.Check]++
			case assay.StatePass, assay.StateError:
				t.Errorf("%s of imported %s is %s: %s", v.Check, computer, v.State, v.Detail)
			case assay.StateUnknown, assay.StateNotApplicable, assay.StateManual, assay.NoState:
			}
		}
		cleared := slices.ContainsFunc(in.Hits, func(h assay.Hit) bool { return h.Check == "log.cleared" && h.EventID == 1102 })
		v := verdictOf(t, Evaluate(*in, position+1, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)), "log.cleared")
		if cleared && v.State != assay.StateFail {
			t.Errorf("%s cleared its log and is %s", computer, v.State)
		}
	}
	t.Logf("%d records, %d hosts with hits, hits %v, hosts failing %v", position, len(hosts), counts, failing)
}
