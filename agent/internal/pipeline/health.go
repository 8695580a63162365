package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// Meter counts one source and channel since the pipeline began, and says how
// it stands. Coverage rests on it.
type Meter struct {
	source, channel string
	health          *health

	mu    sync.Mutex
	state telemetryv1.SourceState // without names
	gap   *telemetryv1.Gap        // lost and not yet told
}

// Meter returns the meter of a source (the lower-case name of a Source) and
// channel ("" for none), which from now on is part of SourceHealth.
func (p *Pipeline) Meter(source, channel string) *Meter {
	h := p.health
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.meters {
		if m.source == source && m.channel == channel {
			return m
		}
	}
	m := &Meter{source: source, channel: channel, health: h}
	h.meters = append(h.meters, m)
	return m
}

// Set states whether the source runs, why not, and what it can see. A change
// is told at once.
func (m *Meter) Set(running bool, reason string, capabilities []string) {
	m.mu.Lock()
	changed := m.state.Running != running || m.state.Reason != reason || !slices.Equal(m.state.Capabilities, capabilities)
	m.state.Running, m.state.Reason, m.state.Capabilities = running, reason, slices.Clone(capabilities)
	m.mu.Unlock()
	if changed {
		m.health.changed()
	}
}

// Lost counts events that the source itself lost before it could emit them.
func (m *Meter) Lost(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Lost += n
}

// Passed counts records that the source read and that make no event, the last of
// them at position: its positions are counted against what was seen.
func (m *Meter) Passed(n, position uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Seen += n
	m.state.Filtered += n
	m.state.Position = max(m.state.Position, position)
}

// Filtered is how many events and records were left out so far.
func (m *Meter) Filtered() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Filtered
}

// Excluded counts what the source left out before it took a position.
func (m *Meter) Excluded(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Filtered += n
}

// SetFilters names the filters that the source itself has in force.
func (m *Meter) SetFilters(digest string) {
	m.mu.Lock()
	changed := m.state.FilterDigest != digest
	m.state.FilterDigest = digest
	m.mu.Unlock()
	if changed {
		m.health.changed()
	}
}

// Restart says that the source counts its positions from 1 again.
func (m *Meter) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Position = 0
}

// saw counts ev and reports whether the filter keeps it.
func (m *Meter) saw(p *Pipeline, ev *telemetryv1.Event) bool {
	kept := true
	if p.cfg.Filter != nil && ev.GetMode() != telemetryv1.Mode_MODE_IMPORT {
		var rule string
		if rule, kept = p.cfg.Filter.Keep(ev); kept && rule != "" {
			ev.RuleName = rule
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Seen++
	if !kept {
		m.state.Filtered++
	}
	if position := max(ev.GetPosition().GetRecordId(), ev.GetPosition().GetSequence()); position > m.state.Position {
		m.state.Position = position
	}
	if at := ev.GetObservedAt(); at != 0 {
		m.state.LagMs = max(0, p.cfg.Now().Sub(evidence.Time(at)).Milliseconds())
	}
	return kept
}

// settled tells what became of a kept event. The first one that finds room
// again brings the gap before it along.
func (m *Meter) settled(ctx context.Context, p *Pipeline, ev *telemetryv1.Event, taken bool) {
	m.mu.Lock()
	if !taken {
		m.state.Dropped++
		m.widen(ev)
		m.mu.Unlock()
		return
	}
	gap := m.gap
	m.gap = nil
	m.mu.Unlock()
	if gap == nil {
		return
	}
	event := p.ownEvent()
	event.Body = &telemetryv1.Event_Gap{Gap: gap}
	if told, err := p.emit(ctx, Item{Event: event, Stream: evidence.Control, Live: true}); told && err == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if later := m.gap; later != nil {
		gap.To, gap.LastMissing, gap.Count = max(gap.To, later.To), max(gap.LastMissing, later.LastMissing), gap.Count+later.Count
	}
	m.gap = gap
}

// widen adds a lost event to the gap. Under mu.
func (m *Meter) widen(ev *telemetryv1.Event) {
	at, position := ev.GetObservedAt(), max(ev.GetPosition().GetRecordId(), ev.GetPosition().GetSequence())
	if m.gap == nil {
		m.gap = &telemetryv1.Gap{
			Source: m.source, Channel: m.channel, From: at, To: at,
			FirstMissing: position, LastMissing: position, Reason: "the spool was full",
		}
	}
	m.gap.From, m.gap.To = min(m.gap.From, at), max(m.gap.To, at)
	m.gap.FirstMissing, m.gap.LastMissing = min(m.gap.FirstMissing, position), max(m.gap.LastMissing, position)
	m.gap.Count++
}

func (m *Meter) snapshot() *telemetryv1.SourceState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &telemetryv1.SourceState{
		Source: m.source, Channel: m.channel, Running: m.state.Running, Reason: m.state.Reason,
		Capabilities: slices.Clone(m.state.Capabilities), Position: m.state.Position, Seen: m.state.Seen,
		Filtered: m.state.Filtered, Dropped: m.state.Dropped, Lost: m.state.Lost, LagMs: m.state.LagMs, FilterDigest: m.state.FilterDigest,
	}
}

// health emits SourceHealth.
type health struct {
	p         *Pipeline
	startedAt int64

	mu      sync.Mutex
	meters  []*Meter
	timer   *time.Timer
	ended   bool
	skewMS  int64
	running sync.WaitGroup
}

// changeDelay gathers changes that come together, as at start.
const changeDelay = time.Second

func newHealth(p *Pipeline) *health {
	h := &health{p: p, startedAt: evidence.Ticks(p.cfg.Now())}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.cfg.HealthEvery > 0 {
		h.timer = time.AfterFunc(p.cfg.HealthEvery, h.tick)
	}
	return h
}

func (h *health) tick() {
	h.mu.Lock()
	if h.ended {
		h.mu.Unlock()
		return
	}
	h.running.Add(1)
	h.timer.Reset(h.p.cfg.HealthEvery)
	h.mu.Unlock()
	defer h.running.Done()
	h.p.reportLosses()
	// Health waits for nothing: with no room, the next one says it all again.
	_, _ = h.p.emit(context.Background(), Item{Event: h.event(), Stream: evidence.Control, Live: true})
}

func (h *health) changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil && !h.ended {
		h.timer.Reset(changeDelay)
	}
}

func (h *health) end() {
	h.mu.Lock()
	h.ended = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	h.running.Wait()
}

func (h *health) event() *telemetryv1.Event {
	h.mu.Lock()
	meters, skew := slices.Clone(h.meters), h.skewMS
	h.mu.Unlock()
	body := &telemetryv1.SourceHealth{AgentVersion: h.p.cfg.AgentVersion, StartedAt: h.startedAt, ClockSkewMs: skew}
	for _, m := range meters {
		body.Sources = append(body.Sources, m.snapshot())
	}
	for _, store := range h.p.cfg.Stores {
		stats := store.Stats()
		body.SpoolBytes += uint64(stats.Bytes)
		body.SpoolLimitBytes += uint64(stats.Limit)
	}
	ev := h.p.ownEvent()
	ev.Body = &telemetryv1.Event_SourceHealth{SourceHealth: body}
	return ev
}

// SetClockSkew takes the server's clock minus the host's.
func (p *Pipeline) SetClockSkew(skew time.Duration) {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	p.health.skewMS = skew.Milliseconds()
}

// ownEvent is an event that the agent observes of itself.
func (p *Pipeline) ownEvent() *telemetryv1.Event {
	ev := &telemetryv1.Event{
		Subject:    &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF},
		Source:     telemetryv1.Source_SOURCE_AGENT,
		Grade:      telemetry.GradeOf(telemetryv1.Source_SOURCE_AGENT, "", 0, 0),
		Mode:       telemetryv1.Mode_MODE_LIVE,
		ObservedAt: evidence.Ticks(p.cfg.Now()),
		BootId:     p.cfg.BootID,
	}
	if p.cfg.Uptime != nil {
		ev.InterruptTime = uint64(p.cfg.Uptime() / 100) // in ticks of 100 ns
	}
	return ev
}

// Report records what the agent did itself, on the control stream.
func (p *Pipeline) Report(ctx context.Context, what *telemetryv1.AgentEvent) error {
	what.AgentVersion = p.cfg.AgentVersion
	ev := p.ownEvent()
	ev.Body = &telemetryv1.Event_AgentEvent{AgentEvent: what}
	_, err := p.emit(ctx, Item{Event: ev, Stream: evidence.Control})
	return err
}

// ReportNow is Report for callers that must not wait: with no room in the
// control stream it is an error.
func (p *Pipeline) ReportNow(what *telemetryv1.AgentEvent) error {
	what.AgentVersion = p.cfg.AgentVersion
	ev := p.ownEvent()
	ev.Body = &telemetryv1.Event_AgentEvent{AgentEvent: what}
	taken, err := p.emit(context.Background(), Item{Event: ev, Stream: evidence.Control, Live: true})
	if err == nil && !taken {
		err = spool.ErrFull
	}
	return err
}

// reportLosses turns what the disk lost into Gap events, each once: the event
// and the fact that it was told are one frame.
func (p *Pipeline) reportLosses() {
	control := p.streams[evidence.Control]
	if control == nil {
		return
	}
	for _, store := range p.cfg.Stores {
		for _, loss := range store.Losses() {
			key := loss.Key()
			if control.store.Position(key) != nil {
				if err := store.LossReported(key); err != nil {
					p.cfg.Log.Warn("forgetting a reported loss failed", "loss", key, "error", err)
				}
				continue
			}
			if control.waiting(key) {
				continue
			}
			ev := p.ownEvent()
			ev.Body = &telemetryv1.Event_Gap{Gap: &telemetryv1.Gap{
				Source: "agent", Channel: "spool/" + loss.Kind.String(), From: loss.From, To: loss.To,
				FirstMissing: loss.FirstSequence, LastMissing: loss.LastSequence,
				Count: loss.LastSequence - loss.FirstSequence + 1, Reason: "the spool was damaged",
			}}
			_, _ = p.emit(context.Background(), Item{Event: ev, Stream: evidence.Control, Live: true, Key: key, Position: []byte{1}})
		}
	}
}
