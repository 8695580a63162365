package driver

import (
	"fmt"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// ring is one class of records as it is read.
type ring struct {
	class kernel.Class
	meter *pipeline.Meter
	epoch uint32
	// pending are the records that were read and not yet acknowledged, oldest first.
	// What the driver keeps for them bounds it.
	pending []pending
	// acked is the n that may be acknowledged.
	acked uint64
	// at is the time of the last record, for the gap that may follow.
	at uint64
	// excluded is what the driver left out, as last told to the meter.
	excluded uint64
}

// pending is a record that waits for its events to be durable.
type pending struct {
	n      uint64
	stored bool // it has events, which must be durable first
}

// begin takes up a load: the same as before goes on where it was, another begins
// a new epoch.
func (r *ring) begin(load uint64, resume pipeline.Resume) {
	r.pending, r.acked, r.at, r.excluded = nil, 0, 0, 0
	p, ok := parsePosition(resume.Position(key(r.class)))
	switch {
	case !ok:
		r.epoch = max(r.epoch, 1)
	case p.load == load:
		r.epoch = max(r.epoch, p.epoch)
	default:
		r.epoch = max(r.epoch, p.epoch) + 1
	}
}

// settle moves acked over what is durable, and reports whether it moved.
func (r *ring) settle(load uint64, resume pipeline.Resume) bool {
	if len(r.pending) == 0 {
		return false
	}
	durable := uint64(0)
	if p, ok := parsePosition(resume.Position(key(r.class))); ok && p.epoch == r.epoch {
		durable = p.whole(load)
	}
	before, i := r.acked, 0
	for ; i < len(r.pending) && (!r.pending[i].stored || r.pending[i].n <= durable); i++ {
		r.acked = r.pending[i].n
	}
	r.pending = r.pending[i:]
	if len(r.pending) == 0 {
		r.pending = nil // what it grew to in a storm is given back
	}
	return r.acked != before
}

// seen is the last n that was read, 0 where none was.
func (r *ring) seen() uint64 {
	if n := len(r.pending); n > 0 {
		return r.pending[n-1].n
	}
	return r.acked
}

// hole is what is missing between what was read and rec: a class comes in the order
// of its numbers, without one missing, also where a new reader is given again what
// was not acknowledged. Nothing is missing before the first that this program reads
// of a load: an agent before it may have acknowledged what made no event, of which
// no position is kept.
func (r *ring) hole(rec *kernel.Record) (g kernel.Gap, found bool) {
	next := rec.N
	if gap, ok := rec.Body.(*kernel.Gap); ok {
		next = min(next, gap.First)
	}
	first := r.seen() + 1
	if first == 1 || next <= first {
		return g, false
	}
	return kernel.Gap{First: first, Count: next - first}, true
}

// gap tells of records through a number that are lost, at rec, which stands for them
// or comes behind them.
func (r *ring) gap(rec *kernel.Record, g *kernel.Gap, through uint64, reason string, now int64, ticks func(uint64) int64) *telemetryv1.Event {
	from, to := ticks(r.at), ticks(rec.SystemTime)
	if to == 0 {
		to = now
	}
	if from == 0 {
		from = ticks(rec.Load) // nothing came before it in what this agent read
	}
	return &telemetryv1.Event{
		Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF}, Source: telemetryv1.Source_SOURCE_KERNEL,
		Grade: telemetryv1.Grade_GRADE_A, Mode: telemetryv1.Mode_MODE_LIVE, ObservedAt: to, InterruptTime: rec.InterruptTime, BootId: fmt.Sprintf("%x", rec.Boot),
		Position: &telemetryv1.Position{Channel: r.class.String(), Sequence: through},
		Body: &telemetryv1.Event_Gap{Gap: &telemetryv1.Gap{
			Source: Source, Channel: r.class.String(), From: min(from, to), To: to, FirstMissing: g.First, LastMissing: through, Count: g.Count,
			Reason: reason,
		}},
	}
}
