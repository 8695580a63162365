package evidence

import (
	"encoding/binary"
	"fmt"
)

// Opening is the record of an epoch's grant. Its hash is the Previous of the
// epoch's first header, so a chain says by itself why it began where it did.
type Opening struct {
	Kind      StreamKind
	Stream    StreamID
	Epoch     uint32
	Reason    string // first, reinstall, spool_lost, rollback
	GrantedAt int64  // server's clock, ticks
	// Predecessor is the last committed header of the epoch before, and
	// PredecessorNumber its number; zero in the first epoch.
	Predecessor       Hash
	PredecessorNumber uint64
	FirstSequence     uint64
	BootID            string
	VMGenerationID    string
	TPMResetCount     uint32
}

const openingTextLimit = 256

// Canonical returns the bytes that Hash is over.
func (o *Opening) Canonical() []byte {
	b := binary.BigEndian.AppendUint16(nil, Format)
	b = append(b, byte(o.Kind))
	b = append(b, o.Stream[:]...)
	b = binary.BigEndian.AppendUint32(b, o.Epoch)
	b = appendVariable(b, []byte(o.Reason))
	b = binary.BigEndian.AppendUint64(b, uint64(o.GrantedAt))
	b = append(b, o.Predecessor[:]...)
	b = binary.BigEndian.AppendUint64(b, o.PredecessorNumber)
	b = binary.BigEndian.AppendUint64(b, o.FirstSequence)
	b = appendVariable(b, []byte(o.BootID))
	b = appendVariable(b, []byte(o.VMGenerationID))
	return binary.BigEndian.AppendUint32(b, o.TPMResetCount)
}

// Hash is the Previous of the epoch's first header.
func (o *Opening) Hash() Hash { return HashOpening(o.Canonical()) }

// HashOpening hashes canonical opening bytes as received.
func HashOpening(canonical []byte) Hash { return tagged(openingTag, canonical) }

// ParseOpening reads canonical bytes.
func ParseOpening(canonical []byte) (Opening, error) {
	r := reader{b: canonical}
	if format := r.u16(); !r.short && format != Format {
		return Opening{}, fmt.Errorf("%w: opening format %d, this program knows %d", ErrMalformed, format, Format)
	}
	o := Opening{
		Kind: StreamKind(r.u8()), Stream: r.streamID(), Epoch: r.u32(), Reason: string(r.variable(openingTextLimit)),
		GrantedAt: int64(r.u64()), Predecessor: r.hash(), PredecessorNumber: r.u64(), FirstSequence: r.u64(),
		BootID: string(r.variable(openingTextLimit)), VMGenerationID: string(r.variable(openingTextLimit)), TPMResetCount: r.u32(),
	}
	if err := r.done("epoch opening"); err != nil {
		return Opening{}, err
	}
	if !o.Kind.Valid() || o.Epoch == 0 {
		return Opening{}, fmt.Errorf("%w: %s, epoch %d", ErrMalformed, o.Kind, o.Epoch)
	}
	return o, nil
}
