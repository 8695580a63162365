package evtxtest

// Fragment is BinXML that stands on its own: an *Element without
// substitutions, or an *Instance of a template.
type Fragment interface{ fragment() }

// Content is what an element or attribute may hold: Text, CDATA, CharRef,
// EntityRef, Instruction, Substitution or *Element.
type Content interface{ content() }

// Text is literal text.
type Text string

// CDATA is a CDATA section.
type CDATA string

// CharRef is a character reference.
type CharRef uint16

// EntityRef is an entity reference, by name.
type EntityRef string

// Instruction is a processing instruction.
type Instruction struct{ Target, Data string }

// Substitution refers to a value of the template instance.
type Substitution struct {
	Index    int
	Optional bool
	Kind     uint8 // the declared type
}

// Element is an element of a template or of a fragment.
type Element struct {
	Name       string
	Attributes []Attribute
	Content    []Content
}

// Attribute is one attribute of an element.
type Attribute struct {
	Name    string
	Content []Content
}

// Template is a template definition. Instances of the same *Template share one
// definition in a chunk.
type Template struct {
	ID   uint32 // the first four bytes of its GUID
	Root *Element
}

// Instance is a template with its values.
type Instance struct {
	Template *Template
	Values   []Value
}

// Of returns an instance of a template with this root.
func Of(id uint32, root *Element, values ...Value) *Instance {
	return &Instance{Template: &Template{ID: id, Root: root}, Values: values}
}

// PI returns a processing instruction.
func PI(target, data string) Instruction { return Instruction{Target: target, Data: data} }

// Sub returns a normal substitution, Opt an optional one.
func Sub(index int) Substitution { return Substitution{Index: index, Kind: 0x01} }
func Opt(index int) Substitution { return Substitution{Index: index, Kind: 0x01, Optional: true} }

// El returns an element without attributes.
func El(name string, content ...Content) *Element { return &Element{Name: name, Content: content} }

// With adds an attribute and returns the element.
func (e *Element) With(name string, content ...Content) *Element {
	e.Attributes = append(e.Attributes, Attribute{name, content})
	return e
}

func (*Element) fragment()    {}
func (*Instance) fragment()   {}
func (*Element) content()     {}
func (Text) content()         {}
func (CDATA) content()        {}
func (CharRef) content()      {}
func (EntityRef) content()    {}
func (Instruction) content()  {}
func (Substitution) content() {}
