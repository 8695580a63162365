package archive

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

const (
	magic      = "ASSAY SEGMENT 1\n"
	footerSize = 8 + 8 + 8 + len(magic)
	entrySize  = 8 + 8
	fixedSize  = 8 + 16 + 2 + 4 + 8 + 8
	// maxRecord bounds a record in bytes: a payload is at most 64 KiB by default,
	// a server may be told to take more.
	maxRecord = 8 << 20
)

// errFormat is of an object that is no segment.
var errFormat = errors.New("it is no archived segment")

func malformed(format string, args ...any) error {
	return &assay.Error{Kind: assay.Invalid, Err: fmt.Errorf("%w: %s", errFormat, fmt.Sprintf(format, args...))}
}

// appendRecord appends a batch's record without its length.
func appendRecord(b []byte, r *postgres.BatchRow) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.Position))
	b = append(b, r.Stream[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(r.Lane))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Number))
	b = binary.BigEndian.AppendUint64(b, uint64(evidence.Ticks(r.ReceivedAt)))
	for _, part := range [][]byte{r.Serial, r.Header, r.HeadSignature, r.Payload} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// parseRecord reads a record. What it returns shares b's memory.
func parseRecord(b []byte) (r postgres.BatchRow, err error) {
	if len(b) < fixedSize {
		return r, malformed("a record has %d bytes", len(b))
	}
	r.Position = int64(binary.BigEndian.Uint64(b))
	copy(r.Stream[:], b[8:])
	r.Lane = int16(binary.BigEndian.Uint16(b[24:]))
	r.Epoch = int32(binary.BigEndian.Uint32(b[26:]))
	r.Number = int64(binary.BigEndian.Uint64(b[30:]))
	r.ReceivedAt = evidence.Time(int64(binary.BigEndian.Uint64(b[38:])))
	b = b[fixedSize:]
	for _, part := range []*[]byte{&r.Serial, &r.Header, &r.HeadSignature, &r.Payload} {
		if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
			return r, malformed("the record at position %d is cut short", r.Position)
		}
		n := int(binary.BigEndian.Uint32(b))
		*part, b = b[4:4+n:4+n], b[4+n:]
	}
	if len(b) != 0 {
		return r, malformed("the record at position %d has %d bytes too many", r.Position, len(b))
	}
	return r, nil
}

// footer is where an object's index is.
type footer struct {
	index   int64
	records int64
	segment int64
}

func (f footer) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(f.index))
	b = binary.BigEndian.AppendUint64(b, uint64(f.records))
	b = binary.BigEndian.AppendUint64(b, uint64(f.segment))
	return append(b, magic...)
}

// parseFooter reads the footer of an object of a size.
func parseFooter(b []byte, size int64) (f footer, err error) {
	if len(b) != footerSize || string(b[24:]) != magic {
		return f, malformed("its footer is not one")
	}
	f.index, f.records, f.segment = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b[16:]))
	if f.records < 0 || f.records > postgres.SegmentSize || f.index < int64(len(magic)) || f.index+f.records*entrySize+int64(footerSize) != size {
		return f, malformed("its footer says %d records, indexed at %d of %d bytes", f.records, f.index, size)
	}
	return f, nil
}

// entry is where a record is.
type entry struct{ position, offset int64 }

func appendEntry(b []byte, e entry) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.position))
	return binary.BigEndian.AppendUint64(b, uint64(e.offset))
}

// parseIndex reads an index and checks that its entries go up.
func parseIndex(b []byte, f footer) ([]entry, error) {
	entries := make([]entry, len(b)/entrySize)
	last := entry{-1, int64(len(magic)) - 1}
	for i := range entries {
		e := entry{int64(binary.BigEndian.Uint64(b[i*entrySize:])), int64(binary.BigEndian.Uint64(b[i*entrySize+8:]))}
		if e.position <= last.position || e.offset <= last.offset || e.offset >= f.index {
			return nil, malformed("its index is out of order at record %d", i)
		}
		entries[i], last = e, e
	}
	return entries, nil
}
