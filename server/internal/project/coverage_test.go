package project

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// timeline feeds statements to a builder through a memory that is encoded and
// decoded between any two, as between two batches.
type timeline struct {
	t      *testing.T
	memory CoverageMemory
	ranges map[rangeKey]assay.CoverageRange
	next   uint64
}

func newTimeline(t *testing.T) *timeline {
	return &timeline{t: t, ranges: map[rangeKey]assay.CoverageRange{}}
}

func (l *timeline) add(minute float64, body *telemetryv1.Event) {
	l.t.Helper()
	l.next++
	ev := &Event{Ref: assay.EventRef{Position: l.next}, Mode: assay.Live, Body: body}
	ev.BookedAt = noon.Add(time.Duration(minute * float64(time.Minute)))
	ev.ObservedAt = ev.BookedAt
	b := &coverageBuilder{memory: &l.memory, changed: map[rangeKey]assay.CoverageRange{}}
	b.observe(ev)
	for key, r := range b.changed {
		l.ranges[key] = r
	}
	text, err := l.memory.encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.memory = CoverageMemory{}
	if err := json.Unmarshal(text, &l.memory); err != nil {
		l.t.Fatal(err)
	}
}

type sourceOption func(*telemetryv1.Event, *telemetryv1.SourceState)

func (l *timeline) health(minute float64, position uint64, options ...sourceOption) {
	l.t.Helper()
	state := &telemetryv1.SourceState{
		Source: "event_log", Channel: "Security", Running: true, Capabilities: []string{"log.security"}, Position: position, Seen: position,
	}
	ev := &telemetryv1.Event{BootId: "boot-1", Body: &telemetryv1.Event_SourceHealth{SourceHealth: &telemetryv1.SourceHealth{StartedAt: 1, Sources: []*telemetryv1.SourceState{state}}}}
	for _, option := range options {
		option(ev, state)
	}
	l.add(minute, ev)
}

// want compares the ranges of a capability as "state reason from-to" in minutes.
func (l *timeline) want(capability string, want ...string) {
	l.t.Helper()
	var keys []rangeKey
	for key := range l.ranges {
		if key.capability == capability {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b rangeKey) int { return a.from.Compare(b.from) })
	var got []string
	for _, key := range keys {
		r := l.ranges[key]
		minutes := func(t time.Time) string { return t.Sub(noon).String() }
		got = append(got, strings.Join(strings.Fields(string(r.State)+" "+string(r.Mode)+" "+r.Reason+" "+minutes(r.From)+" "+minutes(r.To)), " "))
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("ranges of %s:\n got %q\nwant %q", capability, got, want)
	}
}

func TestCoverageExtendsInPlace(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	for minute := range 5 {
		l.health(float64(minute), uint64(100+minute))
	}
	l.want("log.security", "covered live 0s 4m0s")
}

func TestCoverageNamesWhatWasMissed(t *testing.T) {
	t.Parallel()
	missing := func(_ *telemetryv1.Event, s *telemetryv1.SourceState) { s.Seen -= 7 }
	lost := func(_ *telemetryv1.Event, s *telemetryv1.SourceState) { s.Lost = 3 }
	down := func(_ *telemetryv1.Event, s *telemetryv1.SourceState) {
		s.Running, s.Reason = false, "channel disabled"
	}
	blind := func(_ *telemetryv1.Event, s *telemetryv1.SourceState) { s.Capabilities = nil }
	tests := []struct {
		name string
		feed func(l *timeline)
		want []string
	}{
		{"records missing", func(l *timeline) { l.health(0, 100); l.health(1, 110, missing); l.health(2, 111, missing) },
			[]string{"unexplained live 7 records missing 0s 1m0s", "covered live 1m0s 2m0s"}},
		{"events lost", func(l *timeline) { l.health(0, 100); l.health(1, 110, lost); l.health(2, 111, lost) },
			[]string{"unexplained live lost 3 events 0s 1m0s", "covered live 1m0s 2m0s"}},
		{"not running", func(l *timeline) { l.health(0, 100); l.health(1, 101, down); l.health(2, 101, down); l.health(3, 102) },
			[]string{"unexplained live not running: channel disabled 0s 3m0s"}},
		{"capability missing", func(l *timeline) {
			l.health(0, 100)
			l.health(1, 101, blind)
			l.health(2, 102, blind)
			l.health(3, 103)
			l.health(4, 104)
		},
			[]string{"unexplained live capability missing 0s 2m0s", "covered live 2m0s 4m0s"}},
		{"position went back", func(l *timeline) {
			l.health(0, 100)
			l.health(1, 50, func(_ *telemetryv1.Event, s *telemetryv1.SourceState) { s.Seen = 101 })
		},
			[]string{"unexplained live position went back 0s 1m0s"}},
		{"silence", func(l *timeline) { l.health(0, 100); l.health(1, 101); l.health(61, 101) },
			[]string{"covered live 0s 1m0s", "unexplained live no health 1m0s 1h1m0s"}},
		{"source no longer reported", func(l *timeline) {
			l.health(0, 100)
			l.add(1, &telemetryv1.Event{BootId: "boot-1", Body: &telemetryv1.Event_SourceHealth{SourceHealth: &telemetryv1.SourceHealth{StartedAt: 1}}})
		}, []string{"unexplained live not running: not reported 0s 1m0s"}},
		{"older statement adds nothing", func(l *timeline) { l.health(5, 100); l.health(6, 101); l.health(2, 90) },
			[]string{"covered live 5m0s 6m0s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newTimeline(t)
			tt.feed(l)
			l.want("log.security", tt.want...)
		})
	}
}

func power(action string) *telemetryv1.Event {
	return &telemetryv1.Event{BootId: "boot-1", Body: &telemetryv1.Event_Power{Power: &telemetryv1.PowerEvent{Action: action}}}
}

func rebooted(uptime time.Duration) sourceOption {
	return func(ev *telemetryv1.Event, s *telemetryv1.SourceState) {
		ev.BootId, ev.InterruptTime = "boot-2", uint64(uptime/100)
		ev.GetSourceHealth().StartedAt = 2
		s.Seen = 10
	}
}

func TestCoverageExplainsShutdownOnly(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		feed func(l *timeline)
		want string
	}{
		{"shutdown and boot", func(l *timeline) { l.add(1.5, power("shutdown")); l.health(600, 111, rebooted(2*time.Minute)) }, "explained_off live shut down 1m0s 10h0m0s"},
		{"no stop record", func(l *timeline) { l.health(600, 211, rebooted(2*time.Minute)) }, "unexplained live 100 records missing 1m0s 10h0m0s"},
		{"same boot", func(l *timeline) { l.add(1.5, power("shutdown")); l.health(600, 101) }, "unexplained live no health 1m0s 10h0m0s"},
		{"up longer than it was away", func(l *timeline) { l.add(1.5, power("shutdown")); l.health(600, 211, rebooted(48*time.Hour)) }, "unexplained live 100 records missing 1m0s 10h0m0s"},
		{"stop long before the silence", func(l *timeline) { l.add(-30, power("shutdown")); l.health(600, 211, rebooted(time.Minute)) }, "unexplained live 100 records missing 1m0s 10h0m0s"},
		{"agent away, log read in full after", func(l *timeline) {
			l.health(600, 151, func(ev *telemetryv1.Event, s *telemetryv1.SourceState) {
				ev.GetSourceHealth().StartedAt = 2
				s.Seen = 50
			})
		}, "covered backfill 1m0s 10h0m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newTimeline(t)
			l.health(0, 100)
			l.health(1, 101)
			tt.feed(l)
			l.want("log.security", "covered live 0s 1m0s", tt.want)
		})
	}
}

func TestCoverageCutsGapOutOfOpenRange(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	for minute := range 11 {
		l.health(float64(minute), uint64(100+minute))
	}
	l.add(10.5, &telemetryv1.Event{Body: &telemetryv1.Event_Gap{Gap: &telemetryv1.Gap{
		Source: "event_log", Channel: "Security", From: evidence.Ticks(noon.Add(3 * time.Minute)), To: evidence.Ticks(noon.Add(5 * time.Minute)), Count: 12, Reason: "spool full",
	}}})
	l.health(11, 111)
	l.want("log.security", "covered live 0s 3m0s", "unexplained live lost 12 events: spool full 3m0s 5m0s", "covered live 5m0s 11m0s")
}

// TestCoverageCutsWhatTheSpoolLost: batches that a damaged spool lost had events of all
// sources that go by their stream.
func TestCoverageCutsWhatTheSpoolLost(t *testing.T) {
	t.Parallel()
	minute := func(n int) int64 { return evidence.Ticks(noon.Add(time.Duration(n) * time.Minute)) }
	whole, lost := []string{"covered live 0s 11m0s"}, "unexplained live lost 12 events: the spool was damaged "
	for _, tt := range []struct {
		name     string
		channel  string
		from, to int64
		want     []string
	}{
		{"bulk", "spool/bulk", minute(3), minute(5), []string{"covered live 0s 3m0s", lost + "3m0s 5m0s", "covered live 5m0s 11m0s"}},
		{"control", "spool/control", minute(3), minute(5), []string{"covered live 0s 3m0s", lost + "3m0s 5m0s", "covered live 5m0s 11m0s"}},
		{"an import", "spool/import", minute(3), minute(5), whole},
		{"neighbours that are not in order", "spool/bulk", minute(5), minute(3), []string{"covered live 0s 3m0s", lost + "3m0s 5m0s", "covered live 5m0s 11m0s"}},
		{"neighbours of one moment", "spool/bulk", minute(4), minute(4), []string{"covered live 0s 4m0s", lost + "4m0s 4m0.000001s", "covered live 4m0.000001s 11m0s"}},
		{"nothing before it", "spool/bulk", 0, minute(5), []string{lost + "0s 5m0s", "covered live 5m0s 11m0s"}},
		{"nothing behind it", "spool/bulk", minute(8), 0, []string{"covered live 0s 8m0s", lost + "8m0s 11m0s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newTimeline(t)
			for minute := range 11 {
				l.health(float64(minute), uint64(100+minute))
			}
			l.add(10.5, &telemetryv1.Event{Body: &telemetryv1.Event_Gap{Gap: &telemetryv1.Gap{
				Source: "agent", Channel: tt.channel, From: tt.from, To: tt.to, Count: 12, Reason: "the spool was damaged",
			}}})
			l.health(11, 111)
			l.want("log.security", tt.want...)
			l.health(12, 112)
			if last := tt.want[len(tt.want)-1]; !strings.HasPrefix(last, "covered") {
				l.want("log.security", append(tt.want, "covered live 11m0s 12m0s")...)
			}
		})
	}
}
