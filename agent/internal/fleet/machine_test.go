package fleet

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/winevent"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

var testStart = time.Date(2026, 3, 2, 15, 4, 0, 0, time.UTC)

func testTimeline() *timeline {
	return &timeline{Seed: 7, Start: testStart, Backfill: 48 * time.Hour, Rate: 1}
}

// past makes everything of a host up to a time.
func past(m *machine, until time.Time) []item {
	var all []item
	for m.state.Minute < until.Unix()/60 {
		all = append(all, m.minute()...)
	}
	return all
}

// made is the past of a whole fleet; nobody changes it.
var made = sync.OnceValue(func() map[string][]item {
	all := map[string][]item{}
	for _, h := range Hosts(7, fleetSize) {
		all[h.Name] = past(newMachine(h, testTimeline()), testStart)
	}
	return all
})

func world(t *testing.T) map[string][]item {
	t.Helper()
	return made()
}

func TestRecordsAreContiguousAndInOrder(t *testing.T) {
	t.Parallel()
	gap := scriptedHost(t, loseRecords)
	for host, items := range world(t) {
		newest := map[string]uint64{}
		var at time.Time
		jumps := 0
		for i := range items {
			it := &items[i]
			if it.at.Before(at) {
				t.Fatalf("%s: %v after %v", host, it.at, at)
			}
			at = it.at
			if it.record == nil {
				continue
			}
			r := it.record
			if !r.Time.Equal(it.at.Truncate(100 * time.Nanosecond)) {
				t.Fatalf("%s: record %d of %s at %v is emitted at %v", host, r.RecordID, r.Channel, r.Time, it.at)
			}
			if before := newest[r.Channel]; before != 0 && r.RecordID != before+1 {
				if r.RecordID < before || host != gap {
					t.Fatalf("%s %s: record %d after %d", host, r.Channel, r.RecordID, before)
				}
				jumps++
			}
			newest[r.Channel] = r.RecordID
		}
		if host == gap && jumps == 0 {
			t.Errorf("%s: no record is missing", host)
		}
	}
}

// scriptedHost is the name of the host of a step.
func scriptedHost(t *testing.T, a act) string {
	t.Helper()
	for _, s := range Script() {
		if s.act == a {
			return s.Host
		}
	}
	t.Fatalf("the script has no act %d", a)
	return ""
}

func TestVolume(t *testing.T) {
	t.Parallel()
	total, health := 0, 0
	kinds := map[string]int{}
	for _, items := range world(t) {
		total += len(items)
		for i := range items {
			if items[i].record == nil {
				health++
				continue
			}
			kinds[fmt.Sprintf("%s %d", items[i].record.Provider, items[i].record.EventID)]++
		}
	}
	t.Logf("%d items, %d of health, %v", total, health, kinds)
	if total < 150_000 || total > 250_000 || health < 60_000 || health > 72_000 {
		t.Errorf("%d items, %d of them health: a demonstration has 150,000 to 250,000", total, health)
	}
	for _, want := range []string{
		"Microsoft-Windows-Security-Auditing 4624", "Microsoft-Windows-Security-Auditing 4625", "Microsoft-Windows-Security-Auditing 4634",
		"Microsoft-Windows-Security-Auditing 4672", "Microsoft-Windows-Security-Auditing 4688", "Microsoft-Windows-Security-Auditing 4698",
		"Microsoft-Windows-Security-Auditing 4702", "Microsoft-Windows-Security-Auditing 6416", "Microsoft-Windows-Partition 1006",
		"Microsoft-Windows-Sysmon 1", "Microsoft-Windows-Sysmon 3", "Microsoft-Windows-Sysmon 5", "Microsoft-Windows-Sysmon 11",
		"Microsoft-Windows-Sysmon 13", "Microsoft-Windows-Sysmon 22", "Microsoft-Windows-Windows Defender 1150",
		"Microsoft-Windows-Windows Defender 1151", "Microsoft-Windows-Windows Defender 2000", "Microsoft-Windows-PowerShell 4104",
		"Service Control Manager 7036", "Service Control Manager 7040", "Microsoft-Windows-Kernel-General 12", "Microsoft-Windows-Kernel-General 13",
		"User32 1074", "EventLog 6005", "EventLog 6006",
	} {
		if kinds[want] == 0 {
			t.Errorf("no %s", want)
		}
	}
}

// text is all that an item says.
func text(t *testing.T, it *item) string {
	t.Helper()
	var b []byte
	var err error
	if it.record != nil {
		b, err = proto.MarshalOptions{Deterministic: true}.Marshal((&winevent.Normaliser{}).Normalise(it.record))
	} else {
		b, err = proto.MarshalOptions{Deterministic: true}.Marshal(it.health)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v %d %d %s", it.at, it.boot, it.uptime, b)
}

func TestSameSeedSameWorld(t *testing.T) {
	t.Parallel()
	host := Hosts(7, 21)[20]
	one, two := past(newMachine(host, testTimeline()), testStart), past(newMachine(host, testTimeline()), testStart)
	if len(one) != len(two) {
		t.Fatalf("%d items and then %d", len(one), len(two))
	}
	for i := range one {
		if text(t, &one[i]) != text(t, &two[i]) || string(one[i].position) != string(two[i].position) {
			t.Fatalf("item %d differs: %v, %v", i, text(t, &one[i]), text(t, &two[i]))
		}
	}
	other := newMachine(Hosts(8, 21)[20], &timeline{Seed: 8, Start: testStart, Backfill: 48 * time.Hour, Rate: 1})
	if three := past(other, testStart); text(t, &one[0]) == text(t, &three[0]) && len(one) == len(three) {
		t.Error("another seed gives the same world")
	}
}

// A machine goes on from the position of any item as if it had never stopped.
func TestPositionHoldsAllState(t *testing.T) {
	t.Parallel()
	host := Hosts(7, 16)[15]
	m := newMachine(host, testTimeline())
	all := past(m, testStart)
	for _, i := range []int{0, 1, len(all) / 3, len(all) / 2, len(all) - 1} {
		sequence, before, err := parsePosition(all[i].position)
		if err != nil {
			t.Fatal(err)
		}
		if sequence != uint64(i+1) {
			t.Fatalf("item %d has sequence number %d", i, sequence)
		}
		again := newMachine(host, testTimeline())
		again.state = before
		rest := past(again, testStart)
		// The minute is made again from its beginning.
		rest = slices.DeleteFunc(rest, func(it item) bool {
			n, _, err := parsePosition(it.position)
			return err != nil || n <= sequence
		})
		if len(rest) != len(all)-i-1 {
			t.Fatalf("from item %d: %d items, want %d", i, len(rest), len(all)-i-1)
		}
		for k := range rest {
			if text(t, &rest[k]) != text(t, &all[i+1+k]) {
				t.Fatalf("from item %d: item %d differs", i, i+1+k)
			}
		}
	}
	if _, _, err := parsePosition([]byte("another version")); err == nil {
		t.Error("a foreign position is taken")
	}
}

// What agents state lets nobody doubt that nothing was missed.
func TestHealthIsContiguous(t *testing.T) {
	t.Parallel()
	gap, silent := scriptedHost(t, loseRecords), scriptedHost(t, goSilent)
	for host, items := range world(t) {
		var before *item
		silences := 0
		for i := range items {
			it := &items[i]
			if it.health == nil {
				continue
			}
			checkStatement(t, host, before, it, gap, &silences)
			before = it
		}
		last := testStart.Sub(before.at)
		if host == silent != (last > 4*time.Hour && last < 6*time.Hour) {
			t.Errorf("%s: the last statement is %v old", host, last)
		}
		if host == gap && silences != 1 {
			t.Errorf("%s: %d silences", host, silences)
		}
	}
}

func checkStatement(t *testing.T, host string, before, now *item, gap string, silences *int) {
	t.Helper()
	if len(now.health.GetSources()) != int(channelCount) {
		t.Fatalf("%s: %d sources", host, len(now.health.GetSources()))
	}
	if before == nil {
		return
	}
	off := now.boot != before.boot
	if off && (now.uptime <= 0 || now.uptime > int64(time.Minute/100)) {
		t.Errorf("%s: up for %d ticks at the first statement after a start", host, now.uptime)
	}
	if off == (now.health.GetStartedAt() == before.health.GetStartedAt()) {
		t.Errorf("%s: the agent and the host do not start together", host)
	}
	silence := now.at.Sub(before.at)
	if silence > 2*time.Minute && !off {
		if *silences++; host != gap || silence < 35*time.Minute {
			t.Errorf("%s: silent for %v at %v", host, silence, now.at)
		}
	}
	missing := uint64(0)
	for c, s := range now.health.GetSources() {
		was := before.health.GetSources()[c]
		seen := s.GetSeen()
		if !off {
			seen -= was.GetSeen()
		}
		if s.GetPosition() < was.GetPosition() || seen > s.GetSeen() {
			t.Fatalf("%s: counters went back", host)
		}
		if moved := s.GetPosition() - was.GetPosition(); moved > seen {
			missing += moved - seen
		}
	}
	if (missing > 0) != (host == gap && silence > 30*time.Minute) {
		t.Errorf("%s: %d records missing at %v", host, missing, now.at)
	}
}

// A night off is explained: a stop record right after the last statement.
func TestNightsAreExplained(t *testing.T) {
	t.Parallel()
	nights := 0
	for _, items := range world(t) {
		var health, stopped time.Time
		var boot uint32
		for i := range items {
			it := &items[i]
			if r := it.record; r != nil && r.EventID == 13 && r.Provider == "Microsoft-Windows-Kernel-General" {
				stopped = it.at
			}
			if it.health == nil {
				continue
			}
			if boot != 0 && it.boot != boot {
				nights++
				if d := stopped.Sub(health); d < 0 || d > time.Minute {
					t.Errorf("stopped %v after the last statement", d)
				}
				if it.at.Sub(stopped) < 4*time.Hour {
					t.Errorf("off for %v only", it.at.Sub(stopped))
				}
			}
			health, boot = it.at, it.boot
		}
	}
	if nights < 8 {
		t.Errorf("%d nights", nights)
	}
}

func TestCapabilitiesAreInTheVocabulary(t *testing.T) {
	t.Parallel()
	for _, c := range channels {
		for _, capability := range c.capabilities {
			if !telemetry.Capability(capability) {
				t.Errorf("%s: no capability %q", c.name, capability)
			}
		}
		if !strings.EqualFold(c.source, "sysmon") && c.source != "event_log" {
			t.Errorf("%s: no source %q", c.name, c.source)
		}
	}
}

// Every record becomes a row of its table, or a log record where there is none.
func TestRecordsAreNormalised(t *testing.T) {
	t.Parallel()
	logRecords := map[string]bool{ // ids without a table
		"Microsoft-Windows-Security-SPP 16394": true, "Microsoft-Windows-WindowsUpdateClient 19": true,
	}
	var n winevent.Normaliser
	for host, items := range world(t) {
		for i := range items {
			r := items[i].record
			if r == nil {
				continue
			}
			ev := n.Normalise(r)
			id := fmt.Sprintf("%s %d", r.Provider, r.EventID)
			if _, plain := ev.GetBody().(*telemetryv1.Event_LogRecord); plain != logRecords[id] {
				t.Fatalf("%s: %s is a log record: %v", host, id, plain)
			}
			if ev.GetGrade() == telemetryv1.Grade_GRADE_UNSPECIFIED || ev.GetPosition().GetRecordId() == 0 || ev.GetObservedAt() == 0 {
				t.Fatalf("%s: %s lacks grade, position or time", host, id)
			}
		}
	}
}
