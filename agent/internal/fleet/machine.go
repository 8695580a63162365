package fleet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// timeline is when a fleet lives. It is fixed at the first start but for Stops.
type timeline struct {
	Seed uint64 `json:"seed"`
	// Start is the first start, on the minute; Backfill what lies before it.
	Start    time.Time     `json:"start"`
	Backfill time.Duration `json:"backfill"`
	// Rate multiplies ordinary activity.
	Rate float64 `json:"rate"`
	// Stops are the times that the program did not run.
	Stops []stop `json:"stops,omitempty"`
}

// stop is a time that the program did not run: its hosts were shut down after
// the minute After and booted in the minute Until (minutes since 1970).
type stop struct {
	After int64 `json:"after"`
	Until int64 `json:"until"`
}

func (t *timeline) first() int64 { return t.Start.Add(-t.Backfill).Unix() / 60 }

// state is all that a minute depends on besides the timeline. It has a fixed
// size: it travels in positions.
type state struct {
	Sequence uint64 // of the newest item
	Minute   int64  // the next one to make, since 1970
	Records  [channelCount]uint64
	Seen     [channelCount]uint64 // since the agent started
	Started  int64                // of the agent, ticks
	Boot     uint32
	BootedAt int64 // ticks
	Off      bool
}

// item is what a host has to say at a moment: a record of its event log, or the
// agent's statement of health.
type item struct {
	at     time.Time
	record *winevent.Record
	health *telemetryv1.SourceHealth
	// position orders the items of a host and holds the state before its minute.
	position []byte
	boot     uint32
	uptime   int64 // ticks
}

// machine makes the items of one host, minute by minute.
type machine struct {
	host  *Host
	time  *timeline
	steps []Step
	state state
}

func newMachine(h *Host, t *timeline) *machine {
	m := &machine{host: h, time: t, steps: scripted(h.Number)}
	r := h.rng(purposeMachine, 0)
	begin := time.Unix(t.first()*60, 0)
	m.state = state{Minute: t.first(), Boot: 1 + uint32(r.IntN(200)), BootedAt: evidence.Ticks(begin.Add(-time.Duration(3+r.IntN(9)) * time.Hour))}
	m.state.Started = m.state.BootedAt + int64(40*time.Second/100)
	for c := range m.state.Records {
		m.state.Records[c] = channels[c].first + r.Uint64N(channels[c].first)
	}
	return m
}

// positionSize is that of an encoded position in bytes.
var positionSize = 8 + binary.Size(state{})

var errPosition = errors.New("the spool holds a position of another version of the simulation")

// parsePosition splits a position into the item's sequence number and the state
// before its minute.
func parsePosition(b []byte) (sequence uint64, before state, err error) {
	if len(b) != positionSize {
		return 0, state{}, errPosition
	}
	if err := binary.Read(bytes.NewReader(b[8:]), binary.BigEndian, &before); err != nil {
		return 0, state{}, fmt.Errorf("%w: %w", errPosition, err)
	}
	return binary.BigEndian.Uint64(b), before, nil
}

// minute makes the items of the next minute, in order of time.
func (m *machine) minute() []item {
	before, err := binary.Append(nil, binary.BigEndian, m.state)
	if err != nil {
		panic(err) // a struct of fixed size
	}
	start := time.Unix(m.state.Minute*60, 0).UTC()
	b := &builder{machine: m, start: start, rand: m.host.rng(purposeMinute, uint64(m.state.Minute))}
	m.state.Minute++
	if m.silent(start) {
		return nil
	}
	on := m.on(start)
	switch {
	case m.missing(start):
		// The log is written all the while; nobody reads it.
		m.state.Records[security] += 3
		m.state.Records[sysmon] += 5
		return nil
	case on && m.state.Off:
		m.state.Off = false
		b.boot()
		b.health(m.host.phase)
	case on:
		b.ordinary()
		b.scripted()
		b.health(m.host.phase)
	case !m.state.Off:
		m.state.Off = true
		b.shutdown()
	}
	return m.finish(b, before)
}

// finish puts the items in order and gives each its place: record ids without a
// hole, and a position.
func (m *machine) finish(b *builder, before []byte) []item {
	slices.SortStableFunc(b.items, func(x, y item) int { return x.at.Compare(y.at) })
	for i := range b.items {
		it := &b.items[i]
		m.state.Sequence++
		it.position = append(binary.BigEndian.AppendUint64(make([]byte, 0, positionSize), m.state.Sequence), before...)
		if it.record == nil {
			it.boot, it.uptime = m.state.Boot, evidence.Ticks(it.at)-m.state.BootedAt
			it.health = m.health(it.at)
			if m.state.Off {
				// The agent ends with the host; what is written after this is read
				// when it runs again, and counts from then.
				m.state.Seen = [channelCount]uint64{}
			}
			continue
		}
		c := b.channels[it.record]
		m.state.Records[c]++
		m.state.Seen[c]++
		it.record.RecordID = m.state.Records[c]
	}
	return b.items
}

// on reports whether the host runs in the minute that begins at t.
func (m *machine) on(t time.Time) bool {
	minute := t.Unix() / 60
	for _, s := range m.time.Stops {
		if minute > s.After && minute < s.Until {
			return false
		}
	}
	return !m.night(t)
}

// startHour is the hour of the day, on the organisation's clocks, at which a
// fleet is first started: nobody wants to demonstrate an office at night.
const startHour = 14

// clock is the organisation's time of day at t.
func (m *machine) clock(t time.Time) time.Duration {
	const day = 24 * time.Hour
	return ((t.Sub(m.time.Start)+startHour*time.Hour)%day + day) % day
}

// night reports whether the host is one that is switched off at night, and it
// is night.
func (m *machine) night(t time.Time) bool {
	if !m.host.nightly {
		return false
	}
	offset := time.Duration(m.host.rng(purposeNight, 0).IntN(50)) * time.Minute
	c := m.clock(t)
	return c >= 19*time.Hour+offset || c < 6*time.Hour+offset/2
}

func (m *machine) silent(t time.Time) bool { return m.holds(goSilent, t) }

func (m *machine) missing(t time.Time) bool { return m.holds(loseRecords, t) }

// holds reports whether a step of that kind is in force at the end of the
// minute that begins at t.
func (m *machine) holds(a act, t time.Time) bool {
	return slices.ContainsFunc(m.steps, func(s Step) bool {
		return s.act == a && s.active(m.time.Start, t.Add(30*time.Second))
	})
}

// unaudited lists the subcategories that are not audited at t.
func (m *machine) unaudited(t time.Time) []string {
	var list []string
	for a, subcategory := range map[act]string{removeProcessCreation: subcategoryProcessCreation, removeLogon: subcategoryLogon} {
		if slices.ContainsFunc(m.steps, func(s Step) bool { return s.act == a && s.active(m.time.Start, t) }) {
			list = append(list, subcategory)
		}
	}
	return list
}

// realtimeOn reports how the protection stands at t.
func (m *machine) realtimeOn(t time.Time) bool {
	return !slices.ContainsFunc(m.steps, func(s Step) bool { return s.act == realtimeOff && s.active(m.time.Start, t) })
}

// health is the agent's statement at a moment.
func (m *machine) health(at time.Time) *telemetryv1.SourceHealth {
	h := &telemetryv1.SourceHealth{StartedAt: m.state.Started, Sources: make([]*telemetryv1.SourceState, channelCount)}
	for c := range channels {
		info := &channels[c]
		s := &telemetryv1.SourceState{
			Source: info.source, Channel: info.name, Running: true, Capabilities: info.capabilities,
			Position: m.state.Records[c], Seen: m.state.Seen[c],
		}
		if gone := m.unaudited(at); channel(c) == security && len(gone) > 0 {
			s.Capabilities = without(gone)
		}
		h.Sources[c] = s
	}
	return h
}

// builder collects the items of a minute.
type builder struct {
	*machine
	start    time.Time
	rand     *rand.Rand
	items    []item
	channels map[*winevent.Record]channel
}

// second is a moment of the minute.
func (b *builder) second(s float64) time.Time {
	return b.start.Add(time.Duration(s * float64(time.Second)))
}

// moment is any moment of the minute that leaves room for what follows within
// the given seconds.
func (b *builder) moment(room float64) time.Time { return b.second(b.rand.Float64() * (60 - room)) }

// add takes records, each at its own time.
func (b *builder) add(records ...*winevent.Record) {
	if b.channels == nil {
		b.channels = map[*winevent.Record]channel{}
	}
	for _, r := range records {
		b.channels[r] = channelOf(r.Channel)
		b.items = append(b.items, item{at: r.Time, record: r})
	}
}

func (b *builder) health(second int) { b.items = append(b.items, item{at: b.second(float64(second))}) }

func channelOf(name string) channel {
	for c := range channels {
		if channels[c].name == name {
			return channel(c)
		}
	}
	panic("fleet: no channel " + name)
}
