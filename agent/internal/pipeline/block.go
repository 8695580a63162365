package pipeline

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/proto/evidence"
)

// Bounds of a block. A message of up to 32 KiB stays in small buffers all the
// way to the server's COPY, so the compressed payload leaves room for its frame.
const (
	maxEvents     = 500
	maxRawBlock   = 256 << 10
	targetPayload = 30 << 10
)

// encoded is one serialised event in a block.
type encoded struct {
	bytes      []byte
	observedAt int64 // ticks, 0 none
	key        string
	position   []byte
	auto       bool // its kind chose the stream: its source may use others
}

// block is what is being filled, or waits to be packed.
type block struct {
	events []encoded
	raw    int // bytes of the Block message so far
	// loose are positions without an event, which go with the block.
	loose map[string][]byte
	sign  bool
}

// rawSize is what an event of n bytes adds to a Block message.
func rawSize(n int) int { return 1 + protowire.SizeBytes(n) }

const seedSize = 1 + 1 + evidence.SeedSize

// Block's field numbers (event.proto).
const (
	seedField   = 1
	eventsField = 2
)

// NewEncoder returns a compressor for blocks. One may serve many pipelines.
func NewEncoder(concurrency int) (*zstd.Encoder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(concurrency),
		zstd.WithWindowSize(maxRawBlock), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("making compressor: %w", err)
	}
	return enc, nil
}

// pack turns a block into drafts: one, or more where the compressed payload
// exceeds the target. Their order is that of the events.
func pack(enc *zstd.Encoder, b *block, now int64) ([]spool.Draft, error) {
	drafts, err := packEvents(enc, nil, b.events, now)
	if err != nil {
		return nil, err
	}
	last := &drafts[len(drafts)-1]
	last.Sign = b.sign
	for key, position := range b.loose {
		last.Progress[key] = position
	}
	return drafts, nil
}

func packEvents(enc *zstd.Encoder, drafts []spool.Draft, events []encoded, now int64) ([]spool.Draft, error) {
	draft, err := packOne(enc, events, now)
	if err != nil {
		return nil, err
	}
	if len(draft.Payload) <= targetPayload || len(events) == 1 {
		return append(drafts, draft), nil
	}
	half := len(events) / 2
	if drafts, err = packEvents(enc, drafts, events[:half], now); err != nil {
		return nil, err
	}
	return packEvents(enc, drafts, events[half:], now)
}

func packOne(enc *zstd.Encoder, events []encoded, now int64) (spool.Draft, error) {
	var seed [evidence.SeedSize]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return spool.Draft{}, fmt.Errorf("seeding block: %w", err)
	}
	size := seedSize
	for i := range events {
		size += rawSize(len(events[i].bytes))
	}
	raw := make([]byte, 0, size)
	raw = protowire.AppendTag(raw, seedField, protowire.BytesType)
	raw = protowire.AppendBytes(raw, seed[:])
	d := spool.Draft{
		EventCount: uint32(len(events)), ObservedFrom: math.MaxInt64, ObservedTo: math.MinInt64,
		Progress: map[string][]byte{},
	}
	parts := make([][]byte, len(events))
	for i := range events {
		e := &events[i]
		parts[i] = e.bytes
		raw = protowire.AppendTag(raw, eventsField, protowire.BytesType)
		raw = protowire.AppendBytes(raw, e.bytes)
		if e.observedAt != 0 {
			d.ObservedFrom, d.ObservedTo = min(d.ObservedFrom, e.observedAt), max(d.ObservedTo, e.observedAt)
		}
		if e.key != "" {
			d.Progress[e.key] = e.position
		}
	}
	if d.ObservedFrom > d.ObservedTo {
		d.ObservedFrom, d.ObservedTo = now, now // no event says when it happened
	}
	d.Commitments = evidence.CommitmentRoot(evidence.Commitments(seed[:], parts))
	d.RawSize = uint32(len(raw))
	d.Payload = enc.EncodeAll(raw, make([]byte, 0, len(raw)/4))
	d.PayloadSHA256 = sha256.Sum256(d.Payload)
	return d, nil
}
