package drivertest

import (
	"encoding/binary"
	"unicode/utf16"

	"github.com/assay-audit/assay/agent/internal/kernel"
)

// Builder writes a record's body: numbers in order, and references to what follows
// the body.
type Builder struct {
	body []byte
	refs []ref
}

type ref struct {
	at    int // in body
	bytes []byte
}

// U8, U16, U32 and U64 add numbers.
func (b *Builder) U8(v ...uint8) *Builder { b.body = append(b.body, v...); return b }

// U16 adds numbers of 16 bits.
func (b *Builder) U16(list ...uint16) *Builder {
	for _, v := range list {
		b.body = binary.LittleEndian.AppendUint16(b.body, v)
	}
	return b
}

// U32 adds numbers of 32 bits.
func (b *Builder) U32(list ...uint32) *Builder {
	for _, v := range list {
		b.body = binary.LittleEndian.AppendUint32(b.body, v)
	}
	return b
}

// U64 adds numbers of 64 bits.
func (b *Builder) U64(list ...uint64) *Builder {
	for _, v := range list {
		b.body = binary.LittleEndian.AppendUint64(b.body, v)
	}
	return b
}

// Raw adds bytes as they are.
func (b *Builder) Raw(v []byte) *Builder { b.body = append(b.body, v...); return b }

// Bytes adds a reference to bytes; nil is one that says unknown.
func (b *Builder) Bytes(v []byte) *Builder {
	b.refs = append(b.refs, ref{len(b.body), v})
	b.body = append(b.body, make([]byte, 16)...)
	return b
}

// Text adds a reference to text.
func (b *Builder) Text(s string) *Builder {
	units := utf16.Encode([]rune(s))
	v := make([]byte, 0, 2*len(units))
	for _, u := range units {
		v = binary.LittleEndian.AppendUint16(v, u)
	}
	return b.Bytes(v)
}

// Record is one to post. The driver fills in boot, load, n and what was lost.
type Record struct {
	Class      kernel.Class
	Kind       kernel.Kind
	Time       uint64
	PID, TID   uint32
	PIDCreated uint64
	Flags      uint32
	Body       *Builder
}

const headerSize = 80

func (r *Record) encode() []byte {
	body := r.Body
	if body == nil {
		body = &Builder{}
	}
	for len(body.body)%8 != 0 {
		body.body = append(body.body, 0)
	}
	out := append(make([]byte, headerSize), body.body...)
	for _, ref := range body.refs {
		at := headerSize + ref.at
		if ref.bytes == nil {
			binary.LittleEndian.PutUint32(out[at+12:], 2)
			continue
		}
		if len(ref.bytes) > 0 {
			binary.LittleEndian.PutUint32(out[at:], uint32(len(out)))
		}
		binary.LittleEndian.PutUint32(out[at+4:], uint32(len(ref.bytes)))
		binary.LittleEndian.PutUint32(out[at+8:], uint32(len(ref.bytes)))
		out = append(out, ref.bytes...)
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
	}
	le := binary.LittleEndian
	le.PutUint32(out, uint32(len(out)))
	le.PutUint16(out[4:], uint16(r.Kind))
	out[6], out[7] = 1, byte(r.Class)
	le.PutUint32(out[8:], r.Flags)
	le.PutUint32(out[12:], uint32(len(body.body)))
	le.PutUint64(out[48:], r.Time)
	le.PutUint64(out[56:], r.Time/2)
	le.PutUint32(out[64:], r.PID)
	le.PutUint32(out[68:], r.TID)
	le.PutUint64(out[72:], r.PIDCreated)
	return out
}
