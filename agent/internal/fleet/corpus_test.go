package fleet

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/winevent"
)

// shape is what does not differ between two records of the same event.
func shape(r *winevent.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s q%d l%d t%d o%d k%x %s:", r.Channel, r.ProviderGUID, r.EventSourceName, r.Qualifiers, r.Level, r.Task, r.Opcode, r.Keywords, r.DataName)
	for _, f := range r.Fields() {
		b.WriteString(" " + f.Name)
	}
	return b.String()
}

func event(r *winevent.Record) string {
	return fmt.Sprintf("%s %d v%d", r.Provider, r.EventID, r.Version)
}

// Made-up records have the shape of genuine ones, wherever there is a genuine
// one of the same event and version.
func TestRecordsLookGenuine(t *testing.T) {
	t.Parallel()
	genuine := genuineShapes(t)
	compared := map[string]bool{}
	for _, items := range world(t) {
		for i := range items {
			r := items[i].record
			if r == nil || compared[event(r)] || genuine[event(r)] == nil {
				continue
			}
			compared[event(r)] = true
			made := shape(r)
			if channelOf(r.Channel) == sysmon && r.EventID != 1 {
				// Sysmon added the user to all events without a new version of them.
				made = strings.TrimSuffix(made, " User")
			}
			if shapes := genuine[event(r)]; !slices.Contains(shapes, made) && !slices.Contains(shapes, shape(r)) {
				t.Errorf("%s is\n%s, genuine are\n%s", event(r), shape(r), strings.Join(shapes, "\n"))
			}
		}
	}
	t.Logf("%d events compared", len(compared))
	if len(compared) < 15 {
		t.Errorf("only %d events have a genuine one", len(compared))
	}
}

func genuineShapes(t *testing.T) map[string][]string {
	t.Helper()
	folder := os.Getenv("ASSAY_TESTDATA")
	if folder == "" {
		t.Skip("ASSAY_TESTDATA is not set: no genuine logs to compare with")
	}
	shapes := map[string][]string{}
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
			content, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			log, err := evtx.Open(bytes.NewReader(content), int64(len(content)), evtx.Options{})
			if err != nil {
				continue
			}
			for _, r := range log.Records() {
				if s := shape(r); !slices.Contains(shapes[event(r)], s) {
					shapes[event(r)] = append(shapes[event(r)], s)
				}
			}
		}
	}
	return shapes
}
