package telemetry

import (
	"encoding/binary"
	"math"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// plainField is how a field of a table's message is read from its bytes.
type plainField struct {
	kind     Kind
	nullable bool
	// narrow integers have 32 bits.
	narrow, signed bool
	wireType       uint64
}

func newPlainField(c *Column, field protoreflect.FieldDescriptor) plainField {
	p := plainField{kind: c.Kind, nullable: c.Nullable, wireType: wireVarint}
	switch field.Kind() {
	case protoreflect.StringKind:
		p.wireType = wireBytes
	case protoreflect.DoubleKind:
		p.wireType = wireFixed64
	case protoreflect.Int32Kind:
		p.narrow, p.signed = true, true
	case protoreflect.Int64Kind:
		p.signed = true
	case protoreflect.Uint32Kind:
		p.narrow = true
	}
	return p
}

// check reports whether the value just read is one of the field's.
func (p *plainField) check(w *wire) bool {
	if w.kind != p.wireType {
		return false
	}
	if p.wireType == wireBytes {
		w.text()
	}
	return !w.failed
}

// CopyEncoder writes rows as PostgreSQL's COPY takes them in binary. It holds
// scratch space: one goroutine uses it.
type CopyEncoder struct {
	values [maxColumns]copyValue
	lists  [maxColumns][]string
}

// maxColumns bounds the fields of a table's message.
const maxColumns = 128

type copyValue struct {
	text   string
	number uint64
	set    bool
}

// The beginning and the end of a COPY in binary.
const (
	CopyHeader  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	CopyTrailer = "\xff\xff"
)

// AppendRow appends the row of v, which has a table, to dst. It holds the same
// values as the table's Values.
func (e *CopyEncoder) AppendRow(dst []byte, p Placement, v *View) []byte {
	t := v.Table
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.Columns)))
	dst = appendCommon(dst, p, v)
	values := e.values[:len(t.plain)]
	for i := range values {
		values[i].set = false
	}
	for w := (wire{rest: v.body}); w.next(); {
		at, ok := t.columnOf(w.field)
		if !ok {
			continue
		}
		value := &values[at]
		if t.plain[at].kind == KindTexts {
			if !value.set {
				e.lists[at] = e.lists[at][:0]
			}
			e.lists[at] = append(e.lists[at], withoutNUL(w.bytes))
		}
		value.text, value.number, value.set = w.bytes, w.number, true
	}
	for at := range values {
		dst = e.appendValue(dst, &t.plain[at], at)
	}
	return dst
}

func appendCommon(dst []byte, p Placement, v *View) []byte {
	dst = append(appendSize(dst, 16), p.HostID[:]...)
	dst = appendInt64(dst, p.Position)
	dst = binary.BigEndian.AppendUint32(appendSize(dst, 4), uint32(p.Ordinal))
	dst = appendTime(dst, v.Time())
	dst = appendTime(dst, p.ReceivedAt)
	r := load()
	dst = appendText(dst, label(r.sources, v.Source, SourceName))
	dst = appendText(dst, label(r.grades, v.Grade, GradeName))
	dst = appendText(dst, label(r.modes, v.Mode, ModeName))
	if id := v.Position.RecordID; id != 0 {
		dst = appendInt64(dst, clamp(id))
	} else {
		dst = appendNull(dst)
	}
	channel := v.Position.Channel
	if channel == "" {
		channel = v.Raw.Channel
	}
	dst = appendText(appendText(dst, withoutNUL(channel)), withoutNUL(v.Raw.Provider))
	if v.HasRaw {
		dst = binary.BigEndian.AppendUint32(appendSize(dst, 4), min(v.Raw.EventID, math.MaxInt32))
	} else {
		dst = appendNull(dst)
	}
	return appendText(dst, withoutNUL(v.RuleName))
}

// labels are the texts of an enumeration's numbers from 0, which protobuf looks up
// and cuts anew for every call.
func labels[E ~int32](count int, name func(E) string) []string {
	list := make([]string, count)
	for i := range list {
		list[i] = name(E(i))
	}
	return list
}

func label[E ~int32](labels []string, e E, name func(E) string) string {
	if e >= 0 && int(e) < len(labels) {
		return labels[e]
	}
	return name(e)
}

func (e *CopyEncoder) appendValue(dst []byte, p *plainField, at int) []byte {
	value := &e.values[at]
	if p.nullable && !value.set {
		return appendNull(dst)
	}
	switch p.kind {
	case KindText:
		if !value.set {
			return appendSize(dst, 0)
		}
		return appendText(dst, withoutNUL(value.text))
	case KindTexts:
		if !value.set {
			return appendTexts(dst, nil)
		}
		return appendTexts(dst, e.lists[at])
	case KindBool:
		dst = appendSize(dst, 1)
		if value.set && value.number != 0 {
			return append(dst, 1)
		}
		return append(dst, 0)
	case KindInt32:
		return binary.BigEndian.AppendUint32(appendSize(dst, 4), uint32(value.number))
	case KindFloat64:
		return binary.BigEndian.AppendUint64(appendSize(dst, 8), value.number)
	case KindInt64:
	case KindUUID, KindTime: // of the columns before the plain fields alone
	}
	switch {
	case p.signed:
		return appendInt64(dst, int64(value.number))
	case p.narrow:
		return appendInt64(dst, int64(uint32(value.number)))
	}
	return appendInt64(dst, clamp(value.number))
}

func appendSize(dst []byte, n int) []byte { return binary.BigEndian.AppendUint32(dst, uint32(n)) }

func appendNull(dst []byte) []byte { return binary.BigEndian.AppendUint32(dst, math.MaxUint32) }

func appendInt64(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(appendSize(dst, 8), uint64(n))
}

func appendText(dst []byte, s string) []byte { return append(appendSize(dst, len(s)), s...) }

// copyEpoch is where PostgreSQL counts microseconds from.
var copyEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func appendTime(dst []byte, t time.Time) []byte { return appendInt64(dst, t.UnixMicro()-copyEpoch) }

func appendTexts(dst []byte, list []string) []byte {
	const textOID, dimensionless, headed = 25, 12, 20
	if len(list) == 0 {
		dst = appendSize(dst, dimensionless)
		dst = binary.BigEndian.AppendUint64(dst, 0) // no dimension, no null
		return binary.BigEndian.AppendUint32(dst, textOID)
	}
	size := headed
	for _, s := range list {
		size += 4 + len(s)
	}
	dst = appendSize(dst, size)
	dst = binary.BigEndian.AppendUint64(dst, 1<<32) // one dimension, no null
	dst = binary.BigEndian.AppendUint32(dst, textOID)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(list)))
	dst = binary.BigEndian.AppendUint32(dst, 1)
	for _, s := range list {
		dst = appendText(dst, s)
	}
	return dst
}
