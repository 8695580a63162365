package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// ErrMalformed is of bytes that no driver of ours writes.
var ErrMalformed = errors.New("malformed driver record")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Batch is an answer to a read.
type Batch struct {
	Boot, Load uint64
	Records    []Record
}

const batchSize = 32

// DecodeBatch decodes an answer. Nothing of it shares b's memory. Records of kinds
// that this program does not know are there without a body.
func DecodeBatch(b []byte) (batch Batch, err error) {
	if len(b) < batchSize || len(b) > maxRead {
		return batch, malformed("an answer of %d bytes", len(b))
	}
	le := binary.LittleEndian
	size, count := le.Uint32(b[8:]), le.Uint32(b[12:])
	switch {
	case le.Uint32(b) != abiMagic:
		return batch, malformed("the answer does not begin like one")
	case le.Uint32(b[4:]) == 0:
		return batch, malformed("the answer is of version 0")
	case uint64(size) != uint64(len(b)) || uint64(count) > uint64(len(b))/headerSize:
		return batch, malformed("the answer says %d bytes and %d records, it has %d bytes", size, count, len(b))
	}
	batch.Boot, batch.Load = le.Uint64(b[16:]), le.Uint64(b[24:])
	rest := b[batchSize:]
	batch.Records = make([]Record, 0, count)
	for range count {
		r, n, err := DecodeRecord(rest)
		if err != nil {
			return batch, err
		}
		batch.Records, rest = append(batch.Records, r), rest[n:]
	}
	if len(rest) != 0 {
		return batch, malformed("%d bytes follow the last record", len(rest))
	}
	return batch, nil
}

// DecodeRecord decodes the record that b begins with, and returns its size.
func DecodeRecord(b []byte) (r Record, size int, err error) {
	if len(b) < headerSize {
		return r, 0, malformed("a record of %d bytes", len(b))
	}
	le := binary.LittleEndian
	n, body := le.Uint32(b), le.Uint32(b[12:])
	if n < headerSize || n > maxRecord || n%8 != 0 || uint64(n) > uint64(len(b)) || uint64(body) > uint64(n)-headerSize {
		return r, 0, malformed("a record says it has %d bytes, %d of them its body, where %d are left", n, body, len(b))
	}
	r.Header = Header{
		Kind: Kind(le.Uint16(b[4:])), Version: b[6], Class: Class(b[7]), Flags: le.Uint32(b[8:]), Boot: le.Uint64(b[16:]), Load: le.Uint64(b[24:]),
		N: le.Uint64(b[32:]), LostBefore: le.Uint64(b[40:]), SystemTime: le.Uint64(b[48:]), InterruptTime: le.Uint64(b[56:]),
		PID: le.Uint32(b[64:]), TID: le.Uint32(b[68:]), PIDCreated: le.Uint64(b[72:]),
	}
	if r.Class >= Classes {
		return r, 0, malformed("class %d", r.Class)
	}
	f := &fields{record: b[:n], body: b[headerSize : headerSize+body]}
	r.Body = f.decode(r.Kind)
	return r, int(n), f.err
}

// fields reads a body in order. What is beyond its end reads as zero: the driver
// is of an older version.
type fields struct {
	record, body []byte
	at           int
	err          error
}

func (f *fields) take(n int) []byte {
	var zero [16]byte
	at := f.at
	f.at += n
	if f.at > len(f.body) {
		return zero[:n]
	}
	return f.body[at:f.at]
}

func (f *fields) u8() uint8   { return f.take(1)[0] }
func (f *fields) u16() uint16 { return binary.LittleEndian.Uint16(f.take(2)) }
func (f *fields) u32() uint32 { return binary.LittleEndian.Uint32(f.take(4)) }
func (f *fields) i32() int32  { return int32(f.u32()) }
func (f *fields) u64() uint64 { return binary.LittleEndian.Uint64(f.take(8)) }

func (f *fields) address() (a [16]byte) {
	copy(a[:], f.take(16))
	return a
}

// bytes reads a reference to bytes.
func (f *fields) bytes() Text {
	offset, size, whole, flags := f.u32(), f.u32(), f.u32(), f.u32()
	t := Text{Whole: whole, Truncated: flags&refTruncated != 0, Unknown: flags&refUnknown != 0}
	if size == 0 {
		return t
	}
	// Behind the body, on a boundary, within the record.
	if offset%8 != 0 || uint64(offset) < headerSize+uint64(len(f.body)) || uint64(offset)+uint64(size) > uint64(len(f.record)) {
		if f.err == nil {
			f.err = malformed("a reference to %d bytes at %d of %d", size, offset, len(f.record))
		}
		return t
	}
	t.Value = string(f.record[offset : offset+size])
	return t
}

// text reads a reference to UTF-16. A surrogate without its partner becomes U+FFFD.
func (f *fields) text() Text {
	t := f.bytes()
	if len(t.Value)%2 != 0 && f.err == nil {
		f.err = malformed("a text of %d bytes", len(t.Value))
	}
	units := make([]uint16, len(t.Value)/2)
	for i := range units {
		units[i] = uint16(t.Value[2*i]) | uint16(t.Value[2*i+1])<<8
	}
	t.Value = string(utf16.Decode(units))
	return t
}

func (f *fields) decode(kind Kind) any {
	switch kind {
	case KindStarted:
		return &Started{f.u32(), f.u32(), f.u32(), f.u32(), f.u32(), f.u32()}
	case KindTamper:
		return &Tamper{f.u32(), f.u32(), f.u64(), f.u32(), f.i32(), f.text()}
	case KindGap:
		return &Gap{f.u64(), f.u64(), f.u32(), f.u32()}
	case KindVolumeArrived, KindVolumeLeft:
		return &Volume{f.u32(), f.u32(), f.u32(), f.u32(), f.text(), f.text(), f.text(), f.text(), f.text(), f.text()}
	case KindProcessCreated, KindProcessFound:
		return &Process{f.u64(), f.u64(), f.u32(), f.u32(), f.u32(), f.u32(), f.u32(), f.u32(), f.u32(), f.u32(), f.text(), f.text(), f.bytes()}
	case KindProcessExited:
		return &Exit{f.u64(), f.u32(), f.i32(), f.u32(), f.u32()}
	case KindImageLoaded:
		return &Image{f.u64(), f.u64(), f.u64(), f.u32(), f.u32(), f.u32(), f.u32(), f.text()}
	case KindThreadRemote:
		return &Thread{f.u64(), f.u32(), f.u32()}
	case KindProcessOpened:
		return &Open{f.u64(), f.u32(), f.u32(), f.u32(), f.u32(), f.u32(), f.u32()}
	case KindKeySet, KindKeyValueDeleted, KindKeyDeleted, KindKeyCreated, KindKeyRenamed:
		return &Key{f.u32(), f.u32(), f.text(), f.text(), f.bytes()}
	case KindFileCreated, KindFileWritten, KindFileRenamed, KindFileDeleted, KindFileLinked, KindFileTimesSet, KindFileStreamCreated, KindFileMapped:
		return &File{f.address(), f.u64(), f.u64(), f.u64(), f.u32(), f.u32(), f.u32(), f.u32(), f.text(), f.text(), f.text(), f.text()}
	case KindFlowConnected, KindFlowAccepted, KindFlowListening, KindFlowRefused, KindFlowEnded:
		return &Flow{f.u64(), f.u64(), f.u64(), f.u64(), f.address(), f.address(), f.u16(), f.u16(), f.u8(), f.u8(), f.u8(), f.u8(), f.u64(), f.u32(), f.u32(), f.text()}
	case KindPayloadCopied:
		return &Payload{f.u64(), f.u64(), f.u64(), f.u64(), f.address(), f.address(), f.u16(), f.u16(), f.u8(), f.u8(), f.u8(), f.u8(), f.bytes()}
	}
	return nil
}

// IsBatch reports whether b begins like an answer to a read. A record does not: it
// begins with its size, which is smaller.
func IsBatch(b []byte) bool { return len(b) >= 4 && binary.LittleEndian.Uint32(b) == abiMagic }
