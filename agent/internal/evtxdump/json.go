package evtxdump

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

// timeFormat is RFC 3339 with the seven digits that Windows keeps.
const timeFormat = "2006-01-02T15:04:05.0000000Z07:00"

// jsonRecord is one line of JSON output. All keys are always there.
//
// time is empty where the record has none; keywords is hexadecimal with 0x.
// user_data maps the one element inside UserData to its content, {} where there
// is none:
//
//   - an element without attributes and children is a string, its text
//   - any other is an object: its children by name, its attributes by name with
//     an @ before it, and its text, if it has one beside attributes, as #text
//   - elements of one name become an array, in the place of the first
type jsonRecord struct {
	File         string      `json:"file"`
	RecordNumber uint64      `json:"record_number"`
	RecordID     uint64      `json:"record_id"`
	Time         string      `json:"time"`
	Provider     string      `json:"provider"`
	EventID      uint32      `json:"event_id"`
	Version      uint8       `json:"version"`
	Level        uint8       `json:"level"`
	Task         uint16      `json:"task"`
	Opcode       uint8       `json:"opcode"`
	Keywords     string      `json:"keywords"`
	Channel      string      `json:"channel"`
	Computer     string      `json:"computer"`
	UserSID      string      `json:"user_sid"`
	ActivityID   string      `json:"activity_id"`
	ProcessID    uint32      `json:"process_id"`
	ThreadID     uint32      `json:"thread_id"`
	Data         []jsonField `json:"data"`
	UserData     userData    `json:"user_data"`
}

type jsonField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type jsonPrinter struct {
	encoder *json.Encoder
	fields  []jsonField
}

func newJSONPrinter(w io.Writer) *jsonPrinter {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &jsonPrinter{encoder: encoder, fields: []jsonField{}}
}

func (p *jsonPrinter) print(e entry) error {
	r := e.record
	p.fields = p.fields[:0]
	for _, f := range r.Data {
		p.fields = append(p.fields, jsonField(f))
	}
	return p.encoder.Encode(jsonRecord{
		File: e.file, RecordNumber: e.number, RecordID: r.RecordID, Time: timeText(r.Time),
		Provider: r.Provider, EventID: r.EventID, Version: r.Version, Level: r.Level, Task: r.Task,
		Opcode: r.Opcode, Keywords: "0x" + strconv.FormatUint(r.Keywords, 16), Channel: r.Channel,
		Computer: r.Computer, UserSID: r.UserSID, ActivityID: r.ActivityID,
		ProcessID: r.ProcessID, ThreadID: r.ThreadID, Data: p.fields, UserData: userData{r.UserData},
	})
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeFormat)
}

// userData gives UserData its JSON shape, with the children in the record's
// order, which a map would lose.
type userData struct{ root *winevent.Element }

// MarshalJSON implements json.Marshaler.
func (u userData) MarshalJSON() ([]byte, error) {
	if u.root == nil {
		return []byte("{}"), nil
	}
	var b bytes.Buffer
	b.WriteByte('{')
	writeText(&b, u.root.Name)
	b.WriteByte(':')
	writeElement(&b, u.root)
	b.WriteByte('}')
	return b.Bytes(), nil
}

func writeElement(b *bytes.Buffer, e *winevent.Element) {
	if len(e.Attributes) == 0 && len(e.Children) == 0 {
		writeText(b, e.Text)
		return
	}
	b.WriteByte('{')
	first := true
	key := func(name string) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		writeText(b, name)
		b.WriteByte(':')
	}
	written := map[string]bool{}
	for _, a := range e.Attributes {
		if name := "@" + a.Name; !written[name] { // XML has no two of one name
			written[name] = true
			key(name)
			writeText(b, a.Value)
		}
	}
	if e.Text != "" {
		key("#text")
		writeText(b, e.Text)
	}
	byName := map[string][]*winevent.Element{}
	for i := range e.Children {
		child := &e.Children[i]
		byName[child.Name] = append(byName[child.Name], child)
	}
	for i := range e.Children {
		same := byName[e.Children[i].Name]
		if same[0] != &e.Children[i] {
			continue // written with the first of its name
		}
		key(same[0].Name)
		writeElements(b, same)
	}
	b.WriteByte('}')
}

func writeElements(b *bytes.Buffer, same []*winevent.Element) {
	if len(same) == 1 {
		writeElement(b, same[0])
		return
	}
	b.WriteByte('[')
	for i, e := range same {
		if i > 0 {
			b.WriteByte(',')
		}
		writeElement(b, e)
	}
	b.WriteByte(']')
}

// writeText writes a JSON string. Writing a string into a buffer cannot fail.
func writeText(b *bytes.Buffer, text string) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text)
	b.Truncate(b.Len() - 1) // the line end that Encode adds
}
