package fleet

import (
	"context"
	"path/filepath"
	"time"

	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/winevent"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// sourceKey names the simulation in the spools' progress.
const sourceKey = "fleet"

// pastAfter is when what happened counts as read later rather than live.
const pastAfter = 2 * time.Minute

// offAfter is the longest that the program may be away without its hosts having
// been off meanwhile.
const offAfter = 3 // minutes

// player plays a machine through an agent's pipeline.
type player struct {
	*agent
	machine *machine
	since   time.Time // when this run began: what is older is backfill
	past    winevent.Normaliser
	now     winevent.Normaliser
	emitted uint64
}

// host runs one host from enrolment to the end of ctx.
func (f *fleet) host(ctx context.Context, h *Host) (err error) {
	if err := f.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	a, err := f.open(ctx, h)
	if err != nil {
		f.slots.Release(1)
		return err
	}
	defer func() {
		// An end that was asked for is none of the host's.
		if closed := a.close(); err == nil {
			err = closed
		}
	}()
	p, err := newPlayer(a)
	if err == nil {
		err = p.catchUp(ctx)
	}
	f.slots.Release(1)
	if err != nil {
		return err
	}
	// Only now: a past that arrives in pieces looks, in between, like a host that
	// fell silent where the piece ends.
	a.connect(ctx)
	if err := a.committed(ctx); err != nil {
		return err
	}
	f.progress.finished(f.cfg.Now())
	if !f.cfg.Live {
		return nil
	}
	return p.live(ctx)
}

func newPlayer(a *agent) (*player, error) {
	// A host's timeline is the fleet's but for its own stops.
	t := a.fleet.timeline
	var plan hostPlan
	if _, err := readJSON(filepath.Join(a.dir, "host.json"), &plan); err != nil {
		return nil, err
	}
	t.Stops = plan.Stops
	drives := []winevent.Drive{{Device: `\Device\HarddiskVolume3`, Letter: "C:"}}
	return &player{
		agent: a, machine: newMachine(a.host, &t), since: a.fleet.cfg.Now(),
		past: winevent.Normaliser{Mode: telemetryv1.Mode_MODE_BACKFILL, Drives: drives},
		now:  winevent.Normaliser{Mode: telemetryv1.Mode_MODE_LIVE, Drives: drives},
	}, nil
}

// catchUp sends what happened before this run: what a run before it had not
// made durable, the past of a first start, the time that the program was away.
func (p *player) catchUp(ctx context.Context) error {
	least, newest := p.positions(sourceKey)
	if newest != nil {
		if err := p.resume(ctx, least, newest); err != nil {
			return err
		}
	}
	end := p.machine.time.Start.Unix() / 60
	if newest != nil {
		end = max(end, p.since.Unix()/60)
	}
	for p.machine.state.Minute < end {
		if err := p.emit(ctx, p.machine.minute(), false); err != nil {
			return err
		}
	}
	p.report()
	return p.pipe.Flush(ctx)
}

// resume goes back to the least position that is durable and makes everything
// up to the newest one again, which the pipeline drops where it is known. When
// that is durable, every stream has the same past, and only then it is decided
// how the host spent the time that the program was away.
func (p *player) resume(ctx context.Context, least, newest []byte) error {
	_, last, err := parsePosition(newest)
	if err != nil {
		return err
	}
	if least != nil {
		if _, p.machine.state, err = parsePosition(least); err != nil {
			return err
		}
	}
	for p.machine.state.Minute <= last.Minute {
		if err := p.emit(ctx, p.machine.minute(), false); err != nil {
			return err
		}
	}
	if err := p.pipe.Flush(ctx); err != nil {
		return err
	}
	return p.away(last.Minute)
}

// away decides that the host was off since the minute after last, unless it was
// only for a moment, or was off anyway and still is.
func (p *player) away(last int64) error {
	m, now := p.machine, p.since.Unix()/60
	// Until the first start the past is made up as it is sent: nobody was away.
	last = max(last, m.time.Start.Unix()/60-1)
	back := last + 1
	for back < now && !m.on(time.Unix(back*60, 0)) {
		back++
	}
	if now-back < offAfter || m.silent(time.Unix(back*60, 0)) {
		return nil
	}
	plan := hostPlan{Stops: m.time.Stops}
	// The start is recorded in the minute before this one, so that it is sent at once.
	plan.stopped(stop{After: last, Until: now - 1})
	if err := writeJSON(filepath.Join(p.dir, "host.json"), &plan); err != nil {
		return err
	}
	m.time.Stops = plan.Stops
	return nil
}

// live goes on in real time. While the host is off, its agent is away.
func (p *player) live(ctx context.Context) error {
	for {
		start := time.Unix(p.machine.state.Minute*60, 0)
		switch up := p.machine.on(start) && !p.machine.silent(start); {
		case up:
			p.connect(ctx)
		case !p.machine.state.Off && !p.machine.silent(start):
			// Its last minute: the shutdown is still sent.
		case p.disconnect != nil:
			if err := p.leave(ctx); err != nil {
				return err
			}
		}
		if err := p.emit(ctx, p.machine.minute(), true); err != nil {
			return err
		}
		p.report()
		if err := p.wait(ctx, start.Add(time.Minute)); err != nil {
			return err
		}
	}
}

// goodbye is how long a host that is switched off waits for the server.
const goodbye = 30 * time.Second

// leave ends the connection of a host that is off. What is not committed by
// then is sent when it is on again.
func (p *player) leave(ctx context.Context) error {
	if err := p.pipe.Flush(ctx); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	if err := p.committed(patience); err != nil && patience.Err() == nil {
		return err
	}
	return p.disconnect()
}

// wait waits until t.
func (p *player) wait(ctx context.Context, t time.Time) error {
	left := t.Sub(p.fleet.cfg.Now())
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-p.broken:
		return err
	case <-p.pipe.Failed():
		return p.pipe.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// emit hands items over, each at its own time where live is set.
func (p *player) emit(ctx context.Context, items []item, live bool) error {
	for i := range items {
		it := &items[i]
		if live {
			if err := p.wait(ctx, it.at); err != nil {
				return err
			}
		}
		if err := p.pipe.Emit(ctx, pipeline.Item{Event: p.event(it), Key: sourceKey, Position: it.position}); err != nil {
			return err
		}
		p.emitted++
	}
	return nil
}

// report adds what was emitted to the fleet's count.
func (p *player) report() {
	p.fleet.progress.sent(p.emitted)
	p.emitted = 0
}

// event is what an item becomes on the wire.
func (p *player) event(it *item) *telemetryv1.Event {
	normaliser := &p.now
	if it.at.Before(p.since) || p.fleet.cfg.Now().Sub(it.at) > pastAfter {
		normaliser = &p.past
	}
	if it.record != nil {
		return normaliser.Normalise(it.record)
	}
	it.health.AgentVersion = p.fleet.cfg.AgentVersion
	for _, s := range p.spools {
		it.health.SpoolLimitBytes += uint64(p.fleet.limit)
		if normaliser == &p.now { // how full a spool was in the past is not known
			it.health.SpoolBytes += uint64(s.Stats().Bytes)
		}
	}
	return &telemetryv1.Event{
		Subject:    &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF},
		Source:     telemetryv1.Source_SOURCE_AGENT,
		Grade:      telemetry.GradeOf(telemetryv1.Source_SOURCE_AGENT, "", 0, 0),
		Mode:       normaliser.Mode,
		ObservedAt: evidence.Ticks(it.at), InterruptTime: uint64(it.uptime), BootId: p.host.bootID(it.boot),
		Body: &telemetryv1.Event_SourceHealth{SourceHealth: it.health},
	}
}
