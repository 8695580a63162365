package winevent

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// controlBase is the first of 32 code points that Unicode reserves as
// noncharacters. What XML cannot carry or would change (control characters,
// which Windows prints as they are, and the carriage return of a line end)
// passes the XML parser as controlBase plus its code and is restored behind it.
const controlBase = 0xfdd0

// xmlSource gives the XML parser clean UTF-8: it decodes UTF-16, replaces what
// is no character by U+FFFD, hides control characters, and ends with
// ErrEventTooLarge where one event takes too many bytes. It implements
// io.ByteReader, so that the parser reads no byte ahead of what it parses.
type xmlSource struct {
	input   *bufio.Reader
	unit    func() (rune, error) // reads one character
	started bool

	pending [utf8.UTFMax]byte // the rest of the current character
	from    int
	to      int
	left    int // bytes the current event may still take

	markup markup
	quote  rune // open quote inside a tag
}

// markup is where in the document's syntax the source is.
type markup uint8

const (
	inText markup = iota
	atTag         // just behind '<'
	inTag
	inDeclaration // behind <! or <?
)

func newXMLSource(r io.Reader) *xmlSource {
	return &xmlSource{input: bufio.NewReader(r), left: maxEventXML}
}

// ReadByte implements io.ByteReader.
func (s *xmlSource) ReadByte() (byte, error) {
	if s.from == s.to {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	if s.left--; s.left < 0 {
		return 0, ErrEventTooLarge
	}
	b := s.pending[s.from]
	s.from++
	return b, nil
}

// Read implements io.Reader.
func (s *xmlSource) Read(p []byte) (int, error) {
	for i := range p {
		b, err := s.ReadByte()
		if err != nil {
			if i > 0 {
				return i, nil
			}
			return 0, err
		}
		p[i] = b
	}
	return len(p), nil
}

func (s *xmlSource) fill() error {
	if !s.started {
		s.started = true
		s.detect()
	}
	r, err := s.unit()
	if err != nil {
		return err
	}
	s.from, s.to = 0, utf8.EncodeRune(s.pending[:], s.clean(r))
	return nil
}

// detect picks the encoding from the byte order mark, or from the zero byte
// beside the first '<'.
func (s *xmlSource) detect() {
	head, _ := s.input.Peek(3) // a shorter input is judged by what there is
	starts := func(prefix string) bool { return strings.HasPrefix(string(head), prefix) }
	switch {
	case starts("\xef\xbb\xbf"):
		s.discard(3)
		s.unit = s.utf8
	case starts("\xff\xfe"):
		s.discard(2)
		s.unit = func() (rune, error) { return s.utf16(0, 8) }
	case starts("\xfe\xff"):
		s.discard(2)
		s.unit = func() (rune, error) { return s.utf16(8, 0) }
	case starts("<\x00"):
		s.unit = func() (rune, error) { return s.utf16(0, 8) }
	case starts("\x00<"):
		s.unit = func() (rune, error) { return s.utf16(8, 0) }
	default:
		s.unit = s.utf8
	}
}

func (s *xmlSource) discard(n int) {
	_, _ = s.input.Discard(n) // just peeked, so it is there
}

func (s *xmlSource) utf8() (rune, error) {
	r, _, err := s.input.ReadRune()
	return r, err
}

// utf16 reads a character whose first and second byte are shifted as given.
func (s *xmlSource) utf16(first, second uint) (rune, error) {
	unit := func(b []byte) rune { return rune(b[0])<<first | rune(b[1])<<second }
	b, err := s.input.Peek(2)
	if len(b) < 2 {
		s.discard(len(b))
		if len(b) == 1 {
			return utf8.RuneError, nil
		}
		return 0, err
	}
	r := unit(b)
	s.discard(2)
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if b, _ = s.input.Peek(2); len(b) < 2 {
		return utf8.RuneError, nil
	}
	if r = utf16.DecodeRune(r, unit(b)); r != utf8.RuneError {
		s.discard(2)
	}
	return r, nil
}

// clean replaces r if it cannot pass the parser, or would not pass unchanged.
func (s *xmlSource) clean(r rune) rune {
	s.follow(r)
	switch {
	case r == '\t' || r == '\n':
		return r
	case r == '\r' && s.markup != inText:
		return r
	case r == 0, r >= controlBase && r < controlBase+32, r >= 0xfffe && r <= 0xffff:
		return utf8.RuneError
	case r < ' ':
		return controlBase + r
	}
	return r
}

// follow keeps track of tags, whose own line ends must stay white space.
func (s *xmlSource) follow(r rune) {
	switch s.markup {
	case inText:
		if r == '<' {
			s.markup, s.quote = atTag, 0
		}
	case atTag:
		s.markup = inTag
		if r == '!' || r == '?' {
			s.markup = inDeclaration
		} else if r == '>' {
			s.markup = inText
		}
	case inDeclaration:
		if r == '>' {
			s.markup = inText
		}
	case inTag:
		switch {
		case s.quote != 0:
			if r == s.quote {
				s.quote = 0
			}
		case r == '"' || r == '\'':
			s.quote = r
		case r == '>':
			s.markup = inText
		}
	}
}

// restoreControls undoes what clean hid.
func restoreControls(text string) string {
	if !strings.Contains(text, "\uFDD0"[:2]) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r >= controlBase && r < controlBase+32 {
			return r - controlBase
		}
		return r
	}, text)
}
