package telemetry

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// Kind is the type of a column's values.
type Kind uint8

// The kinds, and the Go type that Table.AppendRow encodes each as.
const (
	KindUUID    Kind = iota // [16]byte
	KindTime                // time.Time
	KindText                // string
	KindBool                // bool
	KindInt32               // int32
	KindInt64               // int64
	KindFloat64             // float64
	KindTexts               // []string
)

var sqlTypes = [...]string{
	KindUUID:    "uuid",
	KindTime:    "timestamptz",
	KindText:    "text",
	KindBool:    "boolean",
	KindInt32:   "integer",
	KindInt64:   "bigint",
	KindFloat64: "double precision",
	KindTexts:   "text[]",
}

// Column is one column of a table.
type Column struct {
	Name string
	Kind Kind
	// SQLType is the PostgreSQL type.
	SQLType string
	// Nullable columns are those whose absence differs from zero: all numbers
	// and booleans. Texts are never null.
	Nullable bool
	// Description is one or more English sentences.
	Description string
}

// Table is one event table. It is never changed after it was built.
type Table struct {
	// Name is the table's name in SQL and osquery.
	Name string
	// Message is the full name of the protobuf message that describes it.
	Message protoreflect.FullName
	// OCSFClass is the class_uid of its events unless OCSF says otherwise.
	OCSFClass uint32
	// Heavy tables are partitioned by received day, others by ISO week.
	Heavy bool
	// Description is one or more English sentences.
	Description string
	// Columns are the common columns, then the message's fields in the order
	// of the message.
	Columns []Column

	body   protoreflect.FieldDescriptor   // the field of Event that holds the message
	fields []protoreflect.FieldDescriptor // of the columns after the common ones
	plain  []plainField                   // the same, as they are read from bytes
	// byNumber finds the index of a field in them, plus 1, by its number.
	byNumber []uint8
}

// columnOf is the index among the columns after the common ones of the field of
// that number.
func (t *Table) columnOf(number uint64) (at int, ok bool) {
	if number >= uint64(len(t.byNumber)) || t.byNumber[number] == 0 {
		return 0, false
	}
	return int(t.byNumber[number]) - 1, true
}

// commonColumns begin every table, in this order.
var commonColumns = []Column{
	{Name: "host_id", Kind: KindUUID, Description: "The host that the event is of."},
	{Name: "position", Kind: KindInt64, Description: "The ledger position of the batch that carried the event."},
	{Name: "ordinal", Kind: KindInt32, Description: "The index of the event in its batch, from 0."},
	{Name: "observed_at", Kind: KindTime, Description: "When it happened, by the clock of the observer."},
	{Name: "received_at", Kind: KindTime, Description: "When the server received the batch."},
	{Name: "source", Kind: KindText, Description: "The source: kernel, sysmon, event_log, etw, forwarded, osquery or agent."},
	{Name: "grade", Kind: KindText, Description: "The fidelity of the source for this kind of event, A to D."},
	{Name: "mode", Kind: KindText, Description: "How it was read: live, backfill or import."},
	{Name: "record_id", Kind: KindInt64, Nullable: true, Description: "The record's number in its channel."},
	{Name: "channel", Kind: KindText, Description: "The event log channel."},
	{Name: "provider", Kind: KindText, Description: "The event provider."},
	{Name: "event_id", Kind: KindInt32, Nullable: true, Description: "The provider's number of the event."},
	{Name: "rule_name", Kind: KindText, Description: "The filter rule that kept the event."},
}

type registry struct {
	tables []*Table
	byName map[string]*Table
	// byBody finds the table by the Go type of the oneof's wrapper, which
	// costs a map look-up where protobuf reflection would allocate.
	byBody map[reflect.Type]*Table
	// byNumber finds the table by the number of the body's field in Event;
	// untabled are the numbers of bodies that no table holds.
	byNumber []*Table
	untabled map[uint64]bool

	sources, grades, modes []string // their texts by number
}

var load = sync.OnceValue(build)

// Tables lists all event tables, in the order of the fields of Event. The slice
// is the caller's, the tables are shared.
func Tables() []*Table { return slices.Clone(load().tables) }

// ByName returns the table of that name, nil if there is none.
func ByName(name string) *Table { return load().byName[name] }

// Of returns the table that holds ev, nil where no table does: for an event
// without a body and for SourceHealth, Gap and AgentEvent.
func Of(ev *telemetryv1.Event) *Table {
	if ev == nil || ev.Body == nil {
		return nil
	}
	return load().byBody[reflect.TypeOf(ev.Body)]
}

func build() *registry {
	r := &registry{byName: map[string]*Table{}, byBody: map[reflect.Type]*Table{}, untabled: map[uint64]bool{}}
	r.sources = labels(len(telemetryv1.Source_name), SourceName)
	r.grades = labels(len(telemetryv1.Grade_name), GradeName)
	r.modes = labels(len(telemetryv1.Mode_name), ModeName)
	bodies := (&telemetryv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	for i := range bodies.Len() {
		body := bodies.Get(i)
		options, _ := proto.GetExtension(body.Message().Options(), telemetryv1.E_Table).(*telemetryv1.TableOptions)
		number := int(body.Number())
		if options.GetName() == "" {
			r.untabled[uint64(number)] = true
			continue
		}
		t := newTable(body, options)
		if grow := number + 1 - len(r.byNumber); grow > 0 {
			r.byNumber = append(r.byNumber, make([]*Table, grow)...)
		}
		r.byNumber[number] = t
		r.tables = append(r.tables, t)
		r.byName[t.Name] = t
		r.byBody[wrapperType(body)] = t
	}
	return r
}

func newTable(body protoreflect.FieldDescriptor, options *telemetryv1.TableOptions) *Table {
	message := body.Message()
	t := &Table{
		Name:        options.GetName(),
		Message:     message.FullName(),
		OCSFClass:   options.GetOcsfClass(),
		Heavy:       options.GetHeavy(),
		Description: descriptions[string(message.Name())],
		body:        body,
	}
	for _, c := range commonColumns {
		c.SQLType = sqlTypes[c.Kind]
		t.Columns = append(t.Columns, c)
	}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		kind := kindOf(field)
		t.fields = append(t.fields, field)
		t.Columns = append(t.Columns, Column{
			Name:        string(field.Name()),
			Kind:        kind,
			SQLType:     sqlTypes[kind],
			Nullable:    field.HasPresence(),
			Description: descriptions[string(message.Name())+"."+string(field.Name())],
		})
		t.plain = append(t.plain, newPlainField(&t.Columns[len(t.Columns)-1], field))
		number := int(field.Number())
		if grow := number + 1 - len(t.byNumber); grow > 0 {
			t.byNumber = append(t.byNumber, make([]uint8, grow)...)
		}
		t.byNumber[number] = uint8(len(t.plain))
	}
	return t
}

// kindOf maps a field to its column. A field that no column can hold is a
// mistake in the .proto files, which the tests of this package rule out.
func kindOf(field protoreflect.FieldDescriptor) Kind {
	switch field.Kind() {
	case protoreflect.StringKind:
		if field.IsList() {
			return KindTexts
		}
		return KindText
	case protoreflect.BoolKind:
		return KindBool
	case protoreflect.Int32Kind:
		return KindInt32
	case protoreflect.Uint32Kind, protoreflect.Int64Kind, protoreflect.Uint64Kind:
		return KindInt64
	case protoreflect.DoubleKind:
		return KindFloat64
	default:
		panic(fmt.Sprintf("telemetry: field %s is no column", field.FullName()))
	}
}

func wrapperType(body protoreflect.FieldDescriptor) reflect.Type {
	var ev telemetryv1.Event
	m := ev.ProtoReflect()
	m.Set(body, m.NewField(body))
	return reflect.TypeOf(ev.Body)
}

// Column returns the column of that name.
func (t *Table) Column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// ColumnNames lists the names of the columns in order.
func (t *Table) ColumnNames() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// SourceName is the text of a source in tables: "event_log".
func SourceName(s telemetryv1.Source) string { return enumText(s.String(), "SOURCE_") }

// GradeName is the text of a grade in tables: "A".
func GradeName(g telemetryv1.Grade) string {
	if g == telemetryv1.Grade_GRADE_UNSPECIFIED {
		return ""
	}
	return strings.TrimPrefix(g.String(), "GRADE_")
}

// ModeName is the text of a mode in tables: "live".
func ModeName(m telemetryv1.Mode) string { return enumText(m.String(), "MODE_") }

func enumText(name, prefix string) string {
	name = strings.TrimPrefix(name, prefix)
	if name == "UNSPECIFIED" {
		return ""
	}
	return strings.ToLower(name)
}
