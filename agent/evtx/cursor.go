package evtx

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errCut is returned where a structure reaches past the bytes it lies in.
var errCut = errors.New("the data ends inside a structure")

// cursor reads forward through buf[pos:end]. Offsets in BinXML are relative to
// the chunk, so buf is always the whole chunk.
type cursor struct {
	buf      []byte
	pos, end int
}

func (c *cursor) left() int { return c.end - c.pos }

func (c *cursor) skip(n int) error {
	if n < 0 || c.left() < n {
		return errCut
	}
	c.pos += n
	return nil
}

func (c *cursor) u8() (uint8, error) {
	if c.left() < 1 {
		return 0, errCut
	}
	v := c.buf[c.pos]
	c.pos++
	return v, nil
}

func (c *cursor) u16() (uint16, error) {
	if c.left() < 2 {
		return 0, errCut
	}
	v := binary.LittleEndian.Uint16(c.buf[c.pos:])
	c.pos += 2
	return v, nil
}

func (c *cursor) u32() (uint32, error) {
	if c.left() < 4 {
		return 0, errCut
	}
	v := binary.LittleEndian.Uint32(c.buf[c.pos:])
	c.pos += 4
	return v, nil
}

// text reads a character count and so many UTF-16 characters.
func (c *cursor) text() (string, error) {
	count, err := c.u16()
	if err != nil {
		return "", err
	}
	at := c.pos
	if err := c.skip(2 * int(count)); err != nil {
		return "", err
	}
	return string(appendUTF16(nil, c.buf[at:c.pos])), nil
}

// names holds the names of one chunk by their offsets. A name is stored once
// and referred to, so each is decoded once; the sum is bounded, since hostile
// names may overlap.
type names struct {
	byOffset map[uint32]string
	decoded  int // bytes of UTF-16
}

func (n *names) reset() {
	if n.byOffset == nil {
		n.byOffset = make(map[uint32]string)
	}
	clear(n.byOffset)
	n.decoded = 0
}

// nameHeaderSize is the offset of the next name in the hash bucket, a hash and
// the number of characters. A terminator follows the characters.
const nameHeaderSize = 4 + 2 + 2

// name reads a reference to a name. The name itself follows inline where it is
// first used; later uses point back to it.
func (c *cursor) name(known *names) (string, error) {
	offset, err := c.u32()
	if err != nil {
		return "", err
	}
	inline := int64(offset) == int64(c.pos)
	if int64(offset)+nameHeaderSize > int64(len(c.buf)) {
		return "", fmt.Errorf("name at %d: %w", offset, errCut)
	}
	start := int(offset) + nameHeaderSize
	size := 2 * int(binary.LittleEndian.Uint16(c.buf[start-2:]))
	if inline {
		if err := c.skip(nameHeaderSize + size + 2); err != nil {
			return "", err
		}
	}
	if name, ok := known.byOffset[offset]; ok {
		return name, nil
	}
	if start+size > len(c.buf) {
		return "", fmt.Errorf("name at %d: %w", offset, errCut)
	}
	if known.decoded += size; known.decoded > maxChunkNames {
		return "", errChunk
	}
	name := string(appendUTF16(nil, c.buf[start:start+size]))
	known.byOffset[offset] = name
	return name, nil
}
