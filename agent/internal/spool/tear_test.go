package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tears are what a disk may leave of a file from some byte on.
var tears = map[string]func(b []byte, at int) []byte{
	"cut off": func(b []byte, at int) []byte { return b[:at] },
	"zeroed":  func(b []byte, at int) []byte { return append(slices.Clone(b[:at]), make([]byte, len(b)-at)...) },
}

// torn is a spool's folder of which one file is torn.
type torn struct {
	files map[string][]byte // as it was
	name  string            // of the file
	tear  func(b []byte, at int) []byte
}

// at opens the spool with the file torn at that byte.
func (d *torn) at(t *testing.T, cfg Config, at int) *Spool {
	t.Helper()
	disk := &memoryDisk{files: map[string]*memoryFile{}}
	for name, b := range d.files {
		if b = slices.Clone(b); name == d.name {
			b = d.tear(b, at)
		}
		disk.files[name] = &memoryFile{disk: disk, b: b}
	}
	cfg.Files = disk
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("torn at %d: %v", at, err)
	}
	return s
}

func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = b
	}
	return files
}

// TestSegmentTornAtEveryByte tears the last segment, its header too, after a crash
// and after an orderly end. What is whole before the tear is read as it was, and
// nothing else; where the state knows that there was more, that much is a loss,
// and only then; and the chain goes on.
func TestSegmentTornAtEveryByte(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	mustAppend(t, s, 1, 6)
	if err := s.rotate(); err != nil {
		t.Fatal(err)
	}
	s.cfg.SegmentSize = 1 << 20
	ends := []int64{}
	for i := 7; i <= 9; i++ {
		mustAppend(t, s, i, i)
		ends = append(ends, s.segments[len(s.segments)-1].size)
	}
	crashed := filesOf(t, cfg.Dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for how, files := range map[string]map[string][]byte{"after a crash": crashed, "after an orderly end": filesOf(t, cfg.Dir)} {
		for tear, does := range tears {
			t.Run(fmt.Sprintf("%s, %s", how, tear), func(t *testing.T) {
				t.Parallel()
				d := &torn{files: files, name: filepath.Base(lastSegment(t, cfg.Dir)), tear: does}
				for at := range int(ends[2]) {
					whole := 6
					for _, end := range ends {
						if int64(at) >= end {
							whole++
						}
					}
					known := whole
					if how == "after an orderly end" {
						known = 9
					}
					checkTorn(t, d.at(t, cfg, at), at, whole, known)
				}
			})
		}
	}
}

// checkTorn checks a spool that has so many whole batches of those known.
func checkTorn(t *testing.T, s *Spool, offset, whole, known int) {
	t.Helper()
	var lost []string
	for _, l := range s.Losses() {
		lost = append(lost, fmt.Sprintf("%d-%d of events %d-%d", l.First, l.Last, l.FirstSequence, l.LastSequence))
	}
	var want []string
	if whole < known {
		want = []string{fmt.Sprintf("%d-%d of events %d-%d", whole+1, known, 10*whole, 10*known-1)}
	}
	if !slices.Equal(lost, want) || s.Broken() != (whole < known) {
		t.Fatalf("torn at %d: lost are batches %q, broken=%t; want %q", offset, lost, s.Broken(), want)
	}
	if s.Head().Number != uint64(known) {
		t.Fatalf("torn at %d: the head is %d, want %d", offset, s.Head().Number, known)
	}
	// What is read next follows what is known, and no position was made up.
	mustAppend(t, s, at(s.Position("log"))+1, 12)
	if s.Broken() {
		checkBroken(t, s, sequence(1, whole))
		if err := s.Rechain(grant(1, 0), From{}); err != nil {
			t.Fatalf("torn at %d: %v", offset, err)
		}
	}
	if got := values(readAll(t, s, 0)); !slices.Equal(got, append(sequence(1, whole), sequence(known+1, 12)...)) {
		t.Fatalf("torn at %d: read %v", offset, got)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("torn at %d: %v", offset, err)
	}
}

// TestStateTornAtEveryByte tears the state file. The segments tell all that they
// hold, once, and nothing is lost.
func TestStateTornAtEveryByte(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	mustAppend(t, s, 1, 9)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for tear, does := range tears {
		t.Run(tear, func(t *testing.T) {
			t.Parallel()
			d := &torn{files: filesOf(t, cfg.Dir), name: stateName, tear: does}
			for at := range d.files[stateName] {
				checkTorn(t, d.at(t, cfg, at), at, 9, 9)
			}
		})
	}
}
