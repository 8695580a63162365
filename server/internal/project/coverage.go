package project

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Health is stated each minute. A stretch without it that is longer than
// maxSilence is not covered by what stands on either side.
const maxSilence = 5 * time.Minute

// stopSlack is how far a recorded shutdown may stand from the last health, and
// the uptime counter from the time since the shutdown.
const stopSlack = 5 * time.Minute

// Bounds on what one host may make us remember.
const (
	maxSources      = 64
	maxCapabilities = 64
)

// CoverageMemory is what the builder carries from one batch of a host to the
// next. It is stored as JSON between runs.
type CoverageMemory struct {
	HealthAt time.Time                `json:"health_at"`
	BootID   string                   `json:"boot_id"`
	StopAt   time.Time                `json:"stop_at"` // of the last recorded host shutdown
	Sources  map[string]*sourceMemory `json:"sources"`
}

// sourceMemory is the last statement on one source and channel.
type sourceMemory struct {
	At        time.Time             `json:"at"`
	StartedAt int64                 `json:"started_at"`
	Running   bool                  `json:"running"`
	Reason    string                `json:"reason"`
	Position  uint64                `json:"position"`
	Seen      uint64                `json:"seen"`
	Missed    uint64                `json:"missed"`         // dropped + lost
	Lost      string                `json:"lost,omitempty"` // what a gap says of the time since
	Open      map[string]*openRange `json:"open"`           // by capability, also those now missing
}

type openRange struct {
	From   time.Time           `json:"from"`
	To     time.Time           `json:"to"`
	State  assay.CoverageState `json:"state"`
	Mode   assay.Mode          `json:"mode"`
	Reason string              `json:"reason"`
	Since  assay.EventRef      `json:"since"`
}

// keySeparator stands between source and channel in the keys of the memory. It
// is a character that JSON in Postgres can hold, which NUL is not.
const keySeparator = "\x1f"

// sourceKey is a source and channel as the memory names them. The agent chose
// both; what is stored of them must be text that Postgres takes.
func sourceKey(source, channel string) string {
	return strings.ReplaceAll(clean(source), keySeparator, "\ufffd") + keySeparator + clean(channel)
}

func cleanAll(texts []string, limit int) []string {
	cleaned := make([]string, min(len(texts), limit))
	for i := range cleaned {
		cleaned[i] = clean(texts[i])
	}
	return cleaned
}

// coverageBuilder turns the statements of one host, in ledger order, into
// ranges. changed collects every range that was opened, extended or cut.
type coverageBuilder struct {
	host    assay.HostID
	memory  *CoverageMemory
	changed map[rangeKey]assay.CoverageRange
}

// rangeKey is the identity of a stored range within a host.
type rangeKey struct {
	source, channel, capability string
	from                        time.Time
}

// observe takes any event; those that say nothing of coverage are ignored.
func (b *coverageBuilder) observe(ev *Event) {
	switch body := ev.Message().GetBody().(type) {
	case *telemetryv1.Event_SourceHealth:
		b.health(ev, body.SourceHealth)
	case *telemetryv1.Event_Gap:
		b.gap(ev, body.Gap)
	case *telemetryv1.Event_Power:
		if body.Power.GetAction() == "shutdown" {
			b.memory.StopAt = ev.BookedAt
		}
	}
}

func (b *coverageBuilder) health(ev *Event, health *telemetryv1.SourceHealth) {
	at := ev.BookedAt
	if !at.After(b.memory.HealthAt) {
		return // an older statement adds nothing to what a newer one settled
	}
	if b.memory.Sources == nil {
		b.memory.Sources = map[string]*sourceMemory{}
	}
	reported := make(map[string]bool, len(health.GetSources()))
	for _, state := range health.GetSources() {
		key := sourceKey(state.GetSource(), state.GetChannel())
		if reported[key] || len(b.memory.Sources) >= maxSources && b.memory.Sources[key] == nil {
			continue
		}
		reported[key] = true
		b.statement(ev, key, health.GetStartedAt(), state)
	}
	for key := range b.memory.Sources {
		if !reported[key] {
			b.statement(ev, key, health.GetStartedAt(), &telemetryv1.SourceState{Reason: "not reported"})
		}
	}
	b.memory.HealthAt, b.memory.BootID = at, clean(ev.Message().GetBootId())
}

// statement books the stretch between the last statement on a source and this one.
func (b *coverageBuilder) statement(ev *Event, key string, startedAt int64, state *telemetryv1.SourceState) {
	now := &sourceMemory{
		At: ev.BookedAt, StartedAt: startedAt, Running: state.GetRunning(), Reason: clean(state.GetReason()),
		Position: state.GetPosition(), Seen: state.GetSeen(), Missed: state.GetDropped() + state.GetLost(),
		Open: map[string]*openRange{},
	}
	capabilities := cleanAll(state.GetCapabilities(), maxCapabilities)
	before := b.memory.Sources[key]
	b.memory.Sources[key] = now
	if before == nil {
		for _, capability := range capabilities {
			now.Open[capability] = b.open(ev, key, capability, now.At, now.At, stretch{state: initialState(now), reason: notRunning(now), mode: ev.Mode})
		}
		return
	}
	now.Open = before.Open
	all := b.classify(ev, before, now)
	for capability := range before.Open {
		part := all
		if !slices.Contains(capabilities, capability) && part.state == assay.Covered {
			part = stretch{state: assay.Unexplained, reason: "capability missing", mode: ev.Mode}
		}
		b.extend(ev, key, capability, before.At, now.At, part)
	}
	for _, capability := range capabilities {
		if before.Open[capability] == nil && len(now.Open) < maxCapabilities {
			now.Open[capability] = b.open(ev, key, capability, now.At, now.At, stretch{state: initialState(now), reason: notRunning(now), mode: ev.Mode})
		}
	}
}

// stretch is the judgement on the time between two statements.
type stretch struct {
	state  assay.CoverageState
	reason string
	mode   assay.Mode
}

func initialState(m *sourceMemory) assay.CoverageState {
	if m.Running {
		return assay.Covered
	}
	return assay.Unexplained
}

func notRunning(m *sourceMemory) string {
	switch {
	case m.Running:
		return ""
	case m.Reason == "":
		return "not running"
	}
	return "not running: " + m.Reason
}

// classify judges the time between two statements of one source. Whoever
// cannot show that nothing was missed has not covered it.
func (b *coverageBuilder) classify(ev *Event, before, now *sourceMemory) stretch {
	mode := ev.Mode
	silent := now.At.Sub(before.At) > maxSilence
	if silent && b.shutDown(ev, before.At) {
		return stretch{assay.ExplainedOff, "shut down", mode}
	}
	if before.Lost != "" {
		return stretch{assay.Unexplained, before.Lost, mode}
	}
	if !now.Running {
		return stretch{assay.Unexplained, notRunning(now), mode}
	}
	if !before.Running {
		return stretch{assay.Unexplained, notRunning(before), mode}
	}
	// Counters run from the agent's start, so after a restart all of them are new.
	seen, missed := now.Seen, now.Missed
	if before.StartedAt == now.StartedAt {
		if now.Seen < before.Seen || now.Missed < before.Missed {
			return stretch{assay.Unexplained, "counters went back", mode}
		}
		seen, missed = now.Seen-before.Seen, now.Missed-before.Missed
	}
	switch {
	case missed > 0:
		return stretch{assay.Unexplained, fmt.Sprintf("lost %d events", missed), mode}
	case now.Position < before.Position:
		return stretch{assay.Unexplained, "position went back", mode}
	case before.Position > 0 && now.Position-before.Position > seen:
		return stretch{assay.Unexplained, fmt.Sprintf("%d records missing", now.Position-before.Position-seen), mode}
	case silent && now.Position > before.Position && before.Position > 0:
		// The agent was away but the log was not: every record written
		// meanwhile was read afterwards, without a hole.
		return stretch{assay.Covered, "", assay.Backfill}
	case silent:
		return stretch{assay.Unexplained, "no health", mode}
	}
	return stretch{assay.Covered, "", mode}
}

// shutDown reports whether the silence since last is a recorded shutdown: a
// stop record near its start, another boot after it, and an uptime that fits
// into the time since. A clock that was changed cannot fake the uptime.
func (b *coverageBuilder) shutDown(ev *Event, last time.Time) bool {
	stop := b.memory.StopAt
	if stop.IsZero() || stop.Before(last.Add(-stopSlack)) || stop.After(last.Add(stopSlack)) {
		return false
	}
	if clean(ev.Message().GetBootId()) == b.memory.BootID {
		return false
	}
	uptime := time.Duration(ev.Message().GetInterruptTime()) * 100
	return uptime > 0 && uptime <= ev.BookedAt.Sub(stop)+stopSlack
}

// extend books [from, to) for a capability, growing the open range where the
// judgement is the same and opening another where it is not.
func (b *coverageBuilder) extend(ev *Event, key, capability string, from, to time.Time, part stretch) {
	memory := b.memory.Sources[key]
	open := memory.Open[capability]
	if open != nil && open.State == part.state && open.Reason == part.reason && open.Mode == part.mode && open.To.Equal(from) {
		open.To = to
		b.store(ev, key, capability, open)
		return
	}
	if open != nil && open.From.Equal(open.To) && open.From.Equal(from) {
		// The open range is empty: it is replaced under the same key.
		open.State, open.Reason, open.Mode, open.To = part.state, part.reason, part.mode, to
		b.store(ev, key, capability, open)
		return
	}
	memory.Open[capability] = b.open(ev, key, capability, from, to, part)
}

func (b *coverageBuilder) open(ev *Event, key, capability string, from, to time.Time, part stretch) *openRange {
	open := &openRange{From: from, To: to, State: part.state, Mode: part.mode, Reason: part.reason, Since: ev.Ref}
	b.store(ev, key, capability, open)
	return open
}

func (b *coverageBuilder) store(ev *Event, key, capability string, open *openRange) {
	source, channel, _ := strings.Cut(key, keySeparator)
	b.changed[rangeKey{source, channel, capability, open.From}] = assay.CoverageRange{
		Host: b.host, Source: source, Channel: channel, Capability: capability,
		State: open.State, Mode: open.Mode, Grade: sourceGrade(source), Reason: open.Reason,
		From: open.From, To: open.To, Since: open.Since, Until: ev.Ref,
	}
}

// gap cuts what an agent says it missed out of the ranges that are open. A gap
// older than the open range is booked from where that begins: what is stored
// and closed is not rewritten.
func (b *coverageBuilder) gap(ev *Event, gap *telemetryv1.Gap) {
	from, to := gapTimes(ev, gap)
	reason := clean(gap.GetReason())
	if gap.GetCount() > 0 {
		reason = fmt.Sprintf("lost %d events: %s", gap.GetCount(), reason)
	}
	lost := stretch{assay.Unexplained, reason, ev.Mode}
	for key := range b.memory.Sources {
		if gapConcerns(gap, key) {
			b.cut(ev, key, from, to, lost)
		}
	}
}

// gapTimes are the bounds of a gap. An agent that does not know them says 0: from as
// long ago as may be, until now. Bounds are the times of neighbours, which need not be
// in order, and something was lost even if they are equal.
func gapTimes(ev *Event, gap *telemetryv1.Gap) (from, to time.Time) {
	from, to = evidence.Time(gap.GetFrom()), evidence.Time(gap.GetTo())
	if gap.GetTo() == 0 {
		to = ev.BookedAt
	}
	if to.Before(from) {
		from, to = to, from
	}
	return from, laterOf(to, from.Add(time.Microsecond))
}

// gapConcerns reports whether a source lost something by a gap: the one that is named,
// or where the agent's spool lost batches all whose events go by it. Events of imports
// are no source's. What the agent itself states, its losses too, goes by the control
// stream alone.
func gapConcerns(gap *telemetryv1.Gap, key string) bool {
	if gap.GetSource() == "agent" {
		switch gap.GetChannel() {
		case "spool/" + evidence.Control.String():
			return true
		case "spool/" + evidence.Bulk.String():
			return !strings.HasPrefix(key, "agent"+keySeparator)
		}
	}
	return key == sourceKey(gap.GetSource(), gap.GetChannel())
}

// cut books a loss in the covered part of [from, to) of a source's open ranges. What
// comes after them is booked with the next statement.
func (b *coverageBuilder) cut(ev *Event, key string, from, to time.Time, lost stretch) {
	memory := b.memory.Sources[key]
	if memory.Lost == "" && to.After(memory.At) {
		memory.Lost = lost.reason
	}
	for capability, open := range memory.Open {
		start, end := laterOf(from, open.From), earlierOf(to, open.To)
		if !start.Before(end) || open.State != assay.Covered {
			continue
		}
		rest := stretch{open.State, open.Reason, open.Mode}
		until := open.To
		open.To = start
		b.store(ev, key, capability, open)
		memory.Open[capability] = b.open(ev, key, capability, start, end, lost)
		if end.Before(until) {
			memory.Open[capability] = b.open(ev, key, capability, end, until, rest)
		}
	}
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sourceGrade is the fidelity of a whole source, for coverage. Single events
// may be graded lower (telemetry's registry).
func sourceGrade(source string) assay.Grade {
	switch source {
	case "kernel":
		return assay.GradeA
	case "sysmon", "agent":
		return assay.GradeB
	case "event_log", "etw":
		return assay.GradeC
	}
	return assay.GradeD
}

func (m *CoverageMemory) encode() ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding coverage memory: %w", err)
	}
	return text, nil
}

// Coverage projects what agents state of their sources into ranges.
type Coverage struct{}

// Project implements Projection.
func (Coverage) Project(b *Batch, step *Step) {
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Imported {
			continue // a log that was exported shows nothing of what was alive
		}
		if speaksOfItself(ev) {
			step.coverageOf(ev.Host).observe(ev)
		}
	}
}

func (s *Step) coverageOf(host assay.HostID) *coverageBuilder {
	builder := s.coverage[host]
	if builder == nil {
		memory := s.Memory.Coverage[host]
		if memory == nil {
			memory = &CoverageMemory{}
			s.Memory.Coverage[host] = memory
		}
		builder = &coverageBuilder{host: host, memory: memory, changed: map[rangeKey]assay.CoverageRange{}}
		s.coverage[host] = builder
	}
	return builder
}
