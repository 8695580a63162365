package evtx

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// value is one substitution value: kind is its BinXML type, buf[at:at+size] of
// the chunk its bytes.
type value struct {
	at, size int
	kind     uint8
}

// definition is a compiled template definition, or the reason why there is none.
type definition struct {
	root *element
	err  error
}

var (
	errNested  = fmt.Errorf("BinXML nested deeper than %d", maxFragmentDepth)
	errChunk   = errors.New("the chunk's records need more work than a genuine chunk can")
	errNoRoot  = errors.New("no element")
	errLiteral = errors.New("template instance inside a template definition")
)

// fragment reads one document or BinXML value from buf[at:end] and hands each
// element at its top to visit, with the values that go with it.
func (x *expander) fragment(mode mode, at, end int) error {
	if x.nesting++; x.nesting > maxFragmentDepth {
		return errNested
	}
	defer func() { x.nesting-- }()
	c := compiler{cursor: cursor{buf: x.buf, pos: at, end: end}, names: &x.names}
	found := false
	for c.left() > 0 {
		token, err := c.u8()
		if err != nil {
			return err
		}
		before := c.pos
		switch token &^ tokenMore {
		case tokenEOF:
			return x.fragmentEnd(mode, found)
		case tokenFragmentHeader:
			err = c.skip(3)
		case tokenTemplateInstance:
			found = true
			err = x.instance(mode, &c.cursor)
			before = c.pos // its values and elements are paid for
		case tokenOpenStart:
			found = true
			var e *element
			if e, err = c.element(token); err == nil {
				err = x.element(mode, e, nil)
			}
		case tokenPITarget:
			_, err = c.name(c.names)
		case tokenPIData:
			_, err = c.text()
		default:
			err = fmt.Errorf("token 0x%02x where an element is due", token)
		}
		if spent := x.spend(1 + c.pos - before); err == nil {
			err = spent
		}
		if err != nil {
			return err
		}
		if found && mode == modeDocument {
			return nil // a record is one element; what follows is padding
		}
	}
	return x.fragmentEnd(mode, found)
}

func (x *expander) fragmentEnd(mode mode, found bool) error {
	if !found && mode == modeDocument {
		return errNoRoot
	}
	return nil
}

// instance reads a template instance: the definition, inline or by reference,
// and the values.
func (x *expander) instance(mode mode, c *cursor) error {
	if err := c.skip(5); err != nil { // one byte unknown, four of the GUID
		return err
	}
	offset, err := c.u32()
	if err != nil {
		return err
	}
	d := x.definitionAt(int64(offset))
	if d.err != nil {
		return fmt.Errorf("template at %d: %w", offset, d.err)
	}
	if int(offset) == c.pos {
		size := binary.LittleEndian.Uint32(c.buf[c.pos+definitionHeaderSize-4:])
		if err := c.skip(definitionHeaderSize + int(size)); err != nil {
			return err
		}
	}
	base := len(x.values)
	if err := x.readValues(c); err != nil {
		x.values = x.values[:base]
		return err
	}
	// Capped, so that a nested instance cannot write into these values; the
	// stack may move when it grows, but this slice stays valid.
	values := x.values[base:len(x.values):len(x.values)]
	err = x.element(mode, d.root, values)
	x.values = x.values[:base]
	return err
}

func (x *expander) readValues(c *cursor) error {
	count, err := c.u32()
	if err != nil {
		return err
	}
	if count > maxValues || int(count)*4 > c.left() {
		return fmt.Errorf("%d values: %w", count, errCut)
	}
	if err := x.spend(int(count)); err != nil {
		return err
	}
	at := c.pos + 4*int(count)
	for range count {
		d := c.buf[c.pos:]
		v := value{at: at, size: int(binary.LittleEndian.Uint16(d)), kind: d[2]}
		if at += v.size; at > c.end {
			return errCut
		}
		x.values = append(x.values, v)
		c.pos += 4
	}
	c.pos = at
	return nil
}

// definitionHeaderSize is the offset of the next definition, the GUID and the
// size of the body.
const definitionHeaderSize = 24

// definitionAt compiles the template definition at a chunk offset, once per
// chunk: a failure is kept too.
func (x *expander) definitionAt(offset int64) *definition {
	if offset < 0 || offset > int64(len(x.buf)-definitionHeaderSize) {
		return &definition{err: errCut}
	}
	if d, ok := x.definitions[uint32(offset)]; ok {
		return d
	}
	d := new(definition)
	d.root, d.err = x.compile(int(offset))
	x.definitions[uint32(offset)] = d
	return d
}

func (x *expander) compile(offset int) (*element, error) {
	size := int64(binary.LittleEndian.Uint32(x.buf[offset+definitionHeaderSize-4:]))
	body := offset + definitionHeaderSize
	if size > int64(len(x.buf)-body) {
		return nil, errCut
	}
	if x.compiled += int(size); x.compiled > maxChunkTemplateBytes {
		return nil, errChunk
	}
	c := compiler{cursor: cursor{buf: x.buf, pos: body, end: body + int(size)}, template: true, names: &x.names}
	for {
		token, err := c.u8()
		if err != nil {
			return nil, errNoRoot
		}
		switch token &^ tokenMore {
		case tokenFragmentHeader:
			if err := c.skip(3); err != nil {
				return nil, err
			}
		case tokenOpenStart:
			return c.element(token)
		case tokenTemplateInstance:
			return nil, errLiteral
		default:
			return nil, fmt.Errorf("token 0x%02x where an element is due", token)
		}
	}
}
