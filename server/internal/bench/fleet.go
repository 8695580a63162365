package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/evaluate"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/project"
)

// Evaluation is how fast a fleet is judged, in hosts a second.
type Evaluation struct {
	FromPostgres float64 `json:"from_postgres_hosts_per_s"`
	Alone        float64 `json:"alone_hosts_per_s"`
}

// facts are a day of one host.
type facts struct {
	host     assay.Host
	hits     []assay.Hit
	coverage []assay.CoverageRange
	metrics  []assay.Metric
}

const (
	securityChannel = "Security"
	sysmonChannel   = "Microsoft-Windows-Sysmon/Operational"
	systemChannel   = "System"
	defenderChannel = "Microsoft-Windows-Windows Defender/Operational"
)

// aDay makes the facts of a workstation that reported all day up to instant, was
// off for ten minutes of it and, one in ten, had its log cleared.
func aDay(number int, instant time.Time) *facts {
	r := rand.New(rand.NewPCG(uint64(number), 7))
	f := &facts{host: assay.Host{Kind: assay.EnrolledHost, Name: fmt.Sprintf("WS-%05d", number), OS: "windows", CreatedAt: instant.Add(-72 * time.Hour)}}
	for i := range f.host.ID {
		f.host.ID[i] = byte(r.Uint32())
	}
	hit := func(check, selector, channel string, id uint32, minutes int, fields map[string]string) {
		at := instant.Add(-time.Duration(minutes) * time.Minute)
		ref := assay.EventRef{Position: uint64(len(f.hits)), Ordinal: uint32(number % 400)}
		f.hits = append(f.hits, assay.Hit{Host: f.host.ID, Check: check, Selector: selector, Ref: ref, ObservedAt: at, ReceivedAt: at, BookedAt: at,
			Mode: assay.Live, Grade: assay.GradeC, Source: "event_log", Channel: channel, Provider: "Provider", EventID: id, RecordID: ref.Position, Fields: fields})
	}
	for hour := range 12 {
		state := map[string]string{"RTP state": "Enabled", "OA state": "Enabled", "IOAV state": "Enabled", "BM state": "Enabled"}
		hit("av.realtime", "report", defenderChannel, 1151, 120*hour+r.IntN(60), state)
		hit("av.current", "report", defenderChannel, 1151, 120*hour+r.IntN(60), map[string]string{"Last AV security intelligence age": fmt.Sprint(r.IntN(3))})
	}
	hit("av.current", "updated", defenderChannel, 2000, 700, map[string]string{})
	hit("log.stop", "service_stop", securityChannel, 1100, 500, map[string]string{})
	hit("log.stop", "shutdown", systemChannel, 13, 499, map[string]string{})
	hit("agent.alive", "shutdown", systemChannel, 13, 499, map[string]string{})
	hit("time.changed", "audited", securityChannel, 4616, 480, map[string]string{"ProcessName": `C:\Windows\System32\svchost.exe`})
	hit("media.known_device", "recognised", securityChannel, 6416, 300, map[string]string{"DeviceId": `USBSTOR\DISK&VEN_KINGSTON\1&0`})
	if number%10 == 0 {
		hit("log.cleared", "security", securityChannel, 1102, 100, map[string]string{"SubjectUserName": "mallory"})
	}
	f.cover(instant)
	f.measure(instant)
	return f
}

func (f *facts) cover(instant time.Time) {
	off := instant.Add(-499 * time.Minute)
	on := off.Add(10 * time.Minute)
	for _, source := range []struct {
		name, channel string
		capabilities  []string
		grade         assay.Grade
	}{
		{"event_log", securityChannel, []string{"log.security", "audit.policy_change", "audit.security_state_change", "audit.pnp"}, assay.GradeC},
		{"event_log", systemChannel, []string{"log.system"}, assay.GradeC},
		{"event_log", defenderChannel, []string{"log.defender"}, assay.GradeC},
		{"sysmon", sysmonChannel, []string{"process.start", "file.change", "network.connect", "dns.query", "dns.answer"}, assay.GradeB},
	} {
		for _, capability := range source.capabilities {
			r := assay.CoverageRange{Host: f.host.ID, Source: source.name, Channel: source.channel, Capability: capability, Grade: source.grade,
				State: assay.Covered, Mode: assay.Live, From: f.host.CreatedAt, To: off}
			f.coverage = append(f.coverage, r)
			r.From, r.To, r.State, r.Reason = off, on, assay.ExplainedOff, "shut down"
			f.coverage = append(f.coverage, r)
			r.From, r.To, r.State, r.Reason = on, instant, assay.Covered, ""
			f.coverage = append(f.coverage, r)
		}
	}
}

func (f *facts) measure(instant time.Time) {
	for _, day := range []time.Time{instant.UTC().Truncate(24 * time.Hour), instant.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)} {
		for _, bound := range []string{"1", "5", "15", "60", "300", "900", "3600", "86400"} {
			f.metrics = append(f.metrics, assay.Metric{Host: f.host.ID, Name: "forward_lag", Key: bound, Day: day, Good: 40_000, Total: 40_000})
		}
		for _, table := range []string{"win_process_events", "win_file_events", "win_logon_events", "win_registry_events"} {
			f.metrics = append(f.metrics, assay.Metric{Host: f.host.ID, Name: "fields", Key: table, Day: day, Good: 9_990, Total: 10_000})
		}
	}
}

// evaluation measures n hosts with their facts in db, then without a database.
func evaluation(ctx context.Context, db *database, n int) (Evaluation, error) {
	instant := db.cluster.now().UTC().Truncate(time.Minute)
	all := make([]*facts, n)
	for i := range all {
		all[i] = aDay(i, instant)
	}
	if err := store(ctx, db, all, instant); err != nil {
		return Evaluation{}, err
	}
	library, err := framework.Load()
	if err != nil {
		return Evaluation{}, err
	}
	assessor := assess.New(assess.Config{Store: db.Store, Library: library, Now: db.cluster.now, Logger: slog.New(slog.DiscardHandler)})
	var result Evaluation
	runtime.GC()
	start := time.Now()
	snapshot, err := assessor.Evaluate(ctx, instant, 0)
	if err != nil {
		return Evaluation{}, err
	}
	result.FromPostgres = float64(n) / time.Since(start).Seconds()
	if err := judged(snapshot, n, len(library.Checks())); err != nil {
		return Evaluation{}, err
	}
	inputs := make([]evaluate.Inputs, n)
	for i, f := range all {
		inputs[i] = f.inputs(library, instant)
	}
	runtime.GC()
	start = time.Now()
	verdicts := 0
	for i := range inputs {
		verdicts += len(evaluate.Evaluate(inputs[i], 1<<20, instant).Verdicts)
	}
	result.Alone = float64(n) / time.Since(start).Seconds()
	if verdicts != n*len(library.Checks()) {
		return Evaluation{}, fmt.Errorf("evaluating %d hosts: %d verdicts", n, verdicts)
	}
	return result, nil
}

// judged makes sure that what was timed was the judging of facts: every host,
// every check, and a finding on each host whose log was cleared.
func judged(s *assess.Snapshot, hosts, checks int) error {
	verdicts := 0
	for _, v := range s.Verdicts {
		verdicts += len(v)
	}
	if len(s.Hosts) != hosts || verdicts != hosts*checks || len(s.Findings) < hosts/10 {
		return fmt.Errorf("evaluating %d hosts by %d checks: %d hosts, %d verdicts, %d findings", hosts, checks, len(s.Hosts), verdicts, len(s.Findings))
	}
	return nil
}

func (f *facts) inputs(library *framework.Library, instant time.Time) evaluate.Inputs {
	return evaluate.Inputs{
		Host: evaluate.Host{ID: f.host.ID, OS: f.host.OS, FirstSeen: f.host.CreatedAt}, Library: library, Hits: f.hits, Coverage: f.coverage,
		Metrics: f.metrics, Health: evaluate.Health{At: instant}, From: f.host.CreatedAt, LedgerSince: f.host.CreatedAt, Watermark: instant,
	}
}

// store copies the facts into db, as if projected up to instant.
func store(ctx context.Context, db *database, all []*facts, instant time.Time) error {
	var hosts, activity, hits, ranges, metrics, cursors [][]any
	for _, f := range all {
		h := &f.host
		id := [16]byte(h.ID)
		hosts = append(hosts, []any{id, string(h.Kind), h.Name, h.OS, h.CreatedAt})
		activity = append(activity, []any{id, int64(40_000), h.CreatedAt, instant, instant, instant})
		for i := range f.hits {
			hit := &f.hits[i]
			hits = append(hits, []any{id, hit.Check, hit.Selector, int64(hit.Ref.Position), int32(hit.Ref.Ordinal), hit.ObservedAt, hit.ReceivedAt, hit.BookedAt,
				hit.ClockFault, string(hit.Mode), int16(hit.Grade), hit.Source, hit.Channel, hit.Provider, int64(hit.EventID), int64(hit.RecordID), hit.Fields})
		}
		for i := range f.coverage {
			r := &f.coverage[i]
			ranges = append(ranges, []any{id, r.Source, r.Channel, r.Capability, r.From, r.To, string(r.State), string(r.Mode), int16(r.Grade), r.Reason,
				int64(0), int32(0), int64(0), int32(0)})
		}
		for i := range f.metrics {
			m := &f.metrics[i]
			metrics = append(metrics, []any{id, m.Name, m.Key, m.Day, int64(m.Good), int64(m.Total)})
		}
	}
	for _, pass := range project.PassNames() {
		for lane := range project.Lanes {
			cursors = append(cursors, []any{pass, int16(lane), int32(1), int64(0), instant})
		}
	}
	for _, t := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"host", []string{"id", "kind", "name", "os", "created_at"}, hosts},
		{"host_activity", []string{"host_id", "events", "first_observed", "last_observed", "last_received", "last_health"}, activity},
		{"hit", []string{"host_id", "check_id", "selector", "position", "ordinal", "observed_at", "received_at", "booked_at", "clock_fault", "mode", "grade",
			"source", "channel", "provider", "event_id", "record_id", "fields"}, hits},
		{"coverage_range", []string{"host_id", "source", "channel", "capability", "starts_at", "ends_at", "state", "mode", "grade", "reason",
			"since_position", "since_ordinal", "until_position", "until_ordinal"}, ranges},
		{"metric", []string{"host_id", "name", "key", "day", "good", "total"}, metrics},
		{"projection_cursor", []string{"pass", "lane", "version", "position", "watermark"}, cursors},
	} {
		if _, err := db.pool.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
			return fmt.Errorf("storing facts in %s: %w", t.name, err)
		}
	}
	if _, err := db.pool.Exec(ctx, `UPDATE ledger_head SET size = $1; ANALYZE`, pgx.QueryExecModeSimpleProtocol, 1<<20); err != nil {
		return fmt.Errorf("stating the ledger's size: %w", err)
	}
	return nil
}
