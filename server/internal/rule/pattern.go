package rule

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// tokenKind is what a piece of a Sigma string stands for.
type tokenKind uint8

const (
	tokenText tokenKind = iota // text, to the letter
	tokenAny                   // *: any number of characters
	tokenOne                   // ?: exactly one character
)

type token struct {
	kind tokenKind
	text string
}

// pattern is a Sigma string as tokens. Neighbouring texts are joined and
// neighbouring `*` are one.
type pattern []token

// add appends a token, keeping the form.
func (p pattern) add(t token) pattern {
	if n := len(p); n > 0 && p[n-1].kind == t.kind && t.kind != tokenOne {
		if t.kind == tokenText {
			p[n-1].text += t.text
		}
		return p
	}
	if t.kind == tokenText && t.text == "" {
		return p
	}
	return append(p, t)
}

// parsePattern reads a Sigma string. A backslash escapes `*`, `?` and itself;
// before anything else, and at the end, it is a plain backslash.
func parsePattern(s string) pattern {
	var p pattern
	var text strings.Builder
	flush := func() {
		p = p.add(token{kind: tokenText, text: text.String()})
		text.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`*?\`, s[i+1]) >= 0:
			i++
			text.WriteByte(s[i])
		case c == '*':
			flush()
			p = p.add(token{kind: tokenAny})
		case c == '?':
			flush()
			p = p.add(token{kind: tokenOne})
		default:
			text.WriteByte(c)
		}
	}
	flush()
	return p
}

// plain returns the text of a pattern without wildcards.
func (p pattern) plain() (string, bool) {
	switch {
	case len(p) == 0:
		return "", true
	case len(p) == 1 && p[0].kind == tokenText:
		return p[0].text, true
	}
	return "", false
}

// openStart and openEnd put a `*` at an end of the pattern.
func (p pattern) openStart() pattern {
	if len(p) > 0 && p[0].kind == tokenAny {
		return p
	}
	return append(pattern{{kind: tokenAny}}, p...)
}

func (p pattern) openEnd() pattern {
	if len(p) > 0 && p[len(p)-1].kind == tokenAny {
		return p
	}
	return append(p[:len(p):len(p)], token{kind: tokenAny})
}

// encodeText applies an encoding modifier to a plain text and returns the
// texts that stand for it.
func encodeText(modifier, s string) []string {
	switch modifier {
	case "base64":
		return []string{base64.StdEncoding.EncodeToString([]byte(s))}
	case "base64offset":
		return base64Offsets(s)
	case "utf16be":
		return []string{encodeUTF16(binary.BigEndian, "", s)}
	case "utf16":
		return []string{encodeUTF16(binary.LittleEndian, "\xff\xfe", s)}
	default: // wide, utf16le
		return []string{encodeUTF16(binary.LittleEndian, "", s)}
	}
}

func encodeUTF16(order binary.AppendByteOrder, mark, s string) string {
	b := []byte(mark)
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// base64Offsets returns what of the Base64 of s is the same wherever s stands
// in an encoded text: one form for each of the three alignments, without the
// characters that neighbouring bytes share in.
func base64Offsets(s string) []string {
	out := make([]string, 0, 3)
	for shift := range 3 {
		padded := append(make([]byte, shift), s...)
		enc := base64.RawStdEncoding.EncodeToString(padded)
		start := [...]int{0, 2, 3}[shift]
		// A last group of one or two bytes leaves a character that holds
		// foreign bits.
		end := len(enc)
		if len(padded)%3 != 0 {
			end--
		}
		if start < end {
			out = append(out, enc[start:end])
		}
	}
	return out
}

// dashVariants returns every permutation of the five dashes in s.
func dashVariants(s string) ([]string, error) {
	out := []string{""}
	for _, r := range s {
		if !isDash(r) {
			for i := range out {
				out[i] += string(r)
			}
			continue
		}
		if len(out)*5 > maxExpansions {
			return nil, fmt.Errorf("value has more than %d windash permutations", maxExpansions)
		}
		next := make([]string, 0, len(out)*5)
		for _, o := range out {
			for _, d := range "-/\u2013\u2014\u2015" {
				next = append(next, o+string(d))
			}
		}
		out = next
	}
	return out, nil
}

// expandPlaceholders replaces each %name% of a Sigma string by the values the
// configuration gives it. `\%` is a plain percent sign. The result is Sigma
// strings again, since values may hold wildcards.
func expandPlaceholders(s string, values map[string][]string) ([]pattern, error) {
	out := []pattern{nil}
	for s != "" {
		text, name, rest := cutPlaceholder(s)
		s = rest
		for i := range out {
			for _, t := range parsePattern(text) {
				out[i] = out[i].add(t)
			}
		}
		if name == "" {
			continue
		}
		alternatives, ok := values[name]
		if !ok {
			return nil, fmt.Errorf("placeholder %%%s%% is not configured", name)
		}
		if len(out)*len(alternatives) > maxExpansions {
			return nil, fmt.Errorf("placeholder %%%s%% makes more than %d values", name, maxExpansions)
		}
		var next []pattern
		for _, o := range out {
			for _, a := range alternatives {
				p := append(pattern(nil), o...)
				for _, t := range parsePattern(a) {
					p = p.add(t)
				}
				next = append(next, p)
			}
		}
		out = next
	}
	return out, nil
}

// cutPlaceholder cuts s after its first placeholder. text is the Sigma string
// before it, with `\%` resolved; name is empty if s has no placeholder.
func cutPlaceholder(s string) (text, name, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '%':
			i++
			b.WriteByte('%')
		case s[i] == '\\' && i+1 < len(s):
			// Kept for parsePattern; the second byte may be a backslash too.
			b.WriteString(s[i : i+2])
			i++
		case s[i] == '%':
			end := strings.IndexByte(s[i+1:], '%')
			if end <= 0 {
				b.WriteByte('%')
				continue
			}
			return b.String(), s[i+1 : i+1+end], s[i+end+2:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", ""
}
