package evtx_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

// seeds are logs of every shape that the writer knows, and genuine ones where
// there are some.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	logs := [][]byte{
		threeChunks(evtxtest.Options{}),
		threeChunks(evtxtest.Options{Dirty: true, NoChecksums: true}),
		evtxtest.Log(evtxtest.Options{}),
		evtxtest.Log(evtxtest.Options{}, evtxtest.Event{RecordID: 1, Time: moment, Data: []evtxtest.Field{
			evtxtest.Named("a", evtxtest.Strings("x", "y")), evtxtest.Named("b", evtxtest.SID("S-1-5-18")),
			evtxtest.Named("c", evtxtest.Real64(1.5)), evtxtest.Named("d", evtxtest.GUID("00000000-0000-0000-0000-000000000001")),
			evtxtest.Named("e", evtxtest.BinXML(evtxtest.El("x", evtxtest.EntityRef("amp")))),
		}}),
	}
	for _, log := range hostileLogs() {
		logs = append(logs, log)
	}
	if os.Getenv("ASSAY_TESTDATA") != "" {
		for _, s := range samples(f) {
			if len(s.data) < 100_000 {
				logs = append(logs, s.data)
			}
		}
	}
	return logs
}

// FuzzFile: no file makes the reader panic, run long or take much memory.
func FuzzFile(f *testing.F) {
	for _, log := range seeds(f) {
		f.Add(log)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The bound is per chunk; a file of a thousand may take a thousand times
		// as long.
		if len(data) > evtxtest.FileHeaderSize+4*evtxtest.ChunkSize {
			t.Skip("larger than four chunks")
		}
		readBounded(t, data)
	})
}

// FuzzChunk fuzzes one chunk whose checksums are made to match, so that the
// fuzzer gets at what a forger could write. Seeds are large: fuzz with
// -fuzzminimizetime 10x.
func FuzzChunk(f *testing.F) {
	for _, log := range seeds(f) {
		if len(log) >= chunkAt(1) {
			f.Add(bytes.TrimRight(log[chunkAt(0):chunkAt(1)], "\x00")) // padded below
		}
	}
	header := evtxtest.Log(evtxtest.Options{})[:evtxtest.FileHeaderSize]
	f.Fuzz(func(t *testing.T, chunk []byte) {
		if len(chunk) > evtxtest.ChunkSize {
			t.Skip("larger than a chunk")
		}
		file := append(slices.Clone(header), chunk...)
		file = append(file, make([]byte, evtxtest.ChunkSize-len(chunk))...)
		evtxtest.Reseal(file)
		readBounded(t, file)
	})
}
