package evtx

import (
	"fmt"
	"strings"
)

// The BinXML tokens. Bit 0x40 says that more data follows.
const (
	tokenEOF               = 0x00
	tokenOpenStart         = 0x01
	tokenCloseStart        = 0x02
	tokenCloseEmpty        = 0x03
	tokenEnd               = 0x04
	tokenValue             = 0x05
	tokenAttribute         = 0x06
	tokenCDATA             = 0x07
	tokenCharRef           = 0x08
	tokenEntityRef         = 0x09
	tokenPITarget          = 0x0a
	tokenPIData            = 0x0b
	tokenTemplateInstance  = 0x0c
	tokenSubstitution      = 0x0d
	tokenOptSubstitution   = 0x0e
	tokenFragmentHeader    = 0x0f
	tokenMore              = 0x40
	attributeListSizeBytes = 4
)

type itemKind uint8

const (
	itemText itemKind = iota
	itemValue
	itemElement
)

// item is one piece of the content of an element or attribute.
type item struct {
	kind     itemKind
	optional bool   // itemValue: null drops what encloses it
	declared uint8  // itemValue: the type the template states
	value    uint16 // itemValue: index of the substitution value
	text     string // itemText
	element  *element
}

type attribute struct {
	name    string
	content []item
}

// element is a compiled element: of a template, whose items refer to values,
// or of a fragment that has none.
type element struct {
	name string
	role role // what the name means in an event
	// attributes leaves out namespace declarations.
	attributes []attribute
	content    []item
	optional   bool // content has an optional substitution
	nested     bool // content has an element
	steps      int  // what a visit costs: the pieces, but not those of elements inside
}

// compiler turns BinXML tokens into elements.
type compiler struct {
	cursor
	// template says that elements carry a dependency id, which only template
	// definitions have.
	template bool
	depth    int
	names    *names
}

// pieces collects the content of an element or attribute. Adjoining texts are
// joined, so that an element with one text stays recognisable as such.
type pieces struct {
	items []item
	text  []byte
}

func (p *pieces) add(it item) {
	if it.kind == itemText {
		p.text = append(p.text, it.text...)
		return
	}
	p.items = append(p.done(), it)
}

// done returns what was collected.
func (p *pieces) done() []item {
	if len(p.text) > 0 {
		p.items = append(p.items, item{kind: itemText, text: string(p.text)})
		p.text = p.text[:0]
	}
	return p.items
}

// element compiles an element whose open token has just been read.
func (c *compiler) element(token uint8) (*element, error) {
	if c.depth++; c.depth > maxElementDepth {
		return nil, fmt.Errorf("elements nested deeper than %d", maxElementDepth)
	}
	defer func() { c.depth-- }()
	if c.template {
		if err := c.skip(2); err != nil {
			return nil, err
		}
	}
	if _, err := c.u32(); err != nil { // byte length; the tokens say as much
		return nil, err
	}
	name, err := c.name(c.names)
	if err != nil {
		return nil, err
	}
	e := &element{name: name, role: roleOf(name)}
	if token&tokenMore != 0 {
		if err := c.skip(attributeListSizeBytes); err != nil {
			return nil, err
		}
	}
	empty, err := c.attributes(e)
	if err == nil && !empty {
		err = c.content(e)
	}
	if err != nil {
		return nil, err
	}
	e.steps = 1 + len(e.attributes) + len(e.content)
	for i := range e.attributes {
		e.steps += len(e.attributes[i].content)
	}
	return e, nil
}

// attributes compiles up to the end of the start tag; empty says that the
// element ended with it.
func (c *compiler) attributes(e *element) (empty bool, err error) {
	var current pieces
	name := "" // of the attribute whose value is being read
	finish := func() {
		if name != "" && name != "xmlns" && !strings.HasPrefix(name, "xmlns:") {
			e.attributes = append(e.attributes, attribute{name: name, content: current.done()})
		}
		current = pieces{}
	}
	for {
		token, err := c.u8()
		if err != nil {
			return false, err
		}
		switch token &^ tokenMore {
		case tokenCloseStart, tokenCloseEmpty:
			finish()
			return token == tokenCloseEmpty, nil
		case tokenAttribute:
			finish()
			if name, err = c.name(c.names); err != nil {
				return false, err
			}
		default:
			it, ok, err := c.item(token)
			if err != nil {
				return false, err
			}
			if !ok || name == "" {
				return false, fmt.Errorf("token 0x%02x in a start tag", token)
			}
			current.add(it)
		}
	}
}

// content compiles up to the element's end tag.
func (c *compiler) content(e *element) error {
	var current pieces
	for {
		token, err := c.u8()
		if err != nil {
			return err
		}
		switch token &^ tokenMore {
		case tokenEnd:
			e.content = current.done()
			return nil
		case tokenOpenStart:
			child, err := c.element(token)
			if err != nil {
				return err
			}
			e.nested = true
			current.add(item{kind: itemElement, element: child})
		case tokenPITarget:
			if _, err := c.name(c.names); err != nil {
				return err
			}
		case tokenPIData:
			if _, err := c.text(); err != nil {
				return err
			}
		default:
			it, ok, err := c.item(token)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("token 0x%02x in content", token)
			}
			e.optional = e.optional || it.optional
			current.add(it)
		}
	}
}

// item compiles what may stand in an attribute as well as in an element; ok is
// false for any other token.
func (c *compiler) item(token uint8) (it item, ok bool, err error) {
	switch token &^ tokenMore {
	case tokenValue:
		kind, err := c.u8()
		if err == nil && kind != typeString {
			err = fmt.Errorf("literal value of type 0x%02x", kind)
		}
		if err != nil {
			return it, false, err
		}
		it.text, err = c.text()
		return it, true, err
	case tokenCDATA:
		it.text, err = c.text()
		return it, true, err
	case tokenCharRef:
		char, err := c.u16()
		it.text = string(safeRune(rune(char)))
		return it, true, err
	case tokenEntityRef:
		name, err := c.name(c.names)
		it.text = entityText(name)
		return it, true, err
	case tokenSubstitution, tokenOptSubstitution:
		it.kind, it.optional = itemValue, token == tokenOptSubstitution
		if it.value, err = c.u16(); err != nil {
			return it, false, err
		}
		it.declared, err = c.u8()
		return it, true, err
	}
	return it, false, nil
}

func entityText(name string) string {
	switch name {
	case "amp":
		return "&"
	case "lt":
		return "<"
	case "gt":
		return ">"
	case "quot":
		return `"`
	case "apos":
		return "'"
	}
	return "&" + name + ";"
}
