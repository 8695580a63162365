package project

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Projection is one pure reading of batches. Its rows are a function of the
// batches up to the cursor and of nothing else.
type Projection interface {
	// Project adds what the batch says to the step.
	Project(b *Batch, step *Step)
}

// Preparer is a Projection that must know of a step beforehand.
type Preparer interface {
	// Prepare is called before a step that begins at from, and says how far it may
	// reach, at most until.
	Prepare(ctx context.Context, from, until uint64) (limit uint64, err error)
}

// Step is what a lane reads and writes in one transaction.
type Step struct {
	Memory *Memory
	delta  *postgres.Delta
	rows   *postgres.EventRows

	coverage map[assay.HostID]*coverageBuilder
	posture  map[postureKey]postgres.PostureRow
	complete map[fieldsKey]*assay.Metric
	lags     map[lagKey]*lagCounts
	// lagging counts for lagged, and active is of activeHost: those of the last event.
	lagging    *lagCounts
	lagged     lagKey
	activities map[assay.HostID]*postgres.Activity
	active     *postgres.Activity
	activeHost assay.HostID
	marked     map[ImportKey]bool
}

type postureKey struct {
	host assay.HostID
	name string
}

// newStep begins a step. rows is where typed events go; it is emptied.
func newStep(memory *Memory, cursor postgres.Cursor, rows *postgres.EventRows) *Step {
	rows.Reset()
	return &Step{
		Memory: memory, rows: rows,
		delta: &postgres.Delta{
			Pass: cursor.Pass, Lane: cursor.Lane, From: cursor.Position,
			Memories: map[assay.HostID][]byte{},
			Activity: map[assay.HostID]postgres.Activity{}, Clocks: map[assay.StreamID]time.Time{},
		},
		coverage: map[assay.HostID]*coverageBuilder{}, posture: map[postureKey]postgres.PostureRow{},
		complete: map[fieldsKey]*assay.Metric{}, activities: map[assay.HostID]*postgres.Activity{}, lags: map[lagKey]*lagCounts{}, marked: map[ImportKey]bool{},
	}
}

// admit drops the events of b that were projected before (an imported record
// that came twice) and books the rest. It runs once per pass, before its
// projections see the batch.
func (s *Step) admit(b *Batch) {
	kept := b.Events[:0]
	newest, known := s.Memory.Clocks[b.Stream]
	before := newest
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Mode == assay.Imported && s.repeated(b.Stream, ev) {
			s.delta.Repeats = append(s.delta.Repeats, ev.Ref)
			continue
		}
		newest = bookLive(ev, newest)
		s.introduce(b.Stream, ev)
		if len(kept) < i {
			b.Events[len(kept)] = *ev
		}
		kept = b.Events[:len(kept)+1]
	}
	b.Events = kept
	if newest.After(before) || !known && !newest.IsZero() {
		s.Memory.Clocks[b.Stream], s.delta.Clocks[b.Stream] = newest, newest
	}
}

// repeated reports whether the record was projected before, and marks it.
func (s *Step) repeated(stream assay.StreamID, ev *Event) bool {
	position := &ev.View.Position
	key := ImportKey{Stream: stream}
	if copy(key.SHA256[:], position.FileSHA256) != 32 || len(position.FileSHA256) != 32 {
		return false // not a record of a file: what the agent says of the import itself
	}
	mark, known := s.Memory.Imports[key]
	if known && mark.covers(position.Chunk, position.Ordinal) {
		return true
	}
	s.Memory.Imports[key] = ImportMark{Chunk: position.Chunk, Ordinal: position.Ordinal}
	s.marked[key] = true
	return false
}

// introduce makes sure that an imported host exists.
func (s *Step) introduce(stream assay.StreamID, ev *Event) {
	if !ev.Imported || s.Memory.Hosts[ev.Host] {
		return
	}
	s.Memory.Hosts[ev.Host] = true
	s.delta.Hosts = append(s.delta.Hosts, postgres.ImportedHost{ID: ev.Host, Name: ev.HostName, Stream: stream})
}

// events are the rows of the event tables, which from then on are written.
func (s *Step) events() *postgres.EventRows {
	s.delta.Events = s.rows
	return s.rows
}

// finish collects what accumulated into the delta, in a stable order.
func (s *Step) finish(to uint64, watermark time.Time) (*postgres.Delta, error) {
	s.delta.To, s.delta.Watermark = to, watermark
	for host, builder := range s.coverage {
		memory, err := builder.memory.encode()
		if err != nil {
			return nil, err
		}
		s.delta.Memories[host] = memory
		for _, r := range builder.changed {
			s.delta.Coverage = append(s.delta.Coverage, r)
		}
	}
	s.delta.Posture = slices.Collect(maps.Values(s.posture))
	for host, a := range s.activities {
		s.delta.Activity[host] = *a
	}
	for _, m := range s.complete {
		s.delta.Metrics = append(s.delta.Metrics, *m)
	}
	for key, counts := range s.lags {
		s.delta.Metrics = counts.metrics(key, s.delta.Metrics)
	}
	for key := range s.marked {
		mark := s.Memory.Imports[key]
		s.delta.Imports = append(s.delta.Imports, postgres.ImportMark{Stream: key.Stream, SHA256: key.SHA256, Chunk: mark.Chunk, Ordinal: mark.Ordinal})
	}
	return s.delta, nil
}
