package winevent

import (
	"regexp"
	"strings"
)

// A secret of ours reaches the logs of the host when it is installed or
// enrolled: as the installer's property TOKEN=…, as ASSAY_TOKEN=… in a script,
// and as --token of our own programs. The property must begin a word, so that
// ?token=… in the address of somebody else's service stays as it was seen.
var (
	tokenProperty = regexp.MustCompile(`(?i)(^|[\s"'>;,({])((?:\$env:)?(?:ASSAY_)?TOKEN\s?=\s?)("[^"]*"?|'[^']*'?|[^\s"'<>&;,)}]+)`)
	tokenFlag     = regexp.MustCompile(`(?i)(--?token[=\s]\s*)("[^"]*"?|'[^']*'?|[^\s"'<>&]+)`)
)

const redaction = "[redacted]"

// RedactText takes secrets of this product out of s, for events that are no
// records of the event log.
func RedactText(s string) string { return redactText(s) }

// redactText takes secrets of this product out of s.
func redactText(s string) string {
	if !mayHoldToken(s) {
		return s
	}
	s = tokenProperty.ReplaceAllString(s, "${1}${2}"+redaction)
	if containsFold(s, "assay") {
		s = tokenFlag.ReplaceAllString(s, "${1}"+redaction)
	}
	return s
}

// mayHoldToken is the cheap test that nearly every text fails.
func mayHoldToken(s string) bool {
	return len(s) > len("token=") && strings.ContainsAny(s, "=- ") && containsFold(s, "token")
}

// containsFold looks for word, which is lower-case ASCII, in any case.
func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if s[i]|0x20 == word[0] && strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// redacted returns r itself where it holds no secret, else a copy without.
func redacted(r *Record) *Record {
	if !recordMayHoldToken(r) {
		return r
	}
	out := *r
	out.Data = redactFields(r.Data)
	if r.UserData != nil {
		e := redactElement(r.UserData)
		out.UserData = &e
	}
	return &out
}

func recordMayHoldToken(r *Record) bool {
	for _, f := range r.Data {
		if mayHoldToken(f.Value) || fieldNamesToken(f) {
			return true
		}
	}
	return r.UserData != nil && elementMayHoldToken(r.UserData)
}

func elementMayHoldToken(e *Element) bool {
	if mayHoldToken(e.Text) {
		return true
	}
	for _, a := range e.Attributes {
		if mayHoldToken(a.Value) {
			return true
		}
	}
	for i := range e.Children {
		if elementMayHoldToken(&e.Children[i]) {
			return true
		}
	}
	return false
}

// fieldNamesToken: a field of our own name holds nothing but the secret.
func fieldNamesToken(f Field) bool { return strings.EqualFold(f.Name, "ASSAY_TOKEN") }

func redactFields(fields []Field) []Field {
	out := make([]Field, len(fields))
	for i, f := range fields {
		if fieldNamesToken(f) {
			f.Value = redaction
		}
		out[i] = Field{Name: f.Name, Value: redactText(f.Value)}
	}
	return out
}

func redactElement(e *Element) Element {
	out := Element{Name: e.Name, Text: redactText(e.Text)}
	if e.Attributes != nil {
		out.Attributes = redactFields(e.Attributes)
	}
	for i := range e.Children {
		out.Children = append(out.Children, redactElement(&e.Children[i]))
	}
	return out
}
