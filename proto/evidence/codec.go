package evidence

import (
	"encoding/binary"
	"fmt"
)

// reader takes fixed-width parts off the front of b. The first short read
// sets short, and every read after that yields zero.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.short, r.b = true, nil
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) hash() (h Hash) {
	copy(h[:], r.take(len(h)))
	return h
}

func (r *reader) streamID() (id StreamID) {
	copy(id[:], r.take(len(id)))
	return id
}

// variable reads a length and that many bytes, at most limit. The result is a copy.
func (r *reader) variable(limit int) []byte {
	n := r.u32()
	if uint64(n) > uint64(limit) {
		r.short, r.b = true, nil
		return nil
	}
	return append([]byte(nil), r.take(int(n))...)
}

// done reports whether exactly all bytes were read.
func (r *reader) done(what string) error {
	switch {
	case r.short:
		return fmt.Errorf("%w: %s is too short", ErrMalformed, what)
	case len(r.b) > 0:
		return fmt.Errorf("%w: %s has %d bytes too many", ErrMalformed, what, len(r.b))
	}
	return nil
}

func appendVariable(b, part []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
	return append(b, part...)
}
