package evaluate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// aDay is a day of facts of a healthy workstation: about 30 hits, mostly health
// reports of the antivirus, and about 20 coverage ranges.
func aDay(b *testing.B, host int) Inputs {
	b.Helper()
	r := rand.New(rand.NewPCG(uint64(host), 3))
	in := Inputs{
		Watermark: fixtureInstant, LedgerSince: fixtureInstant.Add(-72 * time.Hour), Parameters: map[string]map[string]string{"fim.live": {"paths": `C:\x`}},
		Host:          Host{ID: assay.HostID{byte(host), byte(host >> 8)}, FirstSeen: fixtureInstant.Add(-72 * time.Hour)},
		Verifications: []Verification{{At: fixtureInstant.Add(-50 * time.Hour), Good: true}, {At: fixtureInstant.Add(-30 * time.Hour), Good: true}, {At: fixtureInstant.Add(-8 * time.Hour), Good: true}},
		Lists:         map[string]List{"removable_devices": {Entries: []ListEntry{{Value: `*&VEN_KINGSTON*`}}}},
	}
	position := uint64(1)
	add := func(check, selector, channel string, id uint32, minutes int, fields map[string]string) {
		at := fixtureInstant.Add(-time.Duration(minutes) * time.Minute)
		position++
		in.Hits = append(in.Hits, assay.Hit{
			Check: check, Selector: selector, Channel: channel, EventID: id, RecordID: position, Grade: assay.GradeC, Fields: fields,
			Ref: assay.EventRef{Position: position}, ObservedAt: at, ReceivedAt: at, BookedAt: at, Mode: assay.Live,
		})
	}
	const defender = "Microsoft-Windows-Windows Defender/Operational"
	for hour := range 12 {
		state := map[string]string{"RTP state": "Enabled", "OA state": "Enabled", "IOAV state": "Enabled", "BM state": "Enabled"}
		add("av.realtime", "report", defender, 1151, 120*hour+r.IntN(60), state)
		add("av.current", "report", defender, 1151, 120*hour+r.IntN(60), map[string]string{"Last AV security intelligence age": fmt.Sprint(r.IntN(3))})
	}
	add("av.current", "updated", defender, 2000, 700, nil)
	add("log.stop", "service_stop", security, 1100, 500, nil)
	add("log.stop", "shutdown", system, 13, 499, nil)
	add("agent.alive", "shutdown", system, 13, 499, nil)
	add("time.changed", "audited", security, 4616, 480, map[string]string{"ProcessName": `C:\Windows\System32\svchost.exe`})
	add("media.known_device", "recognised", security, 6416, 300, map[string]string{"DeviceId": `USBSTOR\DISK&VEN_KINGSTON\1&0`})
	if host%10 == 0 {
		add("log.cleared", "security", security, 1102, 100, map[string]string{"SubjectUserName": "mallory"})
	}
	for _, c := range []struct {
		source, channel string
		capabilities    []string
		grade           assay.Grade
	}{
		{"event_log", security, []string{"log.security", "audit.policy_change", "audit.security_state_change", "audit.pnp"}, assay.GradeC},
		{"event_log", system, []string{"log.system"}, assay.GradeC},
		{"event_log", defender, []string{"log.defender"}, assay.GradeC},
		{"sysmon", "Microsoft-Windows-Sysmon/Operational", []string{"process.start", "file.change", "network.connect", "dns.query", "dns.answer"}, assay.GradeB},
	} {
		for _, capability := range c.capabilities {
			off := fixtureInstant.Add(-499 * time.Minute)
			on := off.Add(10 * time.Minute)
			base := assay.CoverageRange{Source: c.source, Channel: c.channel, Capability: capability, Grade: c.grade, State: assay.Covered, Mode: assay.Live}
			first, second, third := base, base, base
			first.From, first.To = fixtureInstant.Add(-72*time.Hour), off
			second.From, second.To, second.State, second.Reason = off, on, assay.ExplainedOff, "shut down"
			third.From, third.To = on, fixtureInstant
			in.Coverage = append(in.Coverage, first, third)
			if capability == c.capabilities[0] {
				in.Coverage = append(in.Coverage, second)
			}
		}
	}
	return in
}

// BenchmarkEvaluate judges a thousand hosts per operation.
func BenchmarkEvaluate(b *testing.B) {
	library := load(b)
	hosts := make([]Inputs, 1000)
	hits, ranges := 0, 0
	for i := range hosts {
		hosts[i] = aDay(b, i)
		hosts[i].Library = library
		hits, ranges = hits+len(hosts[i].Hits), ranges+len(hosts[i].Coverage)
	}
	b.ReportAllocs()
	for b.Loop() {
		var all []assay.Verdict
		for i := range hosts {
			all = append(all, Evaluate(hosts[i], 1000, fixtureInstant).Verdicts...)
		}
		if len(all) != 18*len(hosts) {
			b.Fatal(len(all))
		}
	}
	b.ReportMetric(float64(len(hosts))*float64(b.N)/b.Elapsed().Seconds(), "hosts/s")
	b.ReportMetric(float64(hits)/1000, "hits/host")
	b.ReportMetric(float64(ranges)/1000, "ranges/host")
}

// BenchmarkMap hashes the states of a thousand hosts.
func BenchmarkMap(b *testing.B) {
	verdicts := someVerdicts(9000)
	for b.Loop() {
		m, err := NewMap(verdicts)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Root(); err != nil {
			b.Fatal(err)
		}
	}
}
