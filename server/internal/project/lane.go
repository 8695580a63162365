package project

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// stepBatches is how many batches one transaction projects: about 10,000
// events, where the cost of a COPY per row has levelled out.
const stepBatches = 24

// touchInterval is how often an idle lane says that it is at the head.
const touchInterval = 2 * time.Second

// errVersion marks rows of another version of the projections.
var errVersion = errors.New("projection version")

// step projects the next batches. more says that there is more to do at once.
func (l *lane) step(ctx context.Context) (more bool, err error) {
	if l.memory == nil || l.memory.full() {
		if err := l.load(ctx); err != nil {
			return false, err
		}
	}
	size, at, _ := l.runner.head.get()
	l.runner.backlog.WithLabelValues(l.pass.Name, strconv.Itoa(int(l.number))).Set(float64(size) - float64(l.cursor.Position))
	if l.cursor.Position >= size {
		return false, l.touch(ctx, at)
	}
	limit := stepBatches
	if l.suspicious {
		limit = 1
	}
	stored, err := l.runner.cfg.Store.LaneBatches(ctx, l.number, Lanes, l.cursor.Position, size, limit)
	if err != nil {
		return false, err
	}
	to, watermark := size, at
	if len(stored) == limit {
		last := stored[len(stored)-1]
		to, watermark = last.Position+1, last.ReceivedAt
	}
	if err := l.project(ctx, stored, to, watermark); err != nil {
		return false, err
	}
	return to < size, nil
}

// load reads the cursor and forgets all else.
func (l *lane) load(ctx context.Context) error {
	cursor, err := l.runner.cfg.Store.Cursor(ctx, l.pass.Name, l.number, l.pass.Version)
	if assay.KindOf(err) == assay.Conflict {
		return fmt.Errorf("%w: %w", errVersion, err)
	}
	if err != nil {
		return err
	}
	l.cursor, l.memory = cursor, NewMemory()
	return nil
}

// touch moves the watermark of a lane that has nothing to do.
func (l *lane) touch(ctx context.Context, at time.Time) error {
	if at.Sub(l.touched) < touchInterval {
		return nil
	}
	l.touched = at
	return l.runner.cfg.Store.Touch(ctx, l.cursor, at)
}

func (l *lane) project(ctx context.Context, stored []postgres.StoredBatch, to uint64, watermark time.Time) error {
	step := newStep(l.memory, l.cursor, l.rows)
	batches, events := l.decode(stored, step)
	if err := l.remember(ctx, batches); err != nil {
		return err
	}
	for _, b := range batches {
		if err := l.ensureDay(ctx, b.ReceivedAt); err != nil {
			return err
		}
		step.admit(b)
		for _, p := range l.projections {
			p.Project(b, step)
		}
	}
	delta, err := step.finish(to, watermark)
	if err != nil {
		return err
	}
	if err := l.runner.cfg.Store.ApplyDelta(ctx, delta); err != nil {
		return l.blame(ctx, err, stored, to, watermark)
	}
	l.cursor.Position, l.suspicious = to, false
	l.runner.events.WithLabelValues(l.pass.Name).Add(float64(events))
	l.runner.bad.WithLabelValues(l.pass.Name).Add(float64(len(delta.Quarantined)))
	return nil
}

// decode decodes what can be and puts the rest into quarantine.
func (l *lane) decode(stored []postgres.StoredBatch, step *Step) (batches []*Batch, events int) {
	for _, s := range stored {
		b, err := l.decoder.decode(Stored(s))
		if err != nil {
			step.delta.Quarantined = append(step.delta.Quarantined, postgres.Quarantined{Position: s.Position, Reason: clean(err.Error())})
			continue
		}
		batches = append(batches, b)
		events += len(b.Events)
	}
	return batches, events
}

// blame deals with a step that Postgres refused. Where the data may be at
// fault, batches are tried one at a time, and the one that fails alone goes to
// quarantine: one bad batch never stops a lane.
func (l *lane) blame(ctx context.Context, cause error, stored []postgres.StoredBatch, to uint64, watermark time.Time) error {
	kind := assay.KindOf(cause)
	if errors.Is(cause, postgres.ErrCursorMoved) || kind == assay.Unavailable || ctx.Err() != nil {
		return cause
	}
	if len(stored) != 1 {
		l.suspicious = true
		return cause
	}
	l.runner.cfg.Logger.ErrorContext(ctx, "batch goes to quarantine", "pass", l.pass.Name, "position", stored[0].Position, "error", cause)
	step := newStep(NewMemory(), l.cursor, l.rows)
	step.delta.Quarantined = []postgres.Quarantined{{Position: stored[0].Position, Reason: clean(cause.Error())}}
	delta, err := step.finish(to, watermark)
	if err != nil {
		return err
	}
	if err := l.runner.cfg.Store.ApplyDelta(ctx, delta); err != nil {
		return err
	}
	// What the failed step left in memory was never stored.
	l.memory = nil
	l.runner.bad.WithLabelValues(l.pass.Name).Inc()
	return nil
}

// ensureDay makes the partitions that rows received at t go to.
func (l *lane) ensureDay(ctx context.Context, t time.Time) error {
	day := t.UTC().Truncate(24 * time.Hour)
	if l.days[day] {
		return nil
	}
	if err := l.runner.cfg.Store.EnsureEventDay(ctx, day); err != nil {
		return err
	}
	l.days[day] = true
	return nil
}

// remember loads what is stored of streams, files and hosts that this lane
// meets for the first time since its memory is empty.
func (l *lane) remember(ctx context.Context, batches []*Batch) error {
	var streams []assay.StreamID
	var hosts []assay.HostID
	seen := map[assay.HostID]bool{}
	var files [][]byte
	for _, b := range batches {
		if _, known := l.memory.Clocks[b.Stream]; !known {
			l.memory.Clocks[b.Stream] = time.Time{}
			streams = append(streams, b.Stream)
		}
		files = l.unknownFiles(b, files)
		if _, known := l.memory.Coverage[b.Host]; !known && !seen[b.Host] {
			seen[b.Host] = true
			hosts = append(hosts, b.Host)
		}
	}
	if err := l.loadStreams(ctx, streams, files); err != nil {
		return err
	}
	return l.loadCoverage(ctx, hosts)
}

// unknownFiles lists the imported files of b that memory does not know of. A
// file that is new everywhere is asked for once more per step; files are few.
func (l *lane) unknownFiles(b *Batch, files [][]byte) [][]byte {
	var last [32]byte
	for i := range b.Events {
		sum := []byte(b.Events[i].View.Position.FileSHA256)
		if len(sum) != 32 || [32]byte(sum) == last {
			continue
		}
		last = [32]byte(sum)
		if _, known := l.memory.Imports[ImportKey{Stream: b.Stream, SHA256: last}]; !known {
			files = append(files, sum)
		}
	}
	return files
}

func (l *lane) loadStreams(ctx context.Context, streams []assay.StreamID, files [][]byte) error {
	store := l.runner.cfg.Store
	if len(streams) > 0 {
		clocks, err := store.StreamClocks(ctx, l.pass.Name, streams)
		if err != nil {
			return err
		}
		for stream, until := range clocks {
			l.memory.Clocks[stream] = until
		}
	}
	if len(files) == 0 {
		return nil
	}
	var all []assay.StreamID
	for stream := range l.memory.Clocks {
		all = append(all, stream)
	}
	marks, err := store.ImportMarks(ctx, l.pass.Name, all, files)
	if err != nil {
		return err
	}
	for _, m := range marks {
		l.memory.Imports[ImportKey{Stream: m.Stream, SHA256: m.SHA256}] = ImportMark{Chunk: m.Chunk, Ordinal: m.Ordinal}
	}
	return nil
}

func (l *lane) loadCoverage(ctx context.Context, hosts []assay.HostID) error {
	if len(hosts) == 0 {
		return nil
	}
	stored, err := l.runner.cfg.Store.CoverageMemories(ctx, hosts)
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
		l.memory.Coverage[host] = memory
	}
	return nil
}
