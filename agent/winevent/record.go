// Package winevent owns the Windows event record: one shape for what a .evtx
// file, an exported XML file and a live EvtRender all say, and the normaliser
// that turns it into telemetry. It is pure: it never opens a file, never
// touches the network, and the server's offline tools import it.
package winevent

import "time"

// Record is one Windows event as EvtRender would print it. Every value is the
// text Windows prints (HexInt and keywords as minimal lower-case 0x…, GUIDs as
// {lower-case}, times as RFC 3339 UTC with seven fractional digits, binary as
// upper-case hex, SIDs as S-1-…), so that live, imported and XML records of
// the same event are equal.
type Record struct {
	// RecordID is System/EventRecordID: the position in the channel.
	RecordID uint64
	// Time is System/TimeCreated, UTC, 100 ns kept. The zero time means that
	// the record has none.
	Time time.Time

	Provider        string // System/Provider/@Name
	ProviderGUID    string // System/Provider/@Guid, with braces, lower case
	EventSourceName string // System/Provider/@EventSourceName
	EventID         uint32
	Qualifiers      uint16
	Version         uint8
	Level           uint8
	Task            uint16
	Opcode          uint8
	Keywords        uint64
	Channel         string
	Computer        string
	UserSID         string // System/Security/@UserID

	ActivityID        string
	RelatedActivityID string
	ProcessID         uint32 // System/Execution/@ProcessID: the logging process
	ThreadID          uint32

	// DataName is EventData/@Name, which task scheduler and others set.
	DataName string
	// Data holds the children of EventData in order: Name is Data/@Name (empty
	// where there is none), or the element's own name where it is not Data
	// ("Binary").
	Data []Field
	// UserData is the single child of the UserData element, nil if none.
	UserData *Element
}

// Field is one named value. Names may repeat and may be empty.
type Field struct {
	Name  string
	Value string
}

// Element is a node of UserData. An element with children has no Text.
type Element struct {
	Name       string
	Attributes []Field
	Text       string
	Children   []Element
}

// Fields lists the record's fields in order: Data, then the leaves of UserData
// by their element names. Attributes of UserData elements follow their element
// under the attribute's name.
func (r *Record) Fields() []Field {
	if r.UserData == nil {
		return r.Data
	}
	fields := make([]Field, len(r.Data), len(r.Data)+8)
	copy(fields, r.Data)
	return r.UserData.appendLeaves(fields)
}

func (e *Element) appendLeaves(fields []Field) []Field {
	fields = append(fields, e.Attributes...)
	if len(e.Children) == 0 {
		return append(fields, Field{Name: e.Name, Value: e.Text})
	}
	for i := range e.Children {
		fields = e.Children[i].appendLeaves(fields)
	}
	return fields
}

// Value returns the first value of the named field, matched exactly. ok is
// false where the record has no such field, which differs from an empty value.
func (r *Record) Value(name string) (value string, ok bool) {
	for _, f := range r.Fields() {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}
