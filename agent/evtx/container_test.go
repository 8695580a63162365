package evtx_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

func TestNotAnEventLog(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, []byte("ElfFile\x00"), bytes.Repeat([]byte("no log "), 1000)} {
		if _, err := evtx.Open(bytes.NewReader(b), int64(len(b)), evtx.Options{}); !errors.Is(err, evtx.ErrNotEVTX) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}

// failing fails to read one chunk.
type failing struct {
	io.ReaderAt
	from, to int64
}

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at < f.to && at+int64(len(p)) > f.from {
		return 0, errors.New("bad sector")
	}
	return f.ReaderAt.ReadAt(p, at)
}

func TestReadError(t *testing.T) {
	t.Parallel()
	b := threeChunks(evtxtest.Options{})
	file, err := evtx.Open(failing{bytes.NewReader(b), int64(chunkAt(1)), int64(chunkAt(2))}, int64(len(b)), evtx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range file.Records() {
		n++
	}
	if n != 20 || !file.Damaged() || len(file.Problems()) != 1 || !strings.Contains(file.Problems()[0].Text, "bad sector") {
		t.Errorf("%d records, problems %v", n, file.Problems())
	}
	if _, err := evtx.Open(failing{bytes.NewReader(b), 0, 10}, int64(len(b)), evtx.Options{}); err == nil {
		t.Error("a file whose header cannot be read was opened")
	}
}

// TestProblemsAreBounded: a file of nothing but broken records must not fill
// the memory with complaints, and must say that it was cut short.
func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	chunk := threeChunks(evtxtest.Options{})[chunkAt(0):chunkAt(1)]
	for at := evtxtest.ChunkHeaderSize; at+56 <= evtxtest.ChunkSize; at += 56 {
		copy(chunk[at:], "**\x00\x00\x38\x00\x00\x00")
		put64(chunk, at+8, uint64(at))
		chunk[at+24] = 0x1f
		put32(chunk, at+52, 56)
	}
	chunk[0] = 'X' // so that the records are all there is to go by
	b := threeChunks(evtxtest.Options{})[:evtxtest.FileHeaderSize]
	for range 12 {
		b = append(b, chunk...)
	}
	r := read(t, b)
	last := r.problems[len(r.problems)-1]
	if len(r.records) != 0 || len(r.problems) != 10_001 || last.Severity != evtx.Damage || !strings.Contains(last.Text, "further problems") {
		t.Errorf("%d records, %d problems, the last %v", len(r.records), len(r.problems), last)
	}
	file, err := evtx.Open(bytes.NewReader(b), int64(len(b)), evtx.Options{MaxProblems: 3})
	if err != nil {
		t.Fatal(err)
	}
	for range file.Records() {
		t.Error("a record")
	}
	if got := file.Problems(); len(got) != 4 || !strings.Contains(got[3].Text, "further problems") || !file.Damaged() {
		t.Errorf("%v", got)
	}
}
