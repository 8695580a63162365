package project

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
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
	// View is of the event as received. Body is it decoded, where someone has
	// asked for it by Message.
	View *telemetry.View
	Body *telemetryv1.Event
}

// Message decodes the event in full, once. Most events are never asked.
func (e *Event) Message() *telemetryv1.Event {
	if e.Body == nil {
		body, err := e.View.Message()
		if err != nil {
			// The view was made of the same bytes, and refuses what protobuf does.
			body = &telemetryv1.Event{}
		}
		e.Body = body
	}
	return e.Body
}

// errUnprojectable marks a batch that no retry will make readable: it goes to
// quarantine and the cursor moves on.
var errUnprojectable = errors.New("batch cannot be projected")

// decoder decodes batches. It is not safe for concurrent use.
type decoder struct{ zstd *zstd.Decoder }

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
func (d *decoder) decode(s Stored) (*Batch, error) { return d.decodeInto(s, &room{}) }

// room is memory for a batch, which is used again for another when nobody looks at it
// any more. All texts of the events are in it: whoever keeps one for longer than the
// step copies it.
type room struct {
	events []Event
	views  []telemetry.View
	raw    []byte
}

// keptRoom is the most events that a room keeps memory for, keptRaw the most bytes.
const (
	keptRoom = 512
	keptRaw  = 512 << 10
)

// block returns room for a block of so many bytes, and no more than that.
func (r *room) block(size int) []byte {
	if size > keptRaw {
		return make([]byte, 0, size)
	}
	if cap(r.raw) < size {
		r.raw = make([]byte, 0, min(keptRaw, size+size/4))
	}
	return r.raw[:0:size]
}

// of returns room for n events.
func (r *room) of(n int) ([]Event, []telemetry.View) {
	if n > keptRoom {
		return make([]Event, n), make([]telemetry.View, n)
	}
	if cap(r.events) < n {
		r.events, r.views = make([]Event, keptRoom), make([]telemetry.View, keptRoom)
	}
	return r.events[:n], r.views[:n]
}

// decodeInto is decode into room, which the batch is good as long as.
func (d *decoder) decodeInto(s Stored, into *room) (*Batch, error) {
	if s.Absence != postgres.Present {
		return nil, fmt.Errorf("%w: its payload: %s", errUnprojectable, s.Absence)
	}
	header, err := evidence.ParseHeader(s.Header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnprojectable, err)
	}
	block, err := d.block(header, s.Payload, into)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnprojectable, err)
	}
	batch := &Batch{Stored: s, Header: header}
	events, views := into.of(len(block.Texts))
	batch.Events = events
	for i, text := range block.Texts {
		if err := views[i].Parse(text); err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", errUnprojectable, i, err)
		}
		resolve(&events[i], &s, uint32(i), &views[i])
	}
	return batch, nil
}

// block decompresses a payload into room and checks that it holds what its header says.
func (d *decoder) block(header evidence.Header, payload []byte, into *room) (block telemetry.BlockView, err error) {
	if header.RawSize > MaxRawSize {
		return block, fmt.Errorf("block of %d bytes is over the limit of %d", header.RawSize, MaxRawSize)
	}
	// The decoder fills no more than the capacity that it is given.
	raw, err := d.zstd.DecodeAll(payload, into.block(int(header.RawSize)))
	if err != nil {
		return block, fmt.Errorf("decompressing payload: %w", err)
	}
	if block, err = telemetry.SplitBlock(raw); err != nil {
		return block, err
	}
	if got := len(block.Events); got != int(header.EventCount) {
		return block, fmt.Errorf("block holds %d events, its header says %d", got, header.EventCount)
	}
	root := evidence.CommitmentRoot(evidence.Commitments(block.Seed, block.Events))
	if !bytes.Equal(root[:], header.Commitments[:]) {
		return block, errors.New("events do not match the header's commitment root")
	}
	return block, nil
}

// resolve fills in an event and finds the host that it speaks of.
func resolve(ev *Event, s *Stored, ordinal uint32, view *telemetry.View) {
	*ev = Event{
		Ref: assay.EventRef{Position: s.Position, Ordinal: ordinal}, Host: s.Host, Mode: modeOf(view.Mode),
		ObservedAt: evidence.Time(view.ObservedAt), ReceivedAt: s.ReceivedAt, View: view,
	}
	if kind := view.SubjectKind; kind == telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED || kind == telemetryv1.SubjectKind_SUBJECT_KIND_FORWARDED {
		// An event never changes another enrolled host: whom we know only
		// through this stream is a host of this stream.
		ev.HostName = view.SubjectHost
		ev.Host, ev.Imported = assay.ImportedHostID(s.Stream, ev.HostName), true
	}
	ev.BookedAt = ev.ObservedAt
	if ev.ObservedAt.After(s.ReceivedAt.Add(futureBound)) {
		ev.BookedAt, ev.ClockFault = s.ReceivedAt, true
	}
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
