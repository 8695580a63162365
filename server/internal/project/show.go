package project

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Named is a field as people read it.
type Named struct{ Name, Value string }

// Shown is one event in full, read from the batch as it was received.
type Shown struct {
	Event      Event
	Header     evidence.Header
	Commitment evidence.Hash
	// Fields are the typed table's (or the body's, where it has no table),
	// System the Windows record's header, Raw its data in order.
	Fields, System, Raw []Named
}

// Show decodes one event of a stored batch. It is NotFound beyond the batch's
// events, Invalid for a batch that cannot be decoded.
func Show(stored postgres.StoredBatch, ordinal uint32) (*Shown, error) {
	d, err := newDecoder()
	if err != nil {
		return nil, err
	}
	defer d.close()
	header, err := evidence.ParseHeader(stored.Header)
	if err != nil {
		return nil, assay.Errorf(assay.Invalid, "the batch's header cannot be read: %w", err)
	}
	if stored.Absence != postgres.Present {
		return nil, assay.Errorf(assay.NotFound, "the event's batch cannot be shown: %s", stored.Absence)
	}
	block, err := d.block(header, stored.Payload, &room{})
	if err != nil {
		return nil, assay.Errorf(assay.Invalid, "the batch cannot be read: %w", err)
	}
	if int(ordinal) >= len(block.Events) {
		return nil, assay.Errorf(assay.NotFound, "the batch has %d events, there is no number %d", len(block.Events), ordinal)
	}
	view, err := telemetry.ParseView(block.Texts[ordinal])
	if err != nil {
		return nil, assay.Errorf(assay.Invalid, "the event cannot be read: %w", err)
	}
	var ev Event
	resolve(&ev, (*Stored)(&stored), ordinal, &view)
	ev.Message()
	shown := &Shown{Event: ev, Header: header, Commitment: evidence.Commitment(evidence.Salt(block.Seed, ordinal), block.Events[ordinal])}
	shown.Fields = typedFields(&ev)
	shown.System, shown.Raw = rawFields(&ev)
	return shown, nil
}

func typedFields(ev *Event) []Named {
	message := telemetry.Body(ev.Body)
	if message == nil {
		message = bodyMessage(ev.Body.ProtoReflect())
	}
	if message == nil {
		return nil
	}
	var fields []Named
	list := message.Descriptor().Fields()
	for i := range list.Len() {
		field := list.Get(i)
		if message.Has(field) {
			fields = append(fields, Named{string(field.Name()), fieldText(field, message.Get(field))})
		}
	}
	return fields
}

// bodyMessage is the message in the oneof, for bodies that no table holds.
func bodyMessage(event protoreflect.Message) protoreflect.Message {
	field := event.WhichOneof(event.Descriptor().Oneofs().ByName("body"))
	if field == nil {
		return nil
	}
	return event.Get(field).Message()
}

func fieldText(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	if !field.IsList() {
		return value.String()
	}
	parts := make([]string, value.List().Len())
	for i := range parts {
		if field.Kind() == protoreflect.MessageKind {
			parts[i] = messageText(value.List().Get(i).Message().Interface())
			continue
		}
		parts[i] = value.List().Get(i).String()
	}
	return strings.Join(parts, "; ")
}

func messageText(m proto.Message) string {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func rawFields(ev *Event) (system, raw []Named) {
	r := ev.Body.GetRaw()
	if r == nil {
		return nil, nil
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for _, f := range []Named{
		{"Provider", r.GetProvider()}, {"Provider Guid", r.GetProviderGuid()}, {"EventSourceName", r.GetEventSourceName()},
		{"EventID", number(uint64(r.GetEventId()))}, {"Version", number(uint64(r.GetVersion()))}, {"Level", number(uint64(r.GetLevel()))},
		{"Task", number(uint64(r.GetTask()))}, {"Opcode", number(uint64(r.GetOpcode()))}, {"Keywords", fmt.Sprintf("0x%x", r.GetKeywords())},
		{"EventRecordID", number(r.GetRecordId())}, {"Channel", r.GetChannel()}, {"Computer", r.GetComputer()},
		{"Security UserID", r.GetUserSid()}, {"ActivityID", r.GetActivityId()}, {"RelatedActivityID", r.GetRelatedActivityId()},
		{"ProcessID", number(uint64(r.GetProcessId()))}, {"ThreadID", number(uint64(r.GetThreadId()))},
	} {
		if f.Value != "" {
			system = append(system, f)
		}
	}
	ev.View.Raw.Fields(func(name, value string) bool {
		raw = append(raw, Named{name, value})
		return true
	})
	return system, raw
}
