package evtxtest

import "time"

// Event is a convenient record: the System fields that Windows always writes,
// and named data. The shape of its BinXML is that of a manifest provider: one
// template for System, with the body as a nested template instance.
type Event struct {
	RecordID     uint64
	Time         time.Time
	Provider     string
	ProviderGUID string // null where empty
	EventID      uint16
	Qualifiers   int // -1 for none
	Version      uint8
	Level        uint8
	Task         uint16
	Opcode       uint8
	Keywords     uint64
	Channel      string
	Computer     string
	UserSID      string // null where empty
	ActivityID   string // null where empty
	ProcessID    uint32
	ThreadID     uint32
	Data         []Field  // children of EventData
	Body         Fragment // in the place of EventData, where set
}

// Field is a named value of EventData.
type Field struct {
	Name  string
	Value Value
}

// Named returns a field.
func Named(name string, value Value) Field { return Field{Name: name, Value: value} }

// System is the template of the System element; value 18 is the body.
func System() *Template {
	opt := func(i int, kind uint8) Substitution { return Substitution{Index: i, Optional: true, Kind: kind} }
	return &Template{ID: 0x53797374, Root: El("Event",
		El("System",
			El("Provider").With("Name", opt(0, 0x01)).With("Guid", opt(1, 0x0f)),
			El("EventID", opt(2, 0x06)).With("Qualifiers", opt(3, 0x06)),
			El("Version", opt(4, 0x04)),
			El("Level", opt(5, 0x04)),
			El("Task", opt(6, 0x06)),
			El("Opcode", opt(7, 0x04)),
			El("Keywords", opt(8, 0x15)),
			El("TimeCreated").With("SystemTime", opt(9, 0x11)),
			El("EventRecordID", opt(10, 0x0a)),
			El("Correlation").With("ActivityID", opt(11, 0x0f)).With("RelatedActivityID", opt(12, 0x0f)),
			El("Execution").With("ProcessID", opt(13, 0x08)).With("ThreadID", opt(14, 0x08)),
			El("Channel", opt(15, 0x01)),
			El("Computer", opt(16, 0x01)),
			El("Security").With("UserID", opt(17, 0x13)),
		),
		opt(18, 0x21),
	).With("xmlns", Text("http://schemas.microsoft.com/win/2004/08/events/event"))}
}

// Writer makes records of events, so that those of one shape share templates.
type Writer struct {
	system *Template
	data   map[string]*Template
}

// NewWriter returns a Writer.
func NewWriter() *Writer {
	return &Writer{system: System(), data: map[string]*Template{}}
}

// Record encodes an event. Its number is the event's record id.
func (w *Writer) Record(e Event) Record {
	text := func(s string, f func(string) Value) Value {
		if s == "" {
			return Null()
		}
		return f(s)
	}
	qualifiers := Null()
	if e.Qualifiers >= 0 {
		qualifiers = Uint16(uint16(e.Qualifiers))
	}
	body := Null()
	if e.Body != nil {
		body = BinXML(e.Body)
	} else if len(e.Data) > 0 {
		body = BinXML(w.eventData(e.Data))
	}
	return Record{Number: e.RecordID, Written: e.Time, Root: &Instance{w.system, []Value{
		text(e.Provider, String), text(e.ProviderGUID, GUID), Uint16(e.EventID), qualifiers,
		Uint8(e.Version), Uint8(e.Level), Uint16(e.Task), Uint8(e.Opcode), Hex64(e.Keywords),
		FileTime(e.Time), Uint64(e.RecordID), text(e.ActivityID, GUID), Null(),
		Uint32(e.ProcessID), Uint32(e.ThreadID), text(e.Channel, String), text(e.Computer, String),
		text(e.UserSID, SID), body,
	}}}
}

func (w *Writer) eventData(fields []Field) *Instance {
	key := ""
	for _, f := range fields {
		key += f.Name + "\x00"
	}
	template, ok := w.data[key]
	values := make([]Value, len(fields))
	root := El("EventData")
	for i, f := range fields {
		values[i] = f.Value
		data := El("Data", Substitution{Index: i, Kind: f.Value.Kind})
		if f.Name != "" {
			data.With("Name", Text(f.Name))
		}
		root.Content = append(root.Content, data)
	}
	if !ok {
		template = &Template{ID: 0x44617461 + uint32(len(w.data)), Root: root}
		w.data[key] = template
	}
	return &Instance{template, values}
}

// Log returns a file that holds the events.
func Log(options Options, events ...Event) []byte {
	w := NewWriter()
	records := make([]Record, len(events))
	for i, e := range events {
		records[i] = w.Record(e)
	}
	return File(options, records...)
}
