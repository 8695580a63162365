package project

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// passLane is one pass in one lane: its cursor, and what it remembers.
type passLane struct {
	runner      *Runner
	pass        Pass
	number      int16
	projections []Projection
	log         *slog.Logger

	cursor     postgres.Cursor
	memory     *Memory // nil: load the cursor again
	touched    time.Time
	suspicious bool   // the last step failed on its data: read one batch at a time
	retryAt    uint64 // the reading of the head to wait for after an error
	rows       *postgres.EventRows
}

// retryReadings is how many readings of the head a pass waits after an error: a
// second, at the usual pace.
const retryReadings = 10

// ready loads the cursor where it is not known. The error is errVersion.
func (p *passLane) ready(ctx context.Context, known reading) (bool, error) {
	if known.number < p.retryAt {
		return false, nil
	}
	if p.memory == nil || p.memory.full() {
		if err := p.settle(ctx, p.load(ctx), known); err != nil || p.memory == nil {
			return false, err
		}
	}
	p.runner.backlog.WithLabelValues(p.pass.Name, strconv.Itoa(int(p.number))).Set(float64(known.size) - float64(p.cursor.Position))
	return true, nil
}

// prepare has the projections ready for a step from the cursor on, and says how
// far it may reach.
func (p *passLane) prepare(ctx context.Context, until uint64) (uint64, error) {
	for _, projection := range p.projections {
		preparer, ok := projection.(Preparer)
		if !ok || p.cursor.Position >= until {
			continue
		}
		var err error
		if until, err = preparer.Prepare(ctx, p.cursor.Position, until); err != nil {
			return until, err
		}
	}
	return until, nil
}

// again reports whether the pass can take another step at once.
func (p *passLane) again(known reading) bool {
	if known.number < p.retryAt {
		return false
	}
	return p.memory == nil || p.cursor.Position < known.size
}

// settle sees to what became of a step. What comes back is errVersion, which no
// retry mends.
func (p *passLane) settle(ctx context.Context, err error, known reading) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.Is(err, errVersion):
		return err
	case errors.Is(err, postgres.ErrCursorMoved):
		p.log.InfoContext(ctx, "lane was moved by another projector")
	default:
		p.log.ErrorContext(ctx, "projection step failed, will retry", "error", assay.Cause(err))
		p.retryAt = known.number + retryReadings
	}
	p.memory = nil
	return nil
}

// load reads the cursor and forgets all else.
func (p *passLane) load(ctx context.Context) error {
	p.memory = nil
	cursor, err := p.runner.cfg.Store.Cursor(ctx, p.pass.Name, p.number, p.pass.Version)
	if assay.KindOf(err) == assay.Conflict {
		return fmt.Errorf("%w: %w", errVersion, err)
	}
	if err != nil {
		return err
	}
	p.cursor, p.memory = cursor, NewMemory()
	return nil
}

// touch moves the watermark of a lane that has nothing to do.
func (p *passLane) touch(ctx context.Context, at time.Time) error {
	if at.Sub(p.touched) < touchInterval {
		return nil
	}
	p.touched = at
	return p.runner.cfg.Store.Touch(ctx, p.cursor, at)
}

// project writes what a portion says, and moves the cursor past it.
func (p *passLane) project(ctx context.Context, read portion) error {
	step := newStep(p.memory, p.cursor, p.rows)
	step.delta.Quarantined = read.bad
	if err := p.remember(ctx, read.batches); err != nil {
		return err
	}
	for _, b := range read.batches {
		step.admit(b)
		for _, projection := range p.projections {
			projection.Project(b, step)
		}
	}
	delta, err := step.finish(read.to, read.watermark)
	if err != nil {
		return err
	}
	if p.pass.Before != nil {
		if err := p.pass.Before(ctx, delta); err != nil {
			return err
		}
	}
	if err := p.runner.cfg.Store.ApplyDelta(ctx, delta); err != nil {
		return p.blame(ctx, err, read)
	}
	p.cursor.Position, p.suspicious = read.to, false
	p.runner.events.WithLabelValues(p.pass.Name).Add(float64(read.events))
	p.runner.bad.WithLabelValues(p.pass.Name).Add(float64(len(delta.Quarantined)))
	return nil
}

// blame deals with a step that Postgres refused. Where the data may be at
// fault, batches are tried one at a time, and the one that fails alone goes to
// quarantine: one bad batch never stops a lane.
func (p *passLane) blame(ctx context.Context, cause error, read portion) error {
	kind := assay.KindOf(cause)
	if errors.Is(cause, postgres.ErrCursorMoved) || kind == assay.Unavailable || ctx.Err() != nil {
		return cause
	}
	if len(read.stored) != 1 {
		p.suspicious = true
		return cause
	}
	position := read.stored[0].Position
	p.log.ErrorContext(ctx, "batch goes to quarantine", "position", position, "error", assay.Cause(cause))
	step := newStep(NewMemory(), p.cursor, p.rows)
	step.delta.Quarantined = []postgres.Quarantined{{Position: position, Reason: clean(cause.Error())}}
	delta, err := step.finish(read.to, read.watermark)
	if err != nil {
		return err
	}
	if err := p.runner.cfg.Store.ApplyDelta(ctx, delta); err != nil {
		return err
	}
	// What the failed step left in memory was never stored.
	p.memory = nil
	p.runner.bad.WithLabelValues(p.pass.Name).Inc()
	return nil
}

// remember loads what is stored of streams, files and hosts that this lane
// meets for the first time since its memory is empty.
func (p *passLane) remember(ctx context.Context, batches []*Batch) error {
	var streams []assay.StreamID
	var hosts []assay.HostID
	seen := map[assay.HostID]bool{}
	var files [][]byte
	for _, b := range batches {
		if _, known := p.memory.Clocks[b.Stream]; !known {
			p.memory.Clocks[b.Stream] = time.Time{}
			streams = append(streams, b.Stream)
		}
		files = p.unknownFiles(b, files)
		if _, known := p.memory.Coverage[b.Host]; !known && !seen[b.Host] {
			seen[b.Host] = true
			hosts = append(hosts, b.Host)
		}
	}
	if err := p.loadStreams(ctx, streams, files); err != nil {
		return err
	}
	return p.loadCoverage(ctx, hosts)
}

// unknownFiles lists the imported files of b that memory does not know of. A
// file that is new everywhere is asked for once more per step; files are few.
func (p *passLane) unknownFiles(b *Batch, files [][]byte) [][]byte {
	var last [32]byte
	for i := range b.Events {
		sum := []byte(b.Events[i].View.Position.FileSHA256)
		if len(sum) != 32 || [32]byte(sum) == last {
			continue
		}
		last = [32]byte(sum)
		if _, known := p.memory.Imports[ImportKey{Stream: b.Stream, SHA256: last}]; !known {
			files = append(files, sum)
		}
	}
	return files
}

func (p *passLane) loadStreams(ctx context.Context, streams []assay.StreamID, files [][]byte) error {
	store := p.runner.cfg.Store
	if len(streams) > 0 {
		clocks, err := store.StreamClocks(ctx, p.pass.Name, streams)
		if err != nil {
			return err
		}
		for stream, until := range clocks {
			p.memory.Clocks[stream] = until
		}
	}
	if len(files) == 0 {
		return nil
	}
	var all []assay.StreamID
	for stream := range p.memory.Clocks {
		all = append(all, stream)
	}
	marks, err := store.ImportMarks(ctx, p.pass.Name, all, files)
	if err != nil {
		return err
	}
	for _, m := range marks {
		p.memory.Imports[ImportKey{Stream: m.Stream, SHA256: m.SHA256}] = ImportMark{Chunk: m.Chunk, Ordinal: m.Ordinal}
	}
	return nil
}

func (p *passLane) loadCoverage(ctx context.Context, hosts []assay.HostID) error {
	if len(hosts) == 0 {
		return nil
	}
	stored, err := p.runner.cfg.Store.CoverageMemories(ctx, hosts)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		memory := &CoverageMemory{}
		if text, ok := stored[host]; ok {
			if err := json.Unmarshal(text, memory); err != nil {
				return fmt.Errorf("decoding coverage memory of host %s: %w", host, err)
			}
		}
		p.memory.Coverage[host] = memory
	}
	return nil
}
