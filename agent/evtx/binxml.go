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
}

// compiler turns BinXML tokens into elements.
type compiler struct {
	cursor
	// template says that elements carry a dependency id, which only template
	// definitions have.
	template bool
	depth    int
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
	name, err := c.name()
	if err != nil {
		return nil, fmt.Errorf("element name: %w", err)
	}
	e := &element{name: name, role: roleOf(name)}
	if token&tokenMore != 0 {
		if err := c.skip(attributeListSizeBytes); err != nil {
			return nil, err
		}
	}
	empty, err := c.attributes(e)
	if err != nil || empty {
		return e, err
	}
	if err := c.content(e); err != nil {
		return nil, fmt.Errorf("in <%s>: %w", name, err)
	}
	return e, nil
}

// attributes compiles up to the end of the start tag; empty says that the
// element ended with it.
func (c *compiler) attributes(e *element) (empty bool, err error) {
	var current *attribute
	for {
		token, err := c.u8()
		if err != nil {
			return false, err
		}
		switch token &^ tokenMore {
		case tokenCloseStart:
			return false, nil
		case tokenCloseEmpty:
			return true, nil
		case tokenAttribute:
			name, err := c.name()
			if err != nil {
				return false, fmt.Errorf("attribute name: %w", err)
			}
			if name == "xmlns" || strings.HasPrefix(name, "xmlns:") {
				current = &attribute{} // declared for the parser of the text, not data
				continue
			}
			e.attributes = append(e.attributes, attribute{name: name})
			current = &e.attributes[len(e.attributes)-1]
		default:
			it, ok, err := c.item(token)
			if err != nil {
				return false, err
			}
			if !ok || current == nil {
				return false, fmt.Errorf("token 0x%02x in a start tag", token)
			}
			current.content = appendItem(current.content, it)
		}
	}
}

// content compiles up to the element's end tag.
func (c *compiler) content(e *element) error {
	for {
		token, err := c.u8()
		if err != nil {
			return err
		}
		switch token &^ tokenMore {
		case tokenEnd:
			return nil
		case tokenOpenStart:
			child, err := c.element(token)
			if err != nil {
				return err
			}
			e.nested = true
			e.content = append(e.content, item{kind: itemElement, element: child})
		case tokenPITarget:
			if _, err := c.name(); err != nil {
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
			e.content = appendItem(e.content, it)
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
		name, err := c.name()
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

// appendItem joins adjoining text, so that an element with one text stays
// recognisable as such.
func appendItem(items []item, it item) []item {
	if n := len(items); it.kind == itemText && n > 0 && items[n-1].kind == itemText {
		items[n-1].text += it.text
		return items
	}
	return append(items, it)
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
