package winevent

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// RawOf returns the record as telemetry carries it: all fields, in order. Only
// the time is not in it, which is the event's. Bytes that are no UTF-8 become
// U+FFFD, since protobuf refuses them.
func RawOf(r *Record) *telemetryv1.Raw {
	raw := &telemetryv1.Raw{
		Provider:          valid(r.Provider),
		ProviderGuid:      valid(r.ProviderGUID),
		EventSourceName:   valid(r.EventSourceName),
		EventId:           r.EventID,
		Qualifiers:        uint32(r.Qualifiers),
		Version:           uint32(r.Version),
		Level:             uint32(r.Level),
		Task:              uint32(r.Task),
		Opcode:            uint32(r.Opcode),
		Keywords:          r.Keywords,
		Channel:           valid(r.Channel),
		Computer:          valid(r.Computer),
		UserSid:           valid(r.UserSID),
		ActivityId:        valid(r.ActivityID),
		RelatedActivityId: valid(r.RelatedActivityID),
		ProcessId:         r.ProcessID,
		ThreadId:          r.ThreadID,
		RecordId:          r.RecordID,
		DataName:          valid(r.DataName),
		Data:              rawFields(r.Data),
	}
	if r.UserData != nil {
		raw.UserData = rawElement(r.UserData)
	}
	return raw
}

func rawFields(fields []Field) []*telemetryv1.Field {
	if len(fields) == 0 {
		return nil
	}
	out := make([]*telemetryv1.Field, len(fields))
	for i, f := range fields {
		out[i] = &telemetryv1.Field{Name: valid(f.Name), Value: valid(f.Value)}
	}
	return out
}

func rawElement(e *Element) *telemetryv1.Element {
	out := &telemetryv1.Element{Name: valid(e.Name), Attributes: rawFields(e.Attributes), Text: valid(e.Text)}
	for i := range e.Children {
		out.Children = append(out.Children, rawElement(&e.Children[i]))
	}
	return out
}

// RecordOf returns the record that raw was made from, but for its time. Numbers
// that a record cannot hold are cut to their low bits, as in the record's own
// format.
func RecordOf(raw *telemetryv1.Raw) *Record {
	r := &Record{
		RecordID:          raw.GetRecordId(),
		Provider:          raw.GetProvider(),
		ProviderGUID:      raw.GetProviderGuid(),
		EventSourceName:   raw.GetEventSourceName(),
		EventID:           raw.GetEventId(),
		Qualifiers:        uint16(raw.GetQualifiers()),
		Version:           uint8(raw.GetVersion()),
		Level:             uint8(raw.GetLevel()),
		Task:              uint16(raw.GetTask()),
		Opcode:            uint8(raw.GetOpcode()),
		Keywords:          raw.GetKeywords(),
		Channel:           raw.GetChannel(),
		Computer:          raw.GetComputer(),
		UserSID:           raw.GetUserSid(),
		ActivityID:        raw.GetActivityId(),
		RelatedActivityID: raw.GetRelatedActivityId(),
		ProcessID:         raw.GetProcessId(),
		ThreadID:          raw.GetThreadId(),
		DataName:          raw.GetDataName(),
		Data:              recordFields(raw.GetData()),
	}
	if raw.GetUserData() != nil {
		e := recordElement(raw.GetUserData())
		r.UserData = &e
	}
	return r
}

func recordFields(fields []*telemetryv1.Field) []Field {
	if len(fields) == 0 {
		return nil
	}
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{Name: f.GetName(), Value: f.GetValue()}
	}
	return out
}

func recordElement(e *telemetryv1.Element) Element {
	out := Element{Name: e.GetName(), Attributes: recordFields(e.GetAttributes()), Text: e.GetText()}
	for _, child := range e.GetChildren() {
		out.Children = append(out.Children, recordElement(child))
	}
	return out
}

func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
