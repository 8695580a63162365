package evtx

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// The BinXML value types. Bit 0x80 makes an array of one.
const (
	typeNull       = 0x00
	typeString     = 0x01
	typeANSI       = 0x02
	typeInt8       = 0x03
	typeUint8      = 0x04
	typeInt16      = 0x05
	typeUint16     = 0x06
	typeInt32      = 0x07
	typeUint32     = 0x08
	typeInt64      = 0x09
	typeUint64     = 0x0a
	typeReal32     = 0x0b
	typeReal64     = 0x0c
	typeBool       = 0x0d
	typeBinary     = 0x0e
	typeGUID       = 0x0f
	typeSize       = 0x10
	typeFileTime   = 0x11
	typeSystemTime = 0x12
	typeSID        = 0x13
	typeHex32      = 0x14
	typeHex64      = 0x15
	typeHandle     = 0x20
	typeBinXML     = 0x21
	typeEvtXML     = 0x23
	typeArray      = 0x80
)

// appendValue appends the text of one value that is not an array and not
// BinXML. A value whose length does not fit its type, or whose type is unknown,
// is given as upper-case hexadecimal, so that nothing of it is lost; known is
// false for an unknown type.
func appendValue(dst []byte, kind uint8, b []byte) (text []byte, known bool) {
	switch kind {
	case typeNull:
		return dst, true
	case typeString, typeEvtXML:
		return appendUTF16(dst, b), true
	case typeANSI:
		return appendANSI(dst, b), true
	case typeInt8, typeUint8, typeInt16, typeUint16, typeInt32, typeUint32, typeInt64, typeUint64:
		return appendInteger(dst, kind, b), true
	case typeHex32, typeHex64, typeSize, typeHandle:
		return appendHexInteger(dst, b), true
	case typeReal32:
		if len(b) == 4 {
			return appendReal(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 7), true
		}
	case typeReal64:
		if len(b) == 8 {
			return appendReal(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 15), true
		}
	case typeBool:
		return appendBool(dst, b), true
	case typeGUID:
		if len(b) == 16 {
			return appendGUID(dst, b), true
		}
	case typeFileTime:
		if len(b) == 8 {
			return appendFileTime(dst, binary.LittleEndian.Uint64(b)), true
		}
	case typeSystemTime:
		if len(b) == 16 {
			return appendSystemTime(dst, b), true
		}
	case typeSID:
		if sidSize(b) == len(b) && len(b) > 0 {
			return appendSID(dst, b), true
		}
	case typeBinary:
	default:
		return appendHex(dst, b), false
	}
	return appendHex(dst, b), true
}

// littleEndian reads an integer of 1, 2, 4 or 8 bytes.
func littleEndian(b []byte) (v uint64, ok bool) {
	switch len(b) {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), true
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), true
	case 8:
		return binary.LittleEndian.Uint64(b), true
	}
	return 0, false
}

func appendInteger(dst []byte, kind uint8, b []byte) []byte {
	// The types come in pairs of 1, 2, 4 and 8 bytes.
	if len(b) != 1<<((kind-typeInt8)/2) {
		return appendHex(dst, b)
	}
	v, _ := littleEndian(b)
	if kind == typeInt8 || kind == typeInt16 || kind == typeInt32 || kind == typeInt64 {
		shift := 64 - 8*len(b)
		return strconv.AppendInt(dst, int64(v<<shift)>>shift, 10)
	}
	return strconv.AppendUint(dst, v, 10)
}

func appendHexInteger(dst, b []byte) []byte {
	v, ok := littleEndian(b)
	if !ok {
		return appendHex(dst, b)
	}
	return strconv.AppendUint(append(dst, "0x"...), v, 16)
}

func appendBool(dst, b []byte) []byte {
	v, ok := littleEndian(b)
	switch {
	case !ok:
		return appendHex(dst, b)
	case v != 0:
		return append(dst, "true"...)
	default:
		return append(dst, "false"...)
	}
}

func appendHex(dst, b []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, v := range b {
		dst = append(dst, digits[v>>4], digits[v&15])
	}
	return dst
}

// appendReal prints as the C run-time library that Windows ships does with %g:
// at least three exponent digits and its own words for what is not a number.
func appendReal(dst []byte, v float64, precision int) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(dst, "1.#INF"...)
	case math.IsInf(v, -1):
		return append(dst, "-1.#INF"...)
	case math.IsNaN(v):
		return append(dst, "-1.#IND"...)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'e', precision-1, 64)
	e := bytes.IndexByte(dst[start:], 'e') + start
	exponent, err := strconv.Atoi(string(dst[e+1:]))
	if err != nil || v == 0 {
		exponent = 0
	}
	if exponent >= -4 && exponent < precision {
		dst = strconv.AppendFloat(dst[:start], v, 'f', precision-1-exponent, 64)
		return trimFraction(dst, start)
	}
	sign := byte('+')
	if exponent < 0 {
		sign, exponent = '-', -exponent
	}
	dst = append(trimFraction(dst[:e], start), 'e', sign)
	return append(dst, byte('0'+exponent/100), byte('0'+exponent/10%10), byte('0'+exponent%10))
}

// trimFraction drops trailing zeros of a fraction, and its point.
func trimFraction(dst []byte, start int) []byte {
	if bytes.IndexByte(dst[start:], '.') < 0 {
		return dst
	}
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	if dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

func appendGUID(dst, b []byte) []byte {
	const digits = "0123456789abcdef"
	order := [16]uint8{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}
	dst = append(dst, '{')
	for i, at := range order {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b[at]>>4], digits[b[at]&15])
	}
	return append(dst, '}')
}

// filetimeEpoch is 1601-01-01 in seconds before 1970-01-01.
const filetimeEpoch = 11644473600

// fileTime converts 100 ns units since 1601. ok is false for the values above
// 2^63 that Windows does not accept as a time.
func fileTime(v uint64) (t time.Time, ok bool) {
	if v > math.MaxInt64 {
		return time.Time{}, false
	}
	return time.Unix(int64(v/1e7)-filetimeEpoch, int64(v%1e7)*100).UTC(), true
}

func appendFileTime(dst []byte, v uint64) []byte {
	t, ok := fileTime(v)
	if !ok {
		return strconv.AppendUint(append(dst, "0x"...), v, 16)
	}
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return appendTime(dst, year, int(month), day, hour, minute, second, int(v%1e7))
}

// appendSystemTime prints the eight fields of a SYSTEMTIME as they stand, even
// if they are no date.
func appendSystemTime(dst, b []byte) []byte {
	field := func(i int) int { return int(binary.LittleEndian.Uint16(b[2*i:])) }
	return appendTime(dst, field(0), field(1), field(3), field(4), field(5), field(6), field(7)*10_000)
}

// appendTime prints RFC 3339 UTC with seven fractional digits.
func appendTime(dst []byte, year, month, day, hour, minute, second, ticks int) []byte {
	dst = append(appendPadded(dst, year, 4), '-')
	dst = append(appendPadded(dst, month, 2), '-')
	dst = append(appendPadded(dst, day, 2), 'T')
	dst = append(appendPadded(dst, hour, 2), ':')
	dst = append(appendPadded(dst, minute, 2), ':')
	dst = append(appendPadded(dst, second, 2), '.')
	return append(appendPadded(dst, ticks, 7), 'Z')
}

func appendPadded(dst []byte, v, width int) []byte {
	var digits [20]byte
	i := len(digits)
	for v > 0 || len(digits)-i < width {
		i--
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, digits[i:]...)
}

// sidSize is the length of the SID at the start of b, 0 if there is none.
func sidSize(b []byte) int {
	if len(b) < 8 || b[0] != 1 || int(b[1]) > 15 {
		return 0
	}
	if n := 8 + 4*int(b[1]); n <= len(b) {
		return n
	}
	return 0
}

func appendSID(dst, b []byte) []byte {
	dst = append(strconv.AppendUint(append(dst, "S-"...), uint64(b[0]), 10), '-')
	authority := uint64(b[2])<<40 | uint64(b[3])<<32 | uint64(binary.BigEndian.Uint32(b[4:]))
	if authority > math.MaxUint32 {
		dst = strconv.AppendUint(append(dst, "0x"...), authority, 16)
	} else {
		dst = strconv.AppendUint(dst, authority, 10)
	}
	for sub := b[8:]; len(sub) >= 4; sub = sub[4:] {
		dst = strconv.AppendUint(append(dst, '-'), uint64(binary.LittleEndian.Uint32(sub)), 10)
	}
	return dst
}

// nextOfArray takes the first member off an array's bytes.
func nextOfArray(kind uint8, b []byte) (member, rest []byte) {
	size := 0
	switch kind {
	case typeString, typeEvtXML:
		for i := 0; i+1 < len(b); i += 2 {
			if b[i] == 0 && b[i+1] == 0 {
				return b[:i], b[i+2:]
			}
		}
		return b, nil
	case typeANSI:
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return b[:i], b[i+1:]
		}
		return b, nil
	case typeInt8, typeUint8:
		size = 1
	case typeInt16, typeUint16:
		size = 2
	case typeInt32, typeUint32, typeReal32, typeBool, typeHex32:
		size = 4
	case typeInt64, typeUint64, typeReal64, typeFileTime, typeHex64, typeSize:
		size = 8
	case typeGUID, typeSystemTime:
		size = 16
	case typeSID:
		size = sidSize(b)
	}
	if size == 0 || size > len(b) {
		return b, nil // no array of this type exists, or its last member is cut
	}
	return b[:size], b[size:]
}
