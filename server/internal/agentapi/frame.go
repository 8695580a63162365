package agentapi

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

var errFrame = errors.New("payload is not one plain zstd frame")

// leastStated is the least size that a frame of more than one segment can state
// (RFC 8878, 3.1.1.1.4). Below it the batch's header alone says it, which whoever
// decompresses holds the frame to.
const leastStated = 256

// checkFrame looks at a zstd frame without decompressing it: that it is exactly
// one, of the stated raw size, with a window no larger than that size may need
// and without a dictionary. What passes can be decompressed within its bounds.
func checkFrame(payload []byte, rawSize uint32, maxRaw uint32) error {
	var header zstd.Header
	if err := header.Decode(payload); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	switch {
	case header.Skippable:
		return fmt.Errorf("%w: it is to be skipped", errFrame)
	case header.DictionaryID != 0:
		return fmt.Errorf("%w: it needs a dictionary", errFrame)
	case !header.HasFCS && rawSize >= leastStated:
		return fmt.Errorf("%w: it does not state its content's size", errFrame)
	case header.HasFCS && header.FrameContentSize != uint64(rawSize):
		return fmt.Errorf("%w: it states %d bytes, its header %d", errFrame, header.FrameContentSize, rawSize)
	case rawSize > maxRaw:
		return fmt.Errorf("%w: it holds %d bytes, at most %d", errFrame, rawSize, maxRaw)
	case !header.SingleSegment && header.WindowSize > uint64(max(maxRaw, 8<<20)):
		return fmt.Errorf("%w: its window has %d bytes", errFrame, header.WindowSize)
	}
	return checkBlocks(payload[header.HeaderSize:], header.HasCheckSum)
}

// checkBlocks walks the frame's block headers (RFC 8878, 3.1.1.2) to its end,
// after which nothing may follow: a second frame would be decompressed too.
func checkBlocks(rest []byte, checksum bool) error {
	const blockHeader, checksumSize, maxBlock = 3, 4, 128 << 10
	for last := false; !last; {
		if len(rest) < blockHeader {
			return fmt.Errorf("%w: it ends within a block", errFrame)
		}
		word := uint32(rest[0]) | uint32(binary.LittleEndian.Uint16(rest[1:]))<<8
		rest = rest[blockHeader:]
		last = word&1 == 1
		kind, size := word>>1&3, int(word>>3)
		switch {
		case kind == 3 || size > maxBlock:
			return fmt.Errorf("%w: it has a block of no kind", errFrame)
		case kind == 1:
			size = 1 // one byte, repeated
		}
		if len(rest) < size {
			return fmt.Errorf("%w: it ends within a block", errFrame)
		}
		rest = rest[size:]
	}
	if checksum {
		if len(rest) < checksumSize {
			return fmt.Errorf("%w: it ends within its checksum", errFrame)
		}
		rest = rest[checksumSize:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes follow it", errFrame, len(rest))
	}
	return nil
}
