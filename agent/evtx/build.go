package evtx

import (
	"strings"

	"github.com/assay-audit/assay/agent/winevent"
)

// systemChild sets what one child of System says.
func (x *expander) systemChild(e *element, values []value) error {
	for i := range e.attributes {
		a := &e.attributes[i]
		if dropped(a.content, values) {
			continue
		}
		if err := x.systemAttribute(e, a, values); err != nil {
			return err
		}
	}
	if len(e.content) == 0 || dropped(e.content, values) {
		return nil
	}
	if v, ok := single(e.content, values); ok && x.systemNumber(e.role, v) {
		return x.spend(1)
	}
	text, err := x.contentInterned(e.content, values)
	if err != nil {
		return err
	}
	x.record.SetSystem(e.name, "", text)
	return nil
}

// systemNumber sets a numeric child of System from an integer value, without
// the way through text; it reports whether it did. Integers wider than the
// field are left to the text, which rejects them.
func (x *expander) systemNumber(r role, v value) bool {
	if v.kind < typeInt8 || v.kind > typeUint64 && v.kind != typeHex32 && v.kind != typeHex64 {
		return false
	}
	n, ok := littleEndian(x.buf[v.at : v.at+v.size])
	if !ok {
		return false
	}
	switch {
	case r == roleEventID && n>>32 == 0:
		x.record.EventID = uint32(n)
	case r == roleVersion && n>>8 == 0:
		x.record.Version = uint8(n)
	case r == roleLevel && n>>8 == 0:
		x.record.Level = uint8(n)
	case r == roleTask && n>>16 == 0:
		x.record.Task = uint16(n)
	case r == roleOpcode && n>>8 == 0:
		x.record.Opcode = uint8(n)
	case r == roleKeywords:
		x.record.Keywords = n
	case r == roleRecordID:
		x.record.RecordID = n
	default:
		return false
	}
	return true
}

func (x *expander) systemAttribute(e *element, a *attribute, values []value) error {
	if v, ok := single(a.content, values); ok && x.systemAttributeValue(e.role, a.name, v) {
		return x.spend(1)
	}
	// Ids of activities hardly repeat; names, GUIDs and SIDs do.
	render := x.contentInterned
	if e.role == roleCorrelation || e.role == roleTimeCreated {
		render = x.contentString
	}
	text, err := render(a.content, values)
	if err != nil {
		return err
	}
	x.record.SetSystem(e.name, a.name, text)
	return nil
}

// systemAttributeValue is systemNumber for attributes.
func (x *expander) systemAttributeValue(r role, name string, v value) bool {
	n, ok := littleEndian(x.buf[v.at : v.at+v.size])
	if !ok {
		return false
	}
	switch {
	case r == roleTimeCreated && name == "SystemTime" && v.kind == typeFileTime:
		t, ok := fileTime(n)
		if ok {
			x.record.Time = t
		}
		return ok
	case v.kind != typeUint32 && v.kind != typeUint16:
		return false
	case r == roleExecution && name == "ProcessID":
		x.record.ProcessID = uint32(n)
	case r == roleExecution && name == "ThreadID":
		x.record.ThreadID = uint32(n)
	case r == roleEventID && name == "Qualifiers" && n>>16 == 0:
		x.record.Qualifiers = uint16(n)
	default:
		return false
	}
	return true
}

// eventData takes the Name of EventData, and its children as fields.
func (x *expander) eventData(e *element, values []value) error {
	for i := range e.attributes {
		if a := &e.attributes[i]; a.name == "Name" && !dropped(a.content, values) {
			name, err := x.contentInterned(a.content, values)
			if err != nil {
				return err
			}
			x.record.DataName = name
		}
	}
	return x.children(modeEventData, e, values)
}

// dataElement adds a child of EventData as a field. A structure (ComplexData)
// adds the fields inside it in its place.
func (x *expander) dataElement(e *element, values []value) error {
	if e.optional && dropped(e.content, values) {
		return nil
	}
	name := span{fixed: e.name, start: -1}
	if e.role == roleData {
		name.fixed = ""
	}
	for i := range e.attributes {
		if a := &e.attributes[i]; a.name == "Name" && !dropped(a.content, values) {
			var err error
			if name, err = x.content(a.content, values); err != nil {
				return err
			}
		}
	}
	v, one := single(e.content, values)
	switch {
	case e.nested, one && v.kind == typeBinXML:
		return x.children(modeEventData, e, values)
	case one && v.kind&typeArray != 0 && v.size > 0:
		return x.dataArray(name, v)
	}
	text, err := x.content(e.content, values)
	if err != nil {
		return err
	}
	return x.addField(name, text)
}

// dataArray adds one field per member: Windows repeats the element.
func (x *expander) dataArray(name span, v value) error {
	kind, b := v.kind&^typeArray, x.buf[v.at:v.at+v.size]
	for len(b) > 0 {
		var member []byte
		member, b = nextOfArray(kind, b)
		start := len(x.text)
		x.appendPlain(kind, member)
		if err := x.spendText(len(x.text) - start); err != nil {
			return err
		}
		if err := x.addField(name, span{start: start, end: len(x.text)}); err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) addField(name, value span) error {
	if x.elements++; x.elements > maxRecordFields {
		return errFields
	}
	x.fields = append(x.fields, field{name, value})
	return x.spend(1)
}

// userData sets Record.UserData: to the single child of the UserData element,
// or to the element itself where it has not exactly one or where whole says
// that e is an element of another name.
func (x *expander) userData(e *element, values []value, unwrap bool) error {
	if unwrap && dropped(e.content, values) {
		return nil
	}
	var holder winevent.Element
	x.parent = &holder
	if err := x.userElement(e, values); err != nil || len(holder.Children) == 0 {
		return err
	}
	x.record.AddUserData(holder.Children[0], unwrap)
	return nil
}

// userElement adds e, with all below it, to x.parent.
func (x *expander) userElement(e *element, values []value) error {
	if e.optional && dropped(e.content, values) {
		return nil
	}
	node := winevent.Element{Name: e.name}
	for i := range e.attributes {
		a := &e.attributes[i]
		if dropped(a.content, values) {
			continue
		}
		text, err := x.contentString(a.content, values)
		if err != nil {
			return err
		}
		node.Attributes = append(node.Attributes, winevent.Field{Name: a.name, Value: text})
	}
	if v, one := single(e.content, values); one && v.kind&typeArray != 0 && v.size > 0 {
		return x.userArray(node, v)
	}
	parent := x.parent
	x.parent = &node
	err := x.children(modeUserData, e, values)
	x.parent = parent
	if err != nil {
		return err
	}
	if len(node.Children) == 0 {
		if node.Text, err = x.contentString(e.content, values); err != nil {
			return err
		}
		if e.nested {
			node.Text = strings.TrimSpace(node.Text)
		}
	}
	return x.addElement(node)
}

func (x *expander) userArray(node winevent.Element, v value) error {
	kind, b := v.kind&^typeArray, x.buf[v.at:v.at+v.size]
	for len(b) > 0 {
		var member []byte
		member, b = nextOfArray(kind, b)
		start := len(x.text)
		x.appendPlain(kind, member)
		if err := x.spendText(len(x.text) - start); err != nil {
			return err
		}
		node.Text = string(x.text[start:])
		x.text = x.text[:start]
		if err := x.addElement(node); err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) addElement(node winevent.Element) error {
	if x.elements += 1 + len(node.Attributes); x.elements > maxRecordFields {
		return errFields
	}
	x.parent.Children = append(x.parent.Children, node)
	return x.spend(1 + len(node.Attributes))
}
