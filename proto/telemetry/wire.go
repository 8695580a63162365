package telemetry

import (
	"errors"
	"unicode/utf8"
)

// errNotPlain marks bytes that are no event as our encoder writes one: they may
// still be one to protobuf, which takes fields twice, unknown ones and more.
var errNotPlain = errors.New("event is not in plain form")

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
)

// wire reads protobuf's encoding from a string, so that what is read of it are
// substrings and cost nothing.
type wire struct {
	rest string
	// field and kind are the tag's, then number or bytes its value.
	field  uint64
	kind   uint64
	number uint64
	bytes  string
	failed bool
}

// next reads a field; false at the end, or where failed.
func (w *wire) next() bool {
	if w.rest == "" || w.failed {
		return false
	}
	tag := w.short()
	w.field, w.kind = tag>>3, tag&7
	switch w.kind {
	case wireVarint:
		w.number = w.short()
	case wireFixed64:
		if len(w.rest) < 8 {
			w.failed = true
			return false
		}
		s := w.rest[:8]
		w.number = uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		w.rest = w.rest[8:]
	case wireBytes:
		size := w.short()
		if w.failed || size > uint64(len(w.rest)) {
			w.failed = true
			return false
		}
		w.bytes, w.rest = w.rest[:size], w.rest[size:]
	default:
		w.failed = true
	}
	return !w.failed
}

// short is varint, and quick where there are one or two bytes, as in most of what
// an event has.
func (w *wire) short() uint64 {
	if s := w.rest; len(s) > 1 {
		if s[0] < 0x80 {
			w.rest = s[1:]
			return uint64(s[0])
		}
		if s[1] < 0x80 {
			w.rest = s[2:]
			return uint64(s[0]&0x7f) | uint64(s[1])<<7
		}
	}
	return w.varint()
}

func (w *wire) varint() (n uint64) {
	for i := 0; i < len(w.rest) && i < 10; i++ {
		b := w.rest[i]
		if i == 9 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			w.rest = w.rest[i+1:]
			return n
		}
	}
	w.failed = true
	return 0
}

// validText is utf8.ValidString, which it does not call for the short texts of ASCII
// that most are.
func validText(s string) bool {
	if len(s) > 32 {
		return utf8.ValidString(s)
	}
	var or byte
	for i := range len(s) {
		or |= s[i]
	}
	return or < utf8.RuneSelf || utf8.ValidString(s)
}

// text is the value of a string field.
func (w *wire) text() string {
	if w.kind != wireBytes || !validText(w.bytes) {
		w.failed = true
		return ""
	}
	return w.bytes
}

// message is the value of a field that holds a message or bytes.
func (w *wire) message() string {
	if w.kind != wireBytes {
		w.failed = true
		return ""
	}
	return w.bytes
}

// varintValue is the value of a field of a varint type.
func (w *wire) varintValue() uint64 {
	if w.kind != wireVarint {
		w.failed = true
	}
	return w.number
}

func (w *wire) fixedValue() uint64 {
	if w.kind != wireFixed64 {
		w.failed = true
	}
	return w.number
}
