package winevent

import (
	"strconv"
	"strings"
	"time"
)

// SetSystem sets the field that the text of a child of System gives: of the
// element itself where attribute is empty, else of its attribute. Texts are
// brought to the form that Record documents. Elements and attributes that
// Record does not hold, and numbers that are none, are ignored: the field stays
// zero.
func (r *Record) SetSystem(element, attribute, text string) {
	text = strings.TrimSpace(text)
	switch element {
	case "Provider":
		r.setProvider(attribute, text)
	case "EventID":
		if attribute == "" {
			r.EventID = uint32(systemNumber(text, 32))
		} else if attribute == "Qualifiers" {
			r.Qualifiers = uint16(systemNumber(text, 16))
		}
	case "TimeCreated":
		if attribute == "SystemTime" {
			r.Time = systemTime(text)
		}
	case "Correlation":
		switch attribute {
		case "ActivityID":
			r.ActivityID = canonicalGUID(text)
		case "RelatedActivityID":
			r.RelatedActivityID = canonicalGUID(text)
		}
	case "Execution":
		switch attribute {
		case "ProcessID":
			r.ProcessID = uint32(systemNumber(text, 32))
		case "ThreadID":
			r.ThreadID = uint32(systemNumber(text, 32))
		}
	case "Security":
		if attribute == "UserID" {
			r.UserSID = text
		}
	default:
		if attribute == "" {
			r.setSystemElement(element, text)
		}
	}
}

func (r *Record) setProvider(attribute, text string) {
	switch attribute {
	case "Name":
		r.Provider = text
	case "Guid":
		r.ProviderGUID = canonicalGUID(text)
	case "EventSourceName":
		r.EventSourceName = text
	}
}

func (r *Record) setSystemElement(element, text string) {
	switch element {
	case "Version":
		r.Version = uint8(systemNumber(text, 8))
	case "Level":
		r.Level = uint8(systemNumber(text, 8))
	case "Task":
		r.Task = uint16(systemNumber(text, 16))
	case "Opcode":
		r.Opcode = uint8(systemNumber(text, 8))
	case "Keywords":
		r.Keywords = systemNumber(text, 64)
	case "EventRecordID":
		r.RecordID = systemNumber(text, 64)
	case "Channel":
		r.Channel = text
	case "Computer":
		r.Computer = text
	}
}

// systemNumber reads a decimal or 0x number of at most bits bits, 0 if it is none.
func systemNumber(text string, bits int) uint64 {
	base := 10
	if len(text) > 2 && text[0] == '0' && text[1]|0x20 == 'x' {
		text, base = text[2:], 16
	}
	v, err := strconv.ParseUint(text, base, bits)
	if err != nil {
		return 0
	}
	return v
}

// systemTime reads RFC 3339 with any number of fractional digits, cut to the
// 100 ns that Windows keeps.
func systemTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC().Truncate(100 * time.Nanosecond)
}

// canonicalGUID gives a GUID braces and lower case; any other text is kept.
func canonicalGUID(text string) string {
	bare := text
	if len(text) == 38 && text[0] == '{' && text[37] == '}' {
		bare = text[1:37]
	}
	if len(bare) != 36 || bare[8] != '-' || bare[13] != '-' || bare[18] != '-' || bare[23] != '-' {
		return text
	}
	for i := range len(bare) {
		switch c := bare[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', c == '-':
		default:
			return text
		}
	}
	return "{" + strings.ToLower(bare) + "}"
}

// AddUserData sets UserData from an element that stands beside System. unwrap
// says that it is the UserData element, whose single child is meant; one with
// no child or several, and an element of another name (ProcessingErrorData), is
// kept whole. If the record has UserData already, both go under one element
// named UserData, so that neither is lost.
func (r *Record) AddUserData(e Element, unwrap bool) {
	if unwrap && len(e.Children) == 1 {
		e = e.Children[0]
	} else if unwrap && len(e.Children) == 0 && strings.TrimSpace(e.Text) == "" {
		return
	}
	if r.UserData == nil {
		r.UserData = &e
		return
	}
	if r.UserData.Name != "UserData" {
		r.UserData = &Element{Name: "UserData", Children: []Element{*r.UserData}}
	}
	r.UserData.Children = append(r.UserData.Children, e)
}
