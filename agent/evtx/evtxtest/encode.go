package evtxtest

import "encoding/binary"

// encoder appends BinXML to a chunk. Offsets are relative to the chunk, so buf
// is the chunk up to the current position.
type encoder struct {
	buf       []byte
	names     map[string]int
	templates map[*Template]int
}

func newEncoder() *encoder {
	return &encoder{buf: make([]byte, 512), names: map[string]int{}, templates: map[*Template]int{}}
}

func (e *encoder) bytes(b ...byte) { e.buf = append(e.buf, b...) }
func (e *encoder) u16(v int)       { e.buf = binary.LittleEndian.AppendUint16(e.buf, uint16(v)) }
func (e *encoder) u32(v int)       { e.buf = binary.LittleEndian.AppendUint32(e.buf, uint32(v)) }

// hole reserves a 32-bit length; fill writes the number of bytes behind it.
func (e *encoder) hole() int {
	e.u32(0)
	return len(e.buf)
}

func (e *encoder) fill(hole int) {
	binary.LittleEndian.PutUint32(e.buf[hole-4:], uint32(len(e.buf)-hole))
}

func (e *encoder) text(s string) {
	b := utf16Bytes(s)
	e.u16(len(b) / 2)
	e.bytes(b...)
}

// name refers to a name, and stores it where it is first used.
func (e *encoder) name(s string) {
	if at, ok := e.names[s]; ok {
		e.u32(at)
		return
	}
	at := len(e.buf) + 4
	e.names[s] = at
	e.u32(at)
	e.u32(0)              // next name of the hash bucket
	e.u16(int(hashOf(s))) // Windows' hash of names
	e.text(s)
	e.u16(0)
}

// hashOf is the hash that Windows stores with a name. Readers may look names up
// by it, so files that other readers check need it.
func hashOf(s string) uint16 {
	var h uint32
	for b := utf16Bytes(s); len(b) > 0; b = b[2:] {
		h = h*65599 + uint32(binary.LittleEndian.Uint16(b))
	}
	return uint16(h)
}

// fragment writes a fragment header and what follows it.
func (e *encoder) fragment(f Fragment) {
	e.bytes(0x0f, 1, 1, 0)
	switch f := f.(type) {
	case *Element:
		e.element(f, false)
	case *Instance:
		e.instance(f)
	}
	e.bytes(0)
}

func (e *encoder) element(el *Element, template bool) {
	token := byte(0x01)
	if len(el.Attributes) > 0 {
		token |= 0x40
	}
	e.bytes(token)
	if template {
		e.u16(0xffff)
	}
	size := e.hole()
	e.name(el.Name)
	if len(el.Attributes) > 0 {
		list := e.hole()
		for i, a := range el.Attributes {
			token := byte(0x06)
			if i < len(el.Attributes)-1 {
				token |= 0x40
			}
			e.bytes(token)
			e.name(a.Name)
			e.contents(a.Content, template)
		}
		e.fill(list)
	}
	if len(el.Content) == 0 {
		e.bytes(0x03)
	} else {
		e.bytes(0x02)
		e.contents(el.Content, template)
		e.bytes(0x04)
	}
	e.fill(size)
}

func (e *encoder) contents(content []Content, template bool) {
	for i, c := range content {
		var more byte
		if i < len(content)-1 {
			more = 0x40
		}
		switch c := c.(type) {
		case Text:
			e.bytes(0x05|more, 0x01)
			e.text(string(c))
		case CDATA:
			e.bytes(0x07 | more)
			e.text(string(c))
		case CharRef:
			e.bytes(0x08 | more)
			e.u16(int(c))
		case EntityRef:
			e.bytes(0x09 | more)
			e.name(string(c))
		case Instruction:
			e.bytes(0x0a)
			e.name(c.Target)
			e.bytes(0x0b)
			e.text(c.Data)
		case Substitution:
			token := byte(0x0d)
			if c.Optional {
				token = 0x0e
			}
			e.bytes(token)
			e.u16(c.Index)
			e.bytes(c.Kind)
		case *Element:
			e.element(c, template)
		}
	}
}

func (e *encoder) instance(in *Instance) {
	e.bytes(0x0c, 0x01)
	e.u32(int(in.Template.ID))
	if at, ok := e.templates[in.Template]; ok {
		e.u32(at)
	} else {
		e.definition(in.Template)
	}
	e.u32(len(in.Values))
	descriptors := len(e.buf)
	for _, v := range in.Values {
		e.u16(0)
		e.bytes(v.Kind, 0)
	}
	for i, v := range in.Values {
		start := len(e.buf)
		if v.fragment != nil {
			e.fragment(v.fragment)
		} else {
			e.bytes(v.Data...)
		}
		binary.LittleEndian.PutUint16(e.buf[descriptors+4*i:], uint16(len(e.buf)-start))
	}
}

// definition writes a template definition in place.
func (e *encoder) definition(t *Template) {
	at := len(e.buf) + 4
	e.templates[t] = at
	e.u32(at)
	e.u32(0) // next definition of the hash bucket
	e.u32(int(t.ID))
	e.bytes(make([]byte, 12)...)
	size := e.hole()
	e.bytes(0x0f, 1, 1, 0)
	e.element(t.Root, true)
	e.bytes(0)
	e.fill(size)
}
