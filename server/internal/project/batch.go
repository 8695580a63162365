package project

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// MaxRawSize bounds a decompressed block in bytes; what the ingest accepts is
// never more.
const MaxRawSize = 4 << 20

// futureBound is how far an event's clock may be ahead of its receipt;
// pastBound how far a live event's may be behind the stream's newest.
const (
	futureBound = 5 * time.Minute
	pastBound   = 15 * time.Minute
)

// Stored is a batch as Postgres holds it.
type Stored postgres.StoredBatch

// Batch is a decoded batch.
type Batch struct {
	Stored
	Header evidence.Header
	Events []Event
}

// Event is a decoded event, resolved to its host.
type Event struct {
	Ref  assay.EventRef
	Host assay.HostID
	// HostName is the subject's name for imported and forwarded hosts.
	HostName   string
	Imported   bool
	Mode       assay.Mode
	ObservedAt time.Time
	ReceivedAt time.Time
	// BookedAt is ObservedAt, or ReceivedAt where the clock cannot be right.
	BookedAt   time.Time
	ClockFault bool
	Body       *telemetryv1.Event
}

// errUnprojectable marks a batch that no retry will make readable: it goes to
// quarantine and the cursor moves on.
var errUnprojectable = errors.New("batch cannot be projected")

// decoder decodes batches. It is not safe for concurrent use.
type decoder struct {
	zstd *zstd.Decoder
}

func newDecoder() (*decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxRawSize), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("creating zstd decoder: %w", err)
	}
	return &decoder{zstd: z}, nil
}

func (d *decoder) close() { d.zstd.Close() }

// decode checks a batch against its header and decodes its events. Every error
// is errUnprojectable.
func (d *decoder) decode(s Stored) (*Batch, error) {
	header, err := evidence.ParseHeader(s.Header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnprojectable, err)
	}
	block, err := d.block(header, s.Payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnprojectable, err)
	}
	batch := &Batch{Stored: s, Header: header, Events: make([]Event, len(block.GetEvents()))}
	for i, raw := range block.GetEvents() {
		body := new(telemetryv1.Event)
		if err := proto.Unmarshal(raw, body); err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", errUnprojectable, i, err)
		}
		batch.Events[i] = resolve(s, uint32(i), body)
	}
	return batch, nil
}

func (d *decoder) block(header evidence.Header, payload []byte) (*telemetryv1.Block, error) {
	if header.RawSize > MaxRawSize {
		return nil, fmt.Errorf("block of %d bytes is over the limit of %d", header.RawSize, MaxRawSize)
	}
	raw, err := d.zstd.DecodeAll(payload, make([]byte, 0, header.RawSize))
	if err != nil {
		return nil, fmt.Errorf("decompressing payload: %w", err)
	}
	block := new(telemetryv1.Block)
	if err := proto.Unmarshal(raw, block); err != nil {
		return nil, fmt.Errorf("decoding block: %w", err)
	}
	if got := len(block.GetEvents()); got != int(header.EventCount) {
		return nil, fmt.Errorf("block holds %d events, its header says %d", got, header.EventCount)
	}
	root := evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents()))
	if !bytes.Equal(root[:], header.Commitments[:]) {
		return nil, errors.New("events do not match the header's commitment root")
	}
	return block, nil
}

// resolve finds the host that an event speaks of.
func resolve(s Stored, ordinal uint32, body *telemetryv1.Event) Event {
	ev := Event{
		Ref: assay.EventRef{Position: s.Position, Ordinal: ordinal}, Host: s.Host, Mode: modeOf(body.GetMode()),
		ObservedAt: evidence.Time(body.GetObservedAt()), ReceivedAt: s.ReceivedAt, Body: body,
	}
	if kind := body.GetSubject().GetKind(); kind == telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED || kind == telemetryv1.SubjectKind_SUBJECT_KIND_FORWARDED {
		// An event never changes another enrolled host: whom we know only
		// through this stream is a host of this stream.
		ev.HostName = body.GetSubject().GetHost()
		ev.Host, ev.Imported = assay.ImportedHostID(s.Stream, ev.HostName), true
	}
	ev.BookedAt = ev.ObservedAt
	if ev.ObservedAt.After(s.ReceivedAt.Add(futureBound)) {
		ev.BookedAt, ev.ClockFault = s.ReceivedAt, true
	}
	return ev
}

func modeOf(mode telemetryv1.Mode) assay.Mode {
	switch mode {
	case telemetryv1.Mode_MODE_IMPORT:
		return assay.Imported
	case telemetryv1.Mode_MODE_BACKFILL:
		return assay.Backfill
	default:
		return assay.Live
	}
}

// bookLive applies the lower bound of a live event's clock: one that is much
// older than the stream's newest live event shows a clock that was set back.
// It returns the stream's newest live time after ev.
func bookLive(ev *Event, newest time.Time) time.Time {
	if ev.Mode != assay.Live || ev.ClockFault {
		return newest
	}
	if ev.ObservedAt.Before(newest.Add(-pastBound)) {
		ev.BookedAt, ev.ClockFault = ev.ReceivedAt, true
		return newest
	}
	return laterOf(newest, ev.ObservedAt)
}
