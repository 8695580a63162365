package rule

import (
	"unicode"
	"unicode/utf8"
)

// folder maps text to a form in which two texts are equal if and only if they
// are equal under Unicode simple case folding. It maps rune to rune, so `?`
// counts the same in both, and leaves invalid UTF-8 as it is.
type folder struct {
	// bmp holds the folded rune of each rune below U+10000: SimpleFold walks
	// tables and would cost a hundred times as much for each letter of a
	// Cyrillic script block.
	bmp [0x10000]uint16
}

func newFolder() *folder {
	f := new(folder)
	for r := range rune(0x10000) {
		f.bmp[r] = uint16(foldRune(r)) // the least of an orbit is never above r
	}
	return f
}

// foldRune returns the lower-case ASCII letter of the rune's folding orbit if
// it has one, and else the orbit's least rune.
func foldRune(r rune) rune {
	least := r
	for n := unicode.SimpleFold(r); n != r; n = unicode.SimpleFold(n) {
		least = min(least, n)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// append appends the folded form of s to b. dashes reports whether s holds one
// of the dashes beyond ASCII that windash makes equal to '-'.
func (f *folder) append(b []byte, s string) (out []byte, dashes bool) {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, c)
			i++
			continue
		}
		i += n
		if r < 0x10000 {
			dashes = dashes || isDash(r)
			b = utf8.AppendRune(b, rune(f.bmp[r]))
		} else {
			b = utf8.AppendRune(b, foldRune(r))
		}
	}
	return b, dashes
}

// isDash reports whether r is one of the runes that windash makes equal.
func isDash(r rune) bool {
	switch r {
	case '-', '/', '\u2013', '\u2014', '\u2015':
		return true
	}
	return false
}

// appendDashed appends s with every dash of windash replaced by '-'.
func appendDashed[T string | []byte](b []byte, s T) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '/':
			c = '-'
		case c == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && 0x93 <= s[i+2] && s[i+2] <= 0x95:
			c = '-'
			i += 2
		}
		b = append(b, c)
	}
	return b
}
