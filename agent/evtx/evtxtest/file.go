// Package evtxtest writes event log files for tests: valid ones with chunks,
// templates and checksums, from typed values, and such as a test then damages.
// Only tests import it.
package evtxtest

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// The fixed sizes of the container.
const (
	FileHeaderSize  = 4096
	ChunkSize       = 64 << 10
	ChunkHeaderSize = 512
)

// Record is one record of a file.
type Record struct {
	// Number is the id in the record header; 0 continues from the record before.
	Number  uint64
	Written time.Time
	Root    Fragment
}

// Options shapes a file. The zero value gives what Windows writes for a closed
// log.
type Options struct {
	Dirty       bool
	NoChecksums bool
	// ChunkRecords bounds the records per chunk; 0 fills the chunks.
	ChunkRecords int
}

// File returns a file that holds the records. It panics on a record that no
// chunk can hold.
func File(options Options, records ...Record) []byte {
	var chunks [][]byte
	c := newChunk()
	var last uint64
	for _, r := range records {
		if r.Number == 0 {
			r.Number = last + 1
		}
		last = r.Number
		full := options.ChunkRecords > 0 && c.count == options.ChunkRecords
		if full || !c.add(r) {
			chunks = append(chunks, c.finish(options))
			c = newChunk()
			if !c.add(r) {
				panic("evtxtest: the record is larger than a chunk")
			}
		}
	}
	if c.count > 0 || len(chunks) == 0 {
		chunks = append(chunks, c.finish(options))
	}
	file := header(len(chunks), last+1, options)
	for _, chunk := range chunks {
		file = append(file, chunk...)
	}
	return file
}

func header(chunks int, next uint64, options Options) []byte {
	h := make([]byte, FileHeaderSize)
	le := binary.LittleEndian
	copy(h, "ElfFile\x00")
	le.PutUint64(h[16:], uint64(chunks-1))
	le.PutUint64(h[24:], next)
	le.PutUint32(h[32:], 128)
	le.PutUint16(h[36:], 1)
	le.PutUint16(h[38:], 3)
	le.PutUint16(h[40:], FileHeaderSize)
	le.PutUint16(h[42:], uint16(chunks))
	if options.Dirty {
		le.PutUint32(h[120:], 1)
	}
	if !options.NoChecksums {
		le.PutUint32(h[124:], crc32.ChecksumIEEE(h[:120]))
	}
	return h
}

// Reseal recomputes all checksums of a file that a test has edited, so that
// only the edit is wrong with it.
func Reseal(file []byte) {
	binary.LittleEndian.PutUint32(file[124:], crc32.ChecksumIEEE(file[:120]))
	for at := FileHeaderSize; at+ChunkSize <= len(file); at += ChunkSize {
		if binary.LittleEndian.Uint64(file[at:]) != 0 {
			seal(file[at : at+ChunkSize])
		}
	}
}

func seal(chunk []byte) {
	le := binary.LittleEndian
	if free := le.Uint32(chunk[48:]); free >= ChunkHeaderSize && free <= ChunkSize {
		le.PutUint32(chunk[52:], crc32.ChecksumIEEE(chunk[ChunkHeaderSize:free]))
	}
	le.PutUint32(chunk[124:], crc32.Update(crc32.ChecksumIEEE(chunk[:120]), crc32.IEEETable, chunk[128:ChunkHeaderSize]))
}

type chunk struct {
	encoder     *encoder
	count       int
	first, last uint64
	lastAt      int
}

func newChunk() *chunk { return &chunk{encoder: newEncoder()} }

// add appends a record; false means that it does not fit, and nothing changed.
func (c *chunk) add(r Record) bool {
	e := c.encoder
	at := len(e.buf)
	e.bytes(0x2a, 0x2a, 0, 0)
	e.u32(0)
	e.bytes(u64(r.Number)...)
	e.bytes(u64(Ticks(r.Written))...)
	e.fragment(r.Root)
	for (len(e.buf)-at)%8 != 4 {
		e.bytes(0)
	}
	size := len(e.buf) - at + 4
	e.u32(size)
	if len(e.buf) > ChunkSize {
		e.rollback(at)
		return false
	}
	binary.LittleEndian.PutUint32(e.buf[at+4:], uint32(size))
	if c.count == 0 {
		c.first = r.Number
	}
	c.last, c.lastAt = r.Number, at
	c.count++
	return true
}

func (e *encoder) rollback(at int) {
	e.buf = e.buf[:at]
	for name, offset := range e.names {
		if offset >= at {
			delete(e.names, name)
		}
	}
	for template, offset := range e.templates {
		if offset >= at {
			delete(e.templates, template)
		}
	}
}

func (c *chunk) finish(options Options) []byte {
	b := make([]byte, ChunkSize)
	copy(b, c.encoder.buf)
	le := binary.LittleEndian
	copy(b, "ElfChnk\x00")
	if c.count == 0 {
		for i := 8; i < 40; i++ {
			b[i] = 0xff
		}
	} else {
		le.PutUint64(b[8:], c.first)
		le.PutUint64(b[16:], c.first+uint64(c.count)-1)
		le.PutUint64(b[24:], c.first)
		le.PutUint64(b[32:], c.last)
	}
	le.PutUint32(b[40:], 128)
	le.PutUint32(b[44:], uint32(c.lastAt))
	le.PutUint32(b[48:], uint32(len(c.encoder.buf)))
	if !options.NoChecksums {
		seal(b)
	}
	return b
}
