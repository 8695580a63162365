package evtx_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/winevent"
)

// sample is one file of the sample logs.
type sample struct {
	name string
	data []byte
}

// samples loads the genuine event logs below ASSAY_TESTDATA, and skips the test
// where there are none.
func samples(tb testing.TB) []sample {
	tb.Helper()
	folder := os.Getenv("ASSAY_TESTDATA")
	if folder == "" {
		tb.Skip("ASSAY_TESTDATA is not set: no sample logs to read")
	}
	file, err := os.Open(filepath.Join(folder, "evtx.tar.gz"))
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	var found []sample
	for archive := tar.NewReader(unzipped); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			tb.Fatal(err)
		}
		if !strings.HasSuffix(entry.Name, ".evtx") {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			tb.Fatal(err)
		}
		found = append(found, sample{entry.Name, data})
	}
}

// result is all that one file gives.
type result struct {
	records   []*winevent.Record
	positions []evtx.Position
	problems  []evtx.Problem
}

// read reads a whole file that must open.
func read(tb testing.TB, data []byte) result {
	tb.Helper()
	file, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	var r result
	for position, record := range file.Records() {
		r.records = append(r.records, record)
		r.positions = append(r.positions, position)
	}
	r.problems = file.Problems()
	return r
}
