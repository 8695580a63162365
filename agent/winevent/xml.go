package winevent

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The bounds on one event of an XML document.
const (
	// maxEventXML bounds the bytes of one event as UTF-8, the layout before it
	// included. An event log record holds less than 64 KiB.
	maxEventXML = 4 << 20
	// maxXMLDepth bounds the nesting of elements.
	maxXMLDepth = 64
	// maxXMLFields bounds the elements and attributes of one event.
	maxXMLFields = 4096
)

var (
	// ErrNoEvent is returned for a document without an Event element.
	ErrNoEvent = errors.New("the document has no Event element")
	// ErrEventTooLarge is returned for an event that exceeds a bound.
	ErrEventTooLarge = errors.New("the event exceeds the bounds of event XML")
)

// XMLDecoder reads events from XML: one Event, a list of them, or an Events
// document, in UTF-8 or UTF-16. Namespaces may be declared or not;
// RenderingInfo is ignored. The records are those that the EVTX reader yields
// for the same events.
type XMLDecoder struct {
	source *xmlSource
	tokens *xml.Decoder
	open   []string // elements around the events
	events int
	fields int
	err    error
}

// NewXMLDecoder returns a decoder that reads r to its end.
func NewXMLDecoder(r io.Reader) *XMLDecoder {
	source := newXMLSource(r)
	tokens := xml.NewDecoder(source)
	// The source gives UTF-8 whatever the declaration says.
	tokens.CharsetReader = func(label string, input io.Reader) (io.Reader, error) {
		switch strings.ToLower(label) {
		case "utf-16", "utf-16le", "utf-16be", "unicode", "us-ascii", "ascii":
			return input, nil
		}
		return nil, fmt.Errorf("unsupported encoding %q", label)
	}
	return &XMLDecoder{source: source, tokens: tokens}
}

// ParseXML returns all events of a document. After an error the events before
// it are returned with it.
func ParseXML(r io.Reader) ([]*Record, error) {
	d := NewXMLDecoder(r)
	var records []*Record
	for {
		record, err := d.Next()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, record)
	}
}

// Next returns the next event, and io.EOF after the last. Any other error is
// final.
func (d *XMLDecoder) Next() (*Record, error) {
	if d.err != nil {
		return nil, d.err
	}
	record, err := d.next()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("reading event %d: %w", d.events+1, err)
		}
		d.err = err
		return nil, err
	}
	d.events++
	return record, nil
}

func (d *XMLDecoder) next() (*Record, error) {
	d.source.left, d.fields = maxEventXML, 0
	for {
		token, err := d.tokens.RawToken()
		if err != nil {
			return nil, d.atEnd(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Local != "Event" {
				if len(d.open) >= maxXMLDepth {
					return nil, ErrEventTooLarge
				}
				d.open = append(d.open, qualifiedName(t.Name))
				continue
			}
			event, err := d.element(t, 1)
			if err != nil {
				return nil, noEOF(err)
			}
			return fromEvent(&event), nil
		case xml.EndElement:
			last := len(d.open) - 1
			if last < 0 || d.open[last] != qualifiedName(t.Name) {
				return nil, fmt.Errorf("</%s> closes no element", qualifiedName(t.Name))
			}
			d.open = d.open[:last]
		}
	}
}

// atEnd tells the end of a whole document from one that was cut.
func (d *XMLDecoder) atEnd(err error) error {
	if !errors.Is(err, io.EOF) {
		return noEOF(err)
	}
	if len(d.open) > 0 {
		return io.ErrUnexpectedEOF
	}
	if d.events == 0 {
		return ErrNoEvent
	}
	return io.EOF
}

// noEOF names the end of the input inside an element by the usual error.
func noEOF(err error) error {
	var syntax *xml.SyntaxError
	if errors.Is(err, io.EOF) || errors.As(err, &syntax) && syntax.Msg == "unexpected EOF" {
		return io.ErrUnexpectedEOF
	}
	return err
}

func qualifiedName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// element reads up to the end of the element that start opened. Text is kept
// even beside children; fromEvent decides what it is worth.
func (d *XMLDecoder) element(start xml.StartElement, depth int) (Element, error) {
	e := Element{Name: qualifiedName(start.Name)}
	if d.fields += 1 + len(start.Attr); d.fields > maxXMLFields || depth > maxXMLDepth {
		return e, ErrEventTooLarge
	}
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		e.Attributes = append(e.Attributes, Field{Name: qualifiedName(a.Name), Value: restoreControls(a.Value)})
	}
	var text []byte
	for {
		token, err := d.tokens.RawToken()
		if err != nil {
			return e, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			child, err := d.element(t, depth+1)
			if err != nil {
				return e, err
			}
			e.Children = append(e.Children, child)
		case xml.CharData:
			text = append(text, t...)
		case xml.EndElement:
			if qualifiedName(t.Name) != e.Name {
				return e, fmt.Errorf("<%s> is closed by </%s>", e.Name, qualifiedName(t.Name))
			}
			e.Text = restoreControls(string(text))
			return e, nil
		}
	}
}

// fromEvent turns the tree of one event into a record.
func fromEvent(event *Element) *Record {
	r := new(Record)
	for i := range event.Children {
		child := &event.Children[i]
		switch localName(child.Name) {
		case "System":
			for j := range child.Children {
				r.setSystemFrom(&child.Children[j])
			}
		case "EventData":
			for _, a := range child.Attributes {
				if a.Name == "Name" {
					r.DataName = a.Value
				}
			}
			r.Data = appendData(r.Data, child.Children)
		case "UserData":
			child.dropMixedText()
			r.AddUserData(*child, true)
		case "RenderingInfo": // a translation of the rest
		default:
			child.dropMixedText()
			r.AddUserData(*child, false)
		}
	}
	return r
}

func localName(name string) string {
	return name[strings.IndexByte(name, ':')+1:]
}

func (r *Record) setSystemFrom(e *Element) {
	name := localName(e.Name)
	if len(e.Children) == 0 {
		r.SetSystem(name, "", e.Text)
	}
	for _, a := range e.Attributes {
		r.SetSystem(name, a.Name, a.Value)
	}
}

// appendData adds the children of EventData, and those of a structure inside it
// in its place.
func appendData(data []Field, children []Element) []Field {
	for i := range children {
		e := &children[i]
		if len(e.Children) > 0 {
			data = appendData(data, e.Children)
			continue
		}
		name := localName(e.Name)
		if name == "Data" {
			name = ""
		}
		for _, a := range e.Attributes {
			if a.Name == "Name" {
				name = a.Value
			}
		}
		data = append(data, Field{Name: name, Value: e.Text})
	}
	return data
}

// dropMixedText removes the text beside children, which is layout.
func (e *Element) dropMixedText() {
	if len(e.Children) > 0 {
		e.Text = ""
	}
	for i := range e.Children {
		e.Children[i].dropMixedText()
	}
}
