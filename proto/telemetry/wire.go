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
	tag := w.varint()
	w.field, w.kind = tag>>3, tag&7
	switch w.kind {
	case wireVarint:
		w.number = w.varint()
	case wireFixed64:
		if len(w.rest) < 8 {
			w.failed = true
			return false
		}
		w.number = 0
		for i := 7; i >= 0; i-- {
			w.number = w.number<<8 | uint64(w.rest[i])
		}
		w.rest = w.rest[8:]
	case wireBytes:
		size := w.varint()
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

// text is the value of a string field.
func (w *wire) text() string {
	if w.kind != wireBytes || !utf8.ValidString(w.bytes) {
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
