package evidence

import (
	"encoding/binary"
	"fmt"
)

// StreamKind says which of an agent's streams a batch belongs to.
type StreamKind uint8

// The kinds of stream. Their numbers are part of the format.
const (
	Control StreamKind = 1 // health, posture, policy, clears: what verdicts rest on
	Bulk    StreamKind = 2 // the rest
	Import  StreamKind = 3 // exported logs
)

func (k StreamKind) String() string {
	switch k {
	case Control:
		return "control"
	case Bulk:
		return "bulk"
	case Import:
		return "import"
	}
	return fmt.Sprintf("stream kind %d", uint8(k))
}

// Valid reports whether k is a known kind.
func (k StreamKind) Valid() bool { return k >= Control && k <= Import }

// Header binds a batch to its stream, its predecessor and its payload.
type Header struct {
	Kind          StreamKind
	Stream        StreamID
	Epoch         uint32
	Number        uint64 // from 1 in each epoch, without holes
	FirstSequence uint64 // of the first event; runs on through the epochs
	EventCount    uint32
	ObservedFrom  int64 // least and greatest observed_at, ticks
	ObservedTo    int64
	Previous      Hash   // of the header before, or of the epoch's opening
	PayloadSHA256 Hash   // of the compressed payload
	PayloadSize   uint32 // bytes, compressed
	RawSize       uint32 // bytes, of the Block before compression
	Commitments   Hash   // root over the events' salted commitments
}

// HeaderSize is the length of a canonical header in bytes.
const HeaderSize = 2 + 1 + 16 + 4 + 8 + 8 + 4 + 8 + 8 + 32 + 32 + 4 + 4 + 32

// Canonical returns the bytes that Hash is over.
func (h *Header) Canonical() []byte {
	b := make([]byte, 0, HeaderSize)
	b = binary.BigEndian.AppendUint16(b, Format)
	b = append(b, byte(h.Kind))
	b = append(b, h.Stream[:]...)
	b = binary.BigEndian.AppendUint32(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, h.Number)
	b = binary.BigEndian.AppendUint64(b, h.FirstSequence)
	b = binary.BigEndian.AppendUint32(b, h.EventCount)
	b = binary.BigEndian.AppendUint64(b, uint64(h.ObservedFrom))
	b = binary.BigEndian.AppendUint64(b, uint64(h.ObservedTo))
	b = append(b, h.Previous[:]...)
	b = append(b, h.PayloadSHA256[:]...)
	b = binary.BigEndian.AppendUint32(b, h.PayloadSize)
	b = binary.BigEndian.AppendUint32(b, h.RawSize)
	return append(b, h.Commitments[:]...)
}

// Hash is what the next header's Previous and the head signature are over.
func (h *Header) Hash() Hash { return HashHeader(h.Canonical()) }

// HashHeader hashes canonical header bytes as received.
func HashHeader(canonical []byte) Hash { return tagged(headerTag, canonical) }

// ParseHeader reads canonical bytes. A format that this code does not know, or
// fields that no batch can have, are ErrMalformed.
func ParseHeader(canonical []byte) (Header, error) {
	r := reader{b: canonical}
	if format := r.u16(); !r.short && format != Format {
		return Header{}, fmt.Errorf("%w: header format %d, this program knows %d", ErrMalformed, format, Format)
	}
	h := Header{
		Kind: StreamKind(r.u8()), Stream: r.streamID(), Epoch: r.u32(), Number: r.u64(),
		FirstSequence: r.u64(), EventCount: r.u32(),
		ObservedFrom: int64(r.u64()), ObservedTo: int64(r.u64()),
		Previous: r.hash(), PayloadSHA256: r.hash(), PayloadSize: r.u32(), RawSize: r.u32(), Commitments: r.hash(),
	}
	if err := r.done("batch header"); err != nil {
		return Header{}, err
	}
	switch {
	case !h.Kind.Valid():
		return Header{}, fmt.Errorf("%w: %s", ErrMalformed, h.Kind)
	case h.Epoch == 0 || h.Number == 0 || h.EventCount == 0:
		return Header{}, fmt.Errorf("%w: epoch, number and event count start at 1", ErrMalformed)
	case h.ObservedTo < h.ObservedFrom:
		return Header{}, fmt.Errorf("%w: observed to is before observed from", ErrMalformed)
	}
	return h, nil
}
