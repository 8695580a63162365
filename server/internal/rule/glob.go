package rule

import (
	"bytes"
	"unicode/utf8"
)

// glob is a pattern with wildcards inside: segments in order with anything
// between them.
type glob struct {
	segments           []segment
	openStart, openEnd bool
}

// segment is text and single characters without a `*`.
type segment struct {
	parts []part
	// chars is the segment's length in characters.
	chars int
}

// part is a text followed by a number of single characters (`?`).
type part struct {
	text []byte
	ones int
}

// newGlob compiles what stands between the outer wildcards of a pattern.
func newGlob(p pattern, openStart, openEnd bool, form func(string) []byte) *glob {
	g := &glob{openStart: openStart, openEnd: openEnd}
	var seg segment
	for _, t := range p {
		switch t.kind {
		case tokenAny:
			g.segments = append(g.segments, seg)
			seg = segment{}
		case tokenText:
			text := form(t.text)
			seg.parts = append(seg.parts, part{text: text})
			seg.chars += utf8.RuneCount(text)
		case tokenOne:
			if len(seg.parts) == 0 {
				seg.parts = append(seg.parts, part{})
			}
			seg.parts[len(seg.parts)-1].ones++
			seg.chars++
		}
	}
	g.segments = append(g.segments, seg)
	return g
}

// match reports whether the whole text is of the glob's form. Taking the
// leftmost place for each segment is enough, since segments have a fixed
// length in characters: a later place never leaves more room.
func (g *glob) match(text []byte) bool {
	pos, segs := 0, g.segments
	if !g.openStart {
		end, ok := segs[0].matchAt(text, 0)
		if !ok {
			return false
		}
		if len(segs) == 1 {
			return g.openEnd || end == len(text)
		}
		pos, segs = end, segs[1:]
	}
	last := len(segs)
	if !g.openEnd {
		last--
	}
	for i := range segs[:last] {
		end, ok := segs[i].find(text, pos)
		if !ok {
			return false
		}
		pos = end
	}
	return g.openEnd || segs[last].matchEnd(text, pos)
}

// matchAt matches the segment at pos and returns where it ends.
func (s *segment) matchAt(text []byte, pos int) (end int, ok bool) {
	for i := range s.parts {
		p := &s.parts[i]
		if !bytes.HasPrefix(text[pos:], p.text) {
			return 0, false
		}
		pos += len(p.text)
		for range p.ones {
			if pos >= len(text) {
				return 0, false
			}
			pos += charLen(text[pos:])
		}
	}
	return pos, true
}

// find returns the end of the segment's first place at or after pos.
func (s *segment) find(text []byte, pos int) (end int, ok bool) {
	first := s.parts[0].text
	for pos <= len(text) {
		if len(first) > 0 {
			i := bytes.Index(text[pos:], first)
			if i < 0 {
				return 0, false
			}
			pos += i
		}
		if end, ok := s.matchAt(text, pos); ok {
			return end, true
		}
		if pos == len(text) {
			return 0, false
		}
		pos += charLen(text[pos:])
	}
	return 0, false
}

// matchEnd matches the segment at the end of text, not before pos.
func (s *segment) matchEnd(text []byte, pos int) bool {
	start := len(text)
	for range s.chars {
		if start <= pos {
			return false
		}
		start -= lastCharLen(text[:start])
	}
	if start < pos {
		return false
	}
	end, ok := s.matchAt(text, start)
	return ok && end == len(text)
}

// charLen is the length of the first character: a rune, or one byte that is
// not valid UTF-8.
func charLen(b []byte) int {
	if b[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRune(b)
	return n
}

func lastCharLen(b []byte) int {
	if b[len(b)-1] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeLastRune(b)
	return n
}
