package evtx

import (
	"errors"

	"github.com/assay-audit/assay/agent/winevent"
)

// span is a text of the record being built: fixed where start is negative,
// else text[start:end]. All spans become one string at the end, so that a
// record costs one allocation for all its texts.
type span struct {
	fixed      string
	start, end int
}

type field struct{ name, value span }

// expander builds records from compiled elements and values. It belongs to one
// chunk at a time; its scratch space is reused from record to record.
type expander struct {
	buf         []byte
	definitions map[uint32]*definition // by chunk offset
	names       names
	interned    map[string]string // by text, over the whole file

	// Spent by the records of this chunk; see limits.go.
	compiled, steps, chunkText int

	// The record being built.
	record      *winevent.Record
	text        []byte
	fields      []field
	values      []value
	parent      *winevent.Element // modeUserData: where elements are added
	nesting     int
	depth       int
	elements    int
	unknownType uint8
}

var (
	errText    = errors.New("more text than a record can hold")
	errFields  = errors.New("more fields than a record can hold")
	errNoEvent = errors.New("the root element is not Event")
	errValue   = errors.New("the template refers to a value that is not there")
)

func (x *expander) init() {
	x.definitions = make(map[uint32]*definition)
	x.interned = make(map[string]string)
}

func (x *expander) reset(buf []byte) {
	x.buf = buf
	clear(x.definitions)
	x.names.reset()
	x.compiled, x.steps, x.chunkText = 0, 0, 0
}

// decode builds the record whose BinXML is buf[at:end].
func (x *expander) decode(at, end int) (*winevent.Record, error) {
	x.record = new(winevent.Record)
	x.text, x.fields, x.values = x.text[:0], x.fields[:0], x.values[:0]
	x.nesting, x.depth, x.elements, x.unknownType, x.parent = 0, 0, 0, 0, nil
	if err := x.fragment(modeDocument, at, end); err != nil {
		return nil, err
	}
	text := string(x.text)
	if len(x.fields) > 0 {
		x.record.Data = make([]winevent.Field, len(x.fields))
		for i := range x.fields {
			f := &x.fields[i]
			x.record.Data[i] = winevent.Field{Name: f.name.in(text), Value: f.value.in(text)}
		}
	}
	return x.record, nil
}

func (s *span) in(text string) string {
	if s.start < 0 {
		return s.fixed
	}
	return text[s.start:s.end]
}

func (x *expander) spend(steps int) error {
	if x.steps += steps; x.steps > maxChunkSteps {
		return errChunk
	}
	return nil
}

// spendText accounts for n bytes of text just made.
func (x *expander) spendText(n int) error {
	if x.chunkText += n; x.chunkText > maxChunkText {
		return errChunk
	}
	if len(x.text) > maxRecordText {
		return errText
	}
	return nil
}

// element handles one element by where it stands.
func (x *expander) element(mode mode, e *element, values []value) error {
	if err := x.spend(e.steps); err != nil {
		return err
	}
	if x.depth++; x.depth > maxElementDepth {
		return errNested
	}
	defer func() { x.depth-- }()
	switch mode {
	case modeDocument:
		if e.role != roleEvent {
			return errNoEvent
		}
		return x.children(modeEvent, e, values)
	case modeEvent:
		return x.eventChild(e, values)
	case modeSystem:
		return x.systemChild(e, values)
	case modeEventData:
		return x.dataElement(e, values)
	default:
		return x.userElement(e, values)
	}
}

// children visits the elements in e's content, those inside BinXML values
// included. Text between them is layout.
func (x *expander) children(mode mode, e *element, values []value) error {
	for i := range e.content {
		it := &e.content[i]
		var err error
		switch it.kind {
		case itemText:
		case itemElement:
			err = x.element(mode, it.element, values)
		case itemValue:
			var v value
			if v, err = valueOf(it, values); err == nil && v.kind == typeBinXML {
				err = x.fragment(mode, v.at, v.at+v.size)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) eventChild(e *element, values []value) error {
	switch e.role {
	case roleSystem:
		return x.children(modeSystem, e, values)
	case roleEventData:
		return x.eventData(e, values)
	case roleRenderingInfo:
		return nil // a translation of the rest
	case roleUserData:
		return x.userData(e, values, true)
	default:
		// ProcessingErrorData, DebugData and the like: kept as they are.
		return x.userData(e, values, false)
	}
}

// valueOf gives the value that a substitution refers to. A template may state
// more values than an instance has: those are null.
func valueOf(it *item, values []value) (value, error) {
	if int(it.value) >= len(values) {
		if it.optional {
			return value{}, nil
		}
		return value{}, errValue
	}
	return values[it.value], nil
}

// dropped reports whether a null optional value in content drops what encloses
// it.
func dropped(content []item, values []value) bool {
	for i := range content {
		it := &content[i]
		if it.kind == itemValue && it.optional &&
			(int(it.value) >= len(values) || values[it.value].kind == typeNull) {
			return true
		}
	}
	return false
}

// single reports whether content is one substitution, and its value.
func single(content []item, values []value) (value, bool) {
	if len(content) != 1 || content[0].kind != itemValue || int(content[0].value) >= len(values) {
		return value{}, false
	}
	return values[content[0].value], true
}

// appendContent renders content as text. Elements in it are the caller's
// business; an array here, beside other text or in an attribute, is joined with
// commas.
func (x *expander) appendContent(content []item, values []value) error {
	for i := range content {
		it := &content[i]
		before := len(x.text)
		switch it.kind {
		case itemElement:
		case itemText:
			x.text = append(x.text, it.text...)
		case itemValue:
			v, err := valueOf(it, values)
			if err != nil {
				return err
			}
			x.appendOne(v)
		}
		if err := x.spendText(len(x.text) - before); err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) appendOne(v value) {
	b := x.buf[v.at : v.at+v.size]
	if v.kind == typeBinXML {
		return
	}
	if v.kind&typeArray == 0 {
		x.appendPlain(v.kind, b)
		return
	}
	for first := true; len(b) > 0; first = false {
		if !first {
			x.text = append(x.text, ',')
		}
		var member []byte
		member, b = nextOfArray(v.kind&^typeArray, b)
		x.appendPlain(v.kind&^typeArray, member)
	}
}

func (x *expander) appendPlain(kind uint8, b []byte) {
	var known bool
	if x.text, known = appendValue(x.text, kind, b); !known {
		x.unknownType = kind
	}
}

// content renders content as a span.
func (x *expander) content(content []item, values []value) (span, error) {
	if len(content) == 0 {
		return span{start: -1}, nil
	}
	if len(content) == 1 && content[0].kind == itemText {
		return span{fixed: content[0].text, start: -1}, nil
	}
	start := len(x.text)
	err := x.appendContent(content, values)
	return span{start: start, end: len(x.text)}, err
}

// contentString renders content as a string of its own. It leaves x.text as it
// was.
func (x *expander) contentString(content []item, values []value) (string, error) {
	s, err := x.content(content, values)
	if err != nil || s.start < 0 {
		return s.fixed, err
	}
	text := string(x.text[s.start:s.end])
	x.text = x.text[:s.start]
	return text, nil
}

// contentInterned is contentString for texts that many records share.
func (x *expander) contentInterned(content []item, values []value) (string, error) {
	s, err := x.content(content, values)
	if err != nil || s.start < 0 {
		return s.fixed, err
	}
	raw := x.text[s.start:s.end]
	text, ok := x.interned[string(raw)]
	if !ok {
		text = string(raw)
		if len(x.interned) < maxInterned && len(text) <= maxInternedLength {
			x.interned[text] = text
		}
	}
	x.text = x.text[:s.start]
	return text, nil
}
