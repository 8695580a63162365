package evtx

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// appendUTF16 appends little-endian UTF-16 as UTF-8. Terminators at the end are
// dropped; what is no character (a NUL inside, an unpaired surrogate, a code
// point reserved as noncharacter) becomes U+FFFD, since neither XML nor a
// database text can hold it. Other control characters are kept.
func appendUTF16(dst, src []byte) []byte {
	for len(src) >= 2 && src[len(src)-2] == 0 && src[len(src)-1] == 0 && len(src)%2 == 0 {
		src = src[:len(src)-2]
	}
	// Four characters at once while all are ASCII and none is NUL.
	for len(src) >= 8 {
		v := binary.LittleEndian.Uint64(src)
		if v&0xff80ff80ff80ff80 != 0 || hasNUL(v) {
			break
		}
		dst = append(dst, byte(v), byte(v>>16), byte(v>>32), byte(v>>48))
		src = src[8:]
	}
	for len(src) >= 2 {
		unit := rune(src[0]) | rune(src[1])<<8
		src = src[2:]
		switch {
		case unit == 0:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		case unit < utf8.RuneSelf:
			dst = append(dst, byte(unit))
		case utf16.IsSurrogate(unit):
			var low rune
			if len(src) >= 2 {
				low = rune(src[0]) | rune(src[1])<<8
			}
			r := utf16.DecodeRune(unit, low)
			if r != utf8.RuneError {
				src = src[2:]
			}
			dst = utf8.AppendRune(dst, r)
		case unit >= 0xfdd0 && (unit <= 0xfdef || unit >= 0xfffe):
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = utf8.AppendRune(dst, unit)
		}
	}
	return dst
}

// hasNUL reports whether one of four 16-bit lanes below 0x80 is zero: adding
// 0x7f carries into bit 7 of every lane that is not.
func hasNUL(lanes uint64) bool {
	return (lanes+0x007f007f007f007f)&0x0080008000800080 != 0x0080008000800080
}

// windows1252 holds what differs from Latin-1. The five bytes that the code
// page leaves open map to the control characters, as Windows maps them.
var windows1252 = [32]rune{
	0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
	0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
	0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
}

// appendANSI appends text of the code page that the writing system used. A
// record does not name it; 1252 is by far the commonest.
func appendANSI(dst, src []byte) []byte {
	for len(src) > 0 && src[len(src)-1] == 0 {
		src = src[:len(src)-1]
	}
	for _, b := range src {
		switch {
		case b == 0:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		case b < utf8.RuneSelf:
			dst = append(dst, b)
		case b < 0xa0:
			dst = utf8.AppendRune(dst, windows1252[b-0x80])
		default:
			dst = utf8.AppendRune(dst, rune(b))
		}
	}
	return dst
}

// safeRune replaces what cannot stand in text.
func safeRune(r rune) rune {
	if r == 0 || !utf8.ValidRune(r) {
		return utf8.RuneError
	}
	return r
}
