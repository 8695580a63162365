package evtx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/assay-audit/assay/agent/winevent"
)

// chunk is the one that is being walked. Its buffer and tables are reused from
// chunk to chunk.
type chunk struct {
	index  uint32
	offset int64  // of the chunk in the file
	buf    []byte // what the file holds of it: chunkSize, or less at a cut end

	// From the header. trusted says that the header's checksum holds, or that
	// there is none; else the walk goes by the records alone.
	trusted           bool
	firstNum, lastNum uint64
	firstID, lastID   uint64
	end               int // where the records end: the free-space offset

	at       int // next record
	ordinal  uint32
	lastSeen uint64 // number of the last record found
	seen     int    // records found, broken ones included

	store []byte // backs buf
	x     expander
}

func (c *chunk) init() {
	c.store = make([]byte, chunkSize)
	c.x.init()
}

// loadChunk reads a slot and checks its header. It returns false where the slot
// holds no records.
func (f *File) loadChunk(slot int64) bool {
	c := &f.chunk
	c.index, c.offset = uint32(slot), fileHeaderSize+slot*chunkSize
	c.buf = c.store[:min(chunkSize, f.size-c.offset)]
	n, err := f.reader.ReadAt(c.buf, c.offset)
	if n < len(c.buf) {
		f.chunkProblem(n, Damage, "the chunk cannot be read: %v", readError(err))
		if c.buf = c.buf[:n]; n == 0 {
			return false
		}
	}
	if allZero(c.buf) {
		// Space that Windows reserves ahead, if it lies behind all chunks.
		if slot < f.counted {
			f.chunkProblem(0, Damage, "the chunk is empty, but the file header counts it")
		} else {
			f.empty++
		}
		return false
	}
	if f.empty > 0 {
		f.problems.add(c.offset-f.empty*chunkSize, c.index-uint32(f.empty), Damage, "%d empty chunks lie before one in use", f.empty)
		f.empty = 0
	}
	if len(c.buf) < chunkSize {
		f.chunkProblem(len(c.buf), Damage, "the chunk is cut off after %d of %d bytes", len(c.buf), chunkSize)
	}
	if len(c.buf) <= chunkHeaderSize {
		return false
	}
	c.at, c.ordinal, c.lastSeen, c.seen = chunkHeaderSize, 0, 0, 0
	if !bytes.HasPrefix(c.buf, chunkSignature) {
		f.chunkProblem(0, Damage, "unreadable chunk: the header's signature is missing")
		c.trusted, c.end = false, len(c.buf)
	} else {
		f.readChunkHeader()
	}
	c.x.reset(c.buf)
	return true
}

func readError(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the file is shorter than stated")
	}
	return err
}

func (f *File) readChunkHeader() {
	c, le := &f.chunk, binary.LittleEndian
	h := c.buf[:chunkHeaderSize]
	c.firstNum, c.lastNum = le.Uint64(h[8:]), le.Uint64(h[16:])
	c.firstID, c.lastID = le.Uint64(h[24:]), le.Uint64(h[32:])
	free, recordSum, headerSum := le.Uint32(h[48:]), le.Uint32(h[52:]), le.Uint32(h[124:])

	c.trusted = true
	switch {
	case headerSum == 0:
		f.noteOnce(notedChunkChecksum, 124, "the chunk header has no checksum")
	case headerSum != chunkHeaderSum(h):
		c.trusted = false
		f.chunkProblem(124, Damage, "the checksum of the chunk header does not match; its limits are not used")
	}
	if free < chunkHeaderSize || free > chunkSize {
		c.trusted = false
		f.chunkProblem(48, Damage, "the free-space offset %d lies outside the chunk", free)
		free = chunkSize
	}
	c.end = min(int(free), len(c.buf))
	switch {
	case recordSum == 0 && free > chunkHeaderSize:
		f.noteOnce(notedRecordChecksum, 52, "the record area has no checksum")
	case int(free) > len(c.buf): // cut off, which is reported already
	case recordSum != crc32.ChecksumIEEE(c.buf[chunkHeaderSize:free]):
		f.chunkProblem(52, Damage, "the checksum of the record area does not match")
	}
	if !c.trusted {
		c.end = len(c.buf)
	}
}

func chunkHeaderSum(h []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(h[:120]), crc32.IEEETable, h[128:chunkHeaderSize])
}

// noteOnce reports a missing checksum for the first chunk only: a program that
// sets none sets none anywhere.
func (f *File) noteOnce(which uint8, at int, text string) {
	if f.noted&which == 0 {
		f.noted |= which
		f.chunkProblem(at, Note, "%s (the first chunk of which this is true)", text)
	}
}

func (f *File) chunkProblem(at int, severity Severity, format string, args ...any) {
	f.problems.add(f.chunk.offset+int64(at), f.chunk.index, severity, format, args...)
}

// nextInChunk returns the next decodable record of the chunk; ok is false at
// its end.
func (f *File) nextInChunk() (record *winevent.Record, position Position, ok bool) {
	c := &f.chunk
	for f.seekRecord() {
		at := c.at
		size := int(binary.LittleEndian.Uint32(c.buf[at+4:]))
		position = Position{
			Chunk: c.index, Ordinal: c.ordinal, Offset: c.offset + int64(at),
			RecordNumber: binary.LittleEndian.Uint64(c.buf[at+8:]),
		}
		c.at, c.lastSeen = at+size, position.RecordNumber
		c.ordinal++
		c.seen++
		switch sizeCopy := binary.LittleEndian.Uint32(c.buf[at+size-4:]); sizeCopy {
		case uint32(size):
		case 0:
			// The copy is the last thing written: the rest of this record may be
			// zeros that read as values, which must not pass for evidence.
			f.chunkProblem(at, Damage, "record %d was not written to its end; it is left out", position.RecordNumber)
			continue
		default:
			position.Damaged = true
			f.chunkProblem(at, Damage, "the sizes of record %d differ: %d at its start, %d at its end", position.RecordNumber, size, sizeCopy)
		}
		record, err := c.x.decode(at+recordHeaderSize, at+size-4)
		if err != nil {
			f.chunkProblem(at, Damage, "record %d cannot be decoded: %v; it is left out", position.RecordNumber, err)
			continue
		}
		if c.x.unknownType != 0 {
			f.chunkProblem(at, Note, "record %d has a value of unknown type 0x%02x, given in hexadecimal", position.RecordNumber, c.x.unknownType)
		}
		return record, position, true
	}
	f.endChunk()
	return nil, Position{}, false
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
