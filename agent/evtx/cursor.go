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

// name reads a name by its chunk offset. The name itself follows inline where
// it is first used; later uses point back to it.
func (c *cursor) name() (string, error) {
	offset, err := c.u32()
	if err != nil {
		return "", err
	}
	if int64(offset) == int64(c.pos) {
		return c.inlineName()
	}
	if int64(offset) >= int64(len(c.buf)) {
		return "", fmt.Errorf("name offset %d: %w", offset, errCut)
	}
	at := cursor{buf: c.buf, pos: int(offset), end: len(c.buf)}
	return at.inlineName()
}

// inlineName reads the offset of the next name in the hash bucket, a hash, the
// characters and a terminator.
func (c *cursor) inlineName() (string, error) {
	if err := c.skip(6); err != nil {
		return "", err
	}
	if c.left() >= 2 && binary.LittleEndian.Uint16(c.buf[c.pos:]) > maxNameLength {
		return "", fmt.Errorf("name longer than %d characters", maxNameLength)
	}
	name, err := c.text()
	if err != nil {
		return "", err
	}
	return name, c.skip(2)
}
