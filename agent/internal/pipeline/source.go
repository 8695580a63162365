package pipeline

import (
	"context"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// Source reads events from somewhere.
type Source interface {
	// Run reads until ctx is done or the source has ended, which is nil. It
	// begins after resume's positions, and calls emit from one goroutine per key.
	Run(ctx context.Context, resume Resume, emit Emit) error
}

// Resume says how far a source was read.
type Resume interface {
	// Position returns the newest position of key whose event, and all before
	// it, are durable; nil for none. A source that goes by it reads some events
	// again only where its events take more than one stream, and the pipeline
	// drops those.
	Position(key string) []byte
	// Moved returns a channel that is closed once more is durable than when it
	// was called: for sources whose own store is freed by what was made durable.
	// Ask for it before Position, so that nothing falls between the two.
	Moved() <-chan struct{}
}

// Emit hands an event over. It returns nil once the event has a place in a
// block, which is not yet durable; it waits while there is no room, unless the
// item is Live. An error is for ever (or ctx's): the source ends.
type Emit func(ctx context.Context, item Item) error

// Item is an event and where its source stands after it.
type Item struct {
	// Event is nil where only the position moves. The pipeline may change it.
	Event *telemetryv1.Event
	// Key names the part of the source that Position counts in: a channel, a
	// file. Empty where the source cannot be read again.
	Key string
	// Position is opaque but for its order: positions of one key increase by
	// bytes.Compare. At most 1 KiB, the key likewise.
	Position []byte
	// Stream is where the event goes; 0 lets its kind decide.
	Stream evidence.StreamKind
	// Live marks an event that cannot be read again later: with no room it is
	// lost, counted, and named by a Gap event.
	Live bool
	// Meter counts it; nil for none.
	Meter *Meter
}

// Filter decides what the policy keeps.
type Filter interface {
	// Keep reports whether ev is kept and by which rule ("" for none).
	Keep(ev *telemetryv1.Event) (rule string, keep bool)
}
