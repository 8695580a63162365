package evtxtest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Value is a typed substitution value. Kind is its BinXML type.
type Value struct {
	Kind uint8
	Data []byte
	// fragment is set for BinXML, whose bytes depend on where they lie.
	fragment Fragment
}

func utf16Bytes(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func u16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// Null returns the null value.
func Null() Value { return Value{} }

// Raw returns a value of any type and bytes.
func Raw(kind uint8, data []byte) Value { return Value{Kind: kind, Data: data} }

// String returns a Unicode string.
func String(s string) Value { return Value{Kind: 0x01, Data: utf16Bytes(s)} }

// ANSI returns a string of bytes of the system's code page.
func ANSI(b string) Value { return Value{Kind: 0x02, Data: []byte(b)} }

// Int8 returns a signed integer of 8 bits; the next seven are alike.
func Int8(v int8) Value     { return Value{Kind: 0x03, Data: []byte{byte(v)}} }
func Uint8(v uint8) Value   { return Value{Kind: 0x04, Data: []byte{v}} }
func Int16(v int16) Value   { return Value{Kind: 0x05, Data: u16(uint16(v))} }
func Uint16(v uint16) Value { return Value{Kind: 0x06, Data: u16(v)} }
func Int32(v int32) Value   { return Value{Kind: 0x07, Data: u32(uint32(v))} }
func Uint32(v uint32) Value { return Value{Kind: 0x08, Data: u32(v)} }
func Int64(v int64) Value   { return Value{Kind: 0x09, Data: u64(uint64(v))} }
func Uint64(v uint64) Value { return Value{Kind: 0x0a, Data: u64(v)} }

// Real32 returns a float of 32 bits.
func Real32(v float32) Value { return Value{Kind: 0x0b, Data: u32(math.Float32bits(v))} }

// Real64 returns a float of 64 bits.
func Real64(v float64) Value { return Value{Kind: 0x0c, Data: u64(math.Float64bits(v))} }

// Bool returns a boolean, which takes 32 bits.
func Bool(v bool) Value {
	if v {
		return Value{Kind: 0x0d, Data: u32(1)}
	}
	return Value{Kind: 0x0d, Data: u32(0)}
}

// Binary returns bytes.
func Binary(b []byte) Value { return Value{Kind: 0x0e, Data: b} }

// GUID returns a GUID given as text, with or without braces. It panics if the
// text is none.
func GUID(s string) Value {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(s, "{}"), "-", ""))
	if err != nil || len(b) != 16 {
		panic(fmt.Sprintf("evtxtest: %q is no GUID", s))
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5], b[6], b[7] = b[5], b[4], b[7], b[6]
	return Value{Kind: 0x0f, Data: b}
}

// Size32 and Size64 return a pointer-sized integer.
func Size32(v uint32) Value { return Value{Kind: 0x10, Data: u32(v)} }
func Size64(v uint64) Value { return Value{Kind: 0x10, Data: u64(v)} }

// Ticks converts to FILETIME: 100 ns since 1601.
func Ticks(t time.Time) uint64 {
	return uint64(t.Unix()+11644473600)*1e7 + uint64(t.Nanosecond()/100)
}

// FileTime returns a FILETIME.
func FileTime(t time.Time) Value { return Value{Kind: 0x11, Data: u64(Ticks(t))} }

// SystemTime returns a SYSTEMTIME, which keeps milliseconds.
func SystemTime(t time.Time) Value {
	t = t.UTC()
	var b []byte
	for _, v := range []int{t.Year(), int(t.Month()), int(t.Weekday()), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond() / 1e6} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return Value{Kind: 0x12, Data: b}
}

// SID returns a security identifier given as S-1-…. It panics if it is none.
func SID(s string) Value {
	parts := strings.Split(s, "-")
	if len(parts) < 3 || parts[0] != "S" {
		panic(fmt.Sprintf("evtxtest: %q is no SID", s))
	}
	authority, err := strconv.ParseUint(parts[2], 0, 48)
	if err != nil {
		panic(fmt.Sprintf("evtxtest: %q is no SID", s))
	}
	b := []byte{1, byte(len(parts) - 3)}
	b = append(b, binary.BigEndian.AppendUint64(nil, authority)[2:]...)
	for _, p := range parts[3:] {
		sub, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			panic(fmt.Sprintf("evtxtest: %q is no SID", s))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(sub))
	}
	return Value{Kind: 0x13, Data: b}
}

// Hex32 and Hex64 return integers that are shown in hexadecimal.
func Hex32(v uint32) Value { return Value{Kind: 0x14, Data: u32(v)} }
func Hex64(v uint64) Value { return Value{Kind: 0x15, Data: u64(v)} }

// BinXML returns a nested fragment as a value.
func BinXML(f Fragment) Value { return Value{Kind: 0x21, fragment: f} }

// Array returns an array of the members' type, which must be one. String
// members get terminators.
func Array(members ...Value) Value {
	v := Value{Kind: 0x80}
	for _, m := range members {
		v.Kind = 0x80 | m.Kind
		v.Data = append(v.Data, m.Data...)
		switch m.Kind {
		case 0x01:
			v.Data = append(v.Data, 0, 0)
		case 0x02:
			v.Data = append(v.Data, 0)
		}
	}
	return v
}

// Strings returns an array of Unicode strings.
func Strings(texts ...string) Value {
	members := make([]Value, len(texts))
	for i, s := range texts {
		members[i] = String(s)
	}
	v := Array(members...)
	v.Kind = 0x81
	return v
}
