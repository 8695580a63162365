package evtx

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"

	"github.com/assay-audit/assay/agent/winevent"
)

// ErrNotEVTX is returned by Open for a file without the signature of an event
// log.
var ErrNotEVTX = errors.New("not a Windows event log (.evtx) file")

var (
	fileSignature   = []byte("ElfFile\x00")
	chunkSignature  = []byte("ElfChnk\x00")
	recordSignature = []byte{0x2a, 0x2a, 0, 0}
)

// flagDirty is set while Windows has the log open.
const flagDirty = 1

// Options tunes a File. The zero value is right for every file.
type Options struct {
	// MaxProblems bounds the list of problems; 0 means 10,000. Where the list is
	// cut, its last entry counts the rest.
	MaxProblems int
}

// Position is where a record lies. (SHA-256 of the file, Chunk, Ordinal)
// identifies an imported event, so both are counted as found, whatever the
// headers claim.
type Position struct {
	Chunk   uint32 // index of the chunk in the file, from 0
	Ordinal uint32 // index of the record in its chunk, from 0, broken ones counted
	Offset  int64  // of the record's header in the file
	// RecordNumber is the id in the record's own header. It is normally equal
	// to System/EventRecordID, but exports and edits make them differ.
	RecordNumber uint64
	// Damaged says that the record decodes but its two size fields disagree; a
	// Problem names it.
	Damaged bool
}

// File iterates over the records of one event log. It is not safe for
// concurrent use.
type File struct {
	reader   io.ReaderAt
	size     int64
	problems problems
	dirty    bool
	noted    uint8 // which once-per-file notes were given
	counted  int64 // chunks that the header counts

	slots int64 // chunk slots that the file's size allows, a partial one included
	next  int64 // next slot to read
	empty int64 // slots of zeros just before next
	chunk chunk
	open  bool // chunk holds records not yet yielded
}

const (
	notedChunkChecksum = 1 << iota
	notedRecordChecksum
)

// Open reads the file header. size is the length of the file in bytes. It fails
// only if the header cannot be read or is not that of an event log; damage
// beyond that is reported by Problems and reading goes on.
func Open(r io.ReaderAt, size int64, options Options) (*File, error) {
	header := make([]byte, 128)
	if size < int64(len(header)) {
		return nil, ErrNotEVTX
	}
	if _, err := r.ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading event log header: %w", err)
	}
	if !bytes.HasPrefix(header, fileSignature) {
		return nil, ErrNotEVTX
	}
	f := &File{reader: r, size: size}
	f.problems.max = cmp.Or(options.MaxProblems, maxProblems)
	f.checkHeader(header)
	if size > fileHeaderSize {
		f.slots = (size - fileHeaderSize + chunkSize - 1) / chunkSize
	}
	f.chunk.init()
	return f, nil
}

func (f *File) checkHeader(header []byte) {
	le := binary.LittleEndian
	major, minor := le.Uint16(header[38:]), le.Uint16(header[36:])
	blockSize, chunks := le.Uint16(header[40:]), le.Uint16(header[42:])
	flags, stored := le.Uint32(header[120:]), le.Uint32(header[124:])

	f.counted = int64(chunks)
	f.dirty = flags&flagDirty != 0
	if f.dirty {
		f.fileProblem(120, Note, "the log was not closed (dirty flag): it was copied while in use, or the system stopped")
	}
	switch {
	case stored == 0:
		f.fileProblem(124, Note, "the file header has no checksum")
	case stored != crc32.ChecksumIEEE(header[:120]):
		f.fileProblem(124, Damage, "the checksum of the file header does not match")
	}
	if major != 3 {
		f.fileProblem(36, Damage, "unknown format version %d.%d; reading as 3.x", major, minor)
	}
	if blockSize != fileHeaderSize {
		f.fileProblem(40, Damage, "the header block size is %d, not %d", blockSize, fileHeaderSize)
	}
	// The count is 16 bits wide and stale in a dirty log, so a file may well be
	// longer than it says; a shorter one was cut.
	if want := fileHeaderSize + int64(chunks)*chunkSize; f.size < want {
		f.fileProblem(f.size, Damage, "the file ends here, but its header counts %d chunks (%d bytes)", chunks, want)
	}
}

func (f *File) fileProblem(offset int64, severity Severity, format string, args ...any) {
	f.problems.add(offset, NoChunk, severity, format, args...)
}

// Problems lists what was found wrong up to now, in the order found; it is
// complete after Next has returned io.EOF. The list is bounded; where it was
// cut, its last entry says so.
func (f *File) Problems() []Problem { return f.problems.all() }

// Damaged reports whether any Problem up to now is Damage.
func (f *File) Damaged() bool { return f.problems.worst == Damage }

// Next returns the next record in file order, and io.EOF after the last. It
// returns no other error: what cannot be read is a Problem. The record is the
// caller's to keep.
func (f *File) Next() (*winevent.Record, Position, error) {
	for {
		if f.open {
			if record, position, ok := f.nextInChunk(); ok {
				return record, position, nil
			}
			f.open = false
		}
		if f.next >= f.slots {
			return nil, Position{}, io.EOF
		}
		f.open = f.loadChunk(f.next)
		f.next++
	}
}

// Records iterates over all remaining records.
func (f *File) Records() iter.Seq2[Position, *winevent.Record] {
	return func(yield func(Position, *winevent.Record) bool) {
		for {
			record, position, err := f.Next()
			if err != nil || !yield(position, record) {
				return
			}
		}
	}
}
