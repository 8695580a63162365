package evtx

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// seekRecord moves chunk.at to the next record of the chunk and reports whether
// there is one. Where a record's header is destroyed it reports the gap and
// looks for the next header behind it.
func (f *File) seekRecord() bool {
	c := &f.chunk
	if c.at >= c.end {
		return f.dirty && f.seekUnentered()
	}
	size, ok := c.headerAt(c.at)
	if ok && c.belongs(c.at) {
		if c.at+size <= c.end {
			return true
		}
		f.chunkProblem(c.at, Damage, "record %d of %d bytes reaches past the end of the records; it is left out", c.numberAt(c.at), size)
	} else if !c.trusted && (ok || allZero(c.buf[c.at:c.end])) {
		// Without a trusted header the records end where their numbers cease to
		// rise, or where zeros begin: what follows is slack of an older use.
		c.at = c.end
		return false
	} else if allZero(c.buf[c.at:c.end]) {
		f.chunkProblem(c.at, Damage, "the records end here, %d bytes before the chunk header says", c.end-c.at)
		c.at = c.end
		return false
	} else {
		f.chunkProblem(c.at, Damage, "no readable record here: %s", c.describe(c.at))
	}
	return f.salvage()
}

// salvage looks for the next plausible record header behind a destroyed one.
func (f *File) salvage() bool {
	c := &f.chunk
	c.ordinal++ // the destroyed record's own
	for from := c.at + 1; ; {
		i := bytes.Index(c.buf[from:c.end], recordSignature)
		if i < 0 {
			c.at = c.end
			return false
		}
		at := from + i
		size, ok := c.headerAt(at)
		// Inside garbage the signature alone proves nothing: the size at the
		// record's end must agree as well.
		if ok && at+size <= c.end && c.belongs(at) &&
			binary.LittleEndian.Uint32(c.buf[at+size-4:]) == uint32(size) {
			c.at = at
			return true
		}
		from = at + 1
	}
}

// headerAt reads the header of a record; ok is false if there is none that
// could be one.
func (c *chunk) headerAt(at int) (size int, ok bool) {
	if at+minRecordSize > len(c.buf) || !bytes.Equal(c.buf[at:at+4], recordSignature) {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(c.buf[at+4:])
	return int(n), n >= minRecordSize && n <= chunkSize-chunkHeaderSize
}

func (c *chunk) numberAt(at int) uint64 { return binary.LittleEndian.Uint64(c.buf[at+8:]) }

// belongs tells a record of this use of the chunk from the slack of an older
// one: numbers rise, and a trusted header gives their range.
func (c *chunk) belongs(at int) bool {
	number := c.numberAt(at)
	if c.seen > 0 && number <= c.lastSeen {
		return false
	}
	return !c.trusted || number >= c.firstID && number <= c.lastID
}

func (c *chunk) describe(at int) string {
	size, ok := c.headerAt(at)
	switch {
	case ok:
		return fmt.Sprintf("record %d is not one of this chunk's %d to %d in rising order", c.numberAt(at), c.firstID, c.lastID)
	case at+minRecordSize <= len(c.buf) && bytes.Equal(c.buf[at:at+4], recordSignature):
		return fmt.Sprintf("the record's size is %d", size)
	default:
		return "the signature is missing"
	}
}

// unentered reports whether the record that continues the chunk's numbering
// lies whole behind the end that the header gives. Slack of an older use holds
// lower numbers, so this one was written after the header.
func (c *chunk) unentered() (size int, ok bool) {
	if !c.trusted || c.seen == 0 || c.end >= len(c.buf) {
		return 0, false
	}
	size, ok = c.headerAt(c.end)
	return size, ok && c.end+size <= len(c.buf) && c.numberAt(c.end) == c.lastSeen+1 &&
		binary.LittleEndian.Uint32(c.buf[c.end+size-4:]) == uint32(size)
}

// seekUnentered takes in a record that Windows had written but not yet entered
// in the chunk header when the log was copied, as Windows itself does when it
// opens a dirty log.
func (f *File) seekUnentered() bool {
	c := &f.chunk
	size, ok := c.unentered()
	if !ok {
		return false
	}
	f.chunkProblem(c.end, Note, "record %d is not yet entered in the chunk header", c.lastSeen+1)
	c.end += size
	c.lastID, c.lastNum = c.lastSeen+1, c.lastNum+1
	return true
}

// endChunk compares what was found with what the header announces.
func (f *File) endChunk() {
	c := &f.chunk
	if !c.trusted {
		return
	}
	// An empty chunk has first 1 and last 0, or all ones in both.
	announced := c.lastNum - c.firstNum + 1
	switch {
	case c.lastNum == ^uint64(0):
	case announced > chunkSize/minRecordSize:
		f.chunkProblem(8, Damage, "the chunk header announces records %d to %d, which no chunk can hold", c.firstNum, c.lastNum)
	case uint64(c.seen) != announced:
		f.chunkProblem(8, Damage, "the chunk header announces %d records (%d to %d), %d were found", announced, c.firstNum, c.lastNum, c.seen)
	}
	if _, ok := c.unentered(); ok {
		f.chunkProblem(c.end, Damage, "record %d lies behind the end that the chunk header gives; it is left out", c.lastSeen+1)
	}
}
