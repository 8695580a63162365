package rule

import (
	"strconv"
	"strings"
)

// Event is what a rule sees: one Windows event record. The engine calls the
// methods of one event from one goroutine and keeps no string of it beyond the
// call of Match, except those it returns.
type Event interface {
	// Provider is System/Provider/@Name.
	Provider() string
	// Channel is System/Channel.
	Channel() string
	// EventID is System/EventID.
	EventID() uint32
	// Fields calls yield for each field of the event's data, in order, with the
	// name that Windows or Sysmon writes, until yield returns false. Names may
	// repeat and may be empty.
	Fields(yield func(name, value string) bool)
	// SystemField answers for the System element by the names Sigma gives it:
	// Computer, Level, Keywords, Execution_ProcessID, Security_UserID and so on.
	// ok is false where the event has none.
	SystemField(name string) (value string, ok bool)
}

// Field is one named value of an event.
type Field struct {
	Name  string
	Value string
}

// FieldsEvent is an Event for callers that hold plain values.
type FieldsEvent struct {
	ProviderName string
	ChannelName  string
	ID           uint32
	// Data is the event's data in order.
	Data []Field
	// System holds further system fields, such as Computer or Level.
	System []Field
}

var _ Event = (*FieldsEvent)(nil)

// Provider implements Event.
func (e *FieldsEvent) Provider() string { return e.ProviderName }

// Channel implements Event.
func (e *FieldsEvent) Channel() string { return e.ChannelName }

// EventID implements Event.
func (e *FieldsEvent) EventID() uint32 { return e.ID }

// Fields implements Event.
func (e *FieldsEvent) Fields(yield func(name, value string) bool) {
	for i := range e.Data {
		if !yield(e.Data[i].Name, e.Data[i].Value) {
			return
		}
	}
}

// SystemField implements Event.
func (e *FieldsEvent) SystemField(name string) (string, bool) {
	for i := range e.System {
		if e.System[i].Name == name {
			return e.System[i].Value, true
		}
	}
	return "", false
}

// fieldData is what a field without a name answers to: the name of its element.
const fieldData = "Data"

// Names of system fields that the engine knows. A field of any other name is
// looked for in the event's data alone.
const (
	fieldEventID  = "EventID"
	fieldProvider = "Provider_Name"
	fieldChannel  = "Channel"
	fieldComputer = "Computer"
	fieldUserSID  = "Security_UserID"
)

// isSystemField reports whether name is one of the System element.
func isSystemField(name string) bool {
	switch name {
	case fieldEventID, fieldProvider, fieldChannel, fieldComputer, fieldUserSID,
		"Provider_Guid", "Provider_EventSourceName", "EventID_Qualifiers", "Qualifiers", "Version",
		"Level", "Task", "Opcode", "Keywords", "TimeCreated_SystemTime", "EventRecordID",
		"Correlation_ActivityID", "Correlation_RelatedActivityID",
		"Execution_ProcessID", "Execution_ThreadID":
		return true
	}
	return false
}

// eventValue returns the first value of a field as rules see it.
func eventValue(ev Event, name string) (value string, ok bool) {
	switch name {
	case fieldEventID:
		return strconv.FormatUint(uint64(ev.EventID()), 10), true
	case fieldProvider:
		return ev.Provider(), true
	}
	ev.Fields(func(n, v string) bool {
		if n == "" {
			n = fieldData
		}
		if n == name || strings.Contains(n, " ") && strings.ReplaceAll(n, " ", "") == name {
			value, ok = v, true
		}
		return !ok
	})
	switch {
	case ok || !isSystemField(name):
		return value, ok
	case name == fieldChannel:
		return ev.Channel(), true
	}
	return ev.SystemField(name)
}
