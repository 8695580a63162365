package project

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// log is a ledger that a test writes batches into, as the ingest would.
type log struct {
	t      *testing.T
	pool   *pgxpool.Pool
	store  *postgres.Store
	stream assay.StreamID
	host   assay.HostID
	next   uint64
}

var clearSelector = Selector{Check: "log.cleared", Name: "security", Keep: []string{"SubjectUserName"}, YAML: []byte(`
title: Security log cleared
id: 4dd4ac1c-8a5a-4a6e-9d8f-6d2a1c8a0001
logsource: {product: windows, service: security}
detection:
    selection: {EventID: 1102}
    condition: selection
`)}

func newLog(t *testing.T) *log {
	t.Helper()
	pool := pgtest.Pool(t)
	l := &log{t: t, pool: pool, store: postgres.New(postgres.Config{DB: pool, Now: func() time.Time { return noon }}),
		stream: assay.StreamID{1}, host: assay.HostID{2}}
	agent, token := [16]byte{3}, [16]byte{4}
	l.exec(`INSERT INTO host (id, kind, name, created_at) VALUES ($1, 'enrolled', 'pos-01', $2)`, [16]byte(l.host), noon)
	l.exec(`INSERT INTO enrolment_token (id, name, secret_hash, rights, uses_left, created_at, created_by, expires_at) VALUES ($1, 'test', $2, '{enrol,import}', 0, $3, 'test', $3)`, token, make([]byte, 32), noon)
	l.exec(`INSERT INTO agent (id, host_id, token_id, rights, key_kind, public_key, enrolled_at) VALUES ($1, $2, $3, '{enrol,import}', 'software', '', $4)`, agent, [16]byte(l.host), token, noon)
	l.exec(`INSERT INTO stream (id, agent_id, kind, lane, epoch, number, hash, next_sequence, opened_at) VALUES ($1, $2, 3, 0, 1, 0, $3, 1, $4)`, [16]byte(l.stream), agent, make([]byte, 32), noon)
	return l
}

func (l *log) exec(sql string, args ...any) {
	l.t.Helper()
	if _, err := l.pool.Exec(l.t.Context(), sql, args...); err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
}

// append commits one batch of events at the next position.
func (l *log) append(spoil func(payload []byte) []byte, events ...*telemetryv1.Event) {
	l.t.Helper()
	block := &telemetryv1.Block{Seed: bytes.Repeat([]byte{7}, evidence.SeedSize)}
	for _, ev := range events {
		raw, err := proto.Marshal(ev)
		if err != nil {
			l.t.Fatal(err)
		}
		block.Events = append(block.Events, raw)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		l.t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	payload := spoil(encoder.EncodeAll(raw, nil))
	header := evidence.Header{Kind: evidence.Import, Stream: evidence.StreamID(l.stream), Epoch: 1, Number: l.next + 1, FirstSequence: 1,
		EventCount: uint32(len(events)), PayloadSHA256: sha256.Sum256(payload), PayloadSize: uint32(len(payload)), RawSize: uint32(len(raw)),
		Commitments: evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents()))}
	l.exec(`INSERT INTO batch (position, stream_id, lane, epoch, number, certificate_serial, received_at, header, payload) VALUES ($1, $2, 0, 1, $3, '', $4, $5, $6)`,
		int64(l.next), [16]byte(l.stream), int64(l.next+1), noon.Add(time.Duration(l.next)*time.Second), header.Canonical(), payload)
	l.exec(`UPDATE ledger_head SET size = size + 1`)
	l.next++
}

func intact(payload []byte) []byte { return payload }

// cleared is an imported record of a cleared Security log.
func cleared(ordinal uint32, user string) *telemetryv1.Event {
	return &telemetryv1.Event{
		Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED, Host: "DC01.corp.example"},
		Source:  telemetryv1.Source_SOURCE_EVENT_LOG, Grade: telemetryv1.Grade_GRADE_C, Mode: telemetryv1.Mode_MODE_IMPORT,
		ObservedAt: evidence.Ticks(noon.Add(-time.Hour)), Position: &telemetryv1.Position{FileSha256: bytes.Repeat([]byte{9}, 32), Ordinal: ordinal},
		Raw: &telemetryv1.Raw{Provider: "Microsoft-Windows-Eventlog", EventId: 1102, Channel: "Security", Computer: "DC01.corp.example", RecordId: uint64(ordinal),
			UserData: &telemetryv1.Element{Name: "LogFileCleared", Children: []*telemetryv1.Element{{Name: "SubjectUserName", Text: user}}}},
		Body: &telemetryv1.Event_LogActivity{LogActivity: &telemetryv1.LogActivityEvent{Action: "cleared", SubjectName: user}},
	}
}

// project runs the passes until all lanes have reached the ledger's head.
func (l *log) project() {
	l.t.Helper()
	hits, err := NewHits([]Selector{clearSelector})
	if err != nil {
		l.t.Fatal(err)
	}
	l.projectBy(Passes(hits, nil))
}

// state is all that the projections hold, as text, to be compared.
func (l *log) state() string {
	l.t.Helper()
	var b strings.Builder
	for _, sql := range []string{
		`SELECT position, ordinal, host_id, subject_name FROM win_log_activity_events ORDER BY 1, 2`,
		`SELECT position, ordinal, host_id, fields FROM hit ORDER BY 1, 2`,
		`SELECT table_name, received_day, observed_day, events FROM event_days ORDER BY 1, 2, 3`,
		`SELECT host_id, events, first_observed, last_observed FROM host_activity ORDER BY 1`,
		`SELECT host_id, name, key, day, good, total FROM metric ORDER BY 1, 2, 3, 4`,
		`SELECT pass, position, reason FROM quarantine ORDER BY 1, 2`,
		`SELECT name, kind, import_stream FROM host ORDER BY 1`,
	} {
		rows, err := l.pool.Query(l.t.Context(), sql)
		if err != nil {
			l.t.Fatal(err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				l.t.Fatal(err)
			}
			fmt.Fprintln(&b, values...)
		}
		rows.Close()
		b.WriteString("--\n")
	}
	return b.String()
}

func (l *log) count(sql string) (n int) {
	l.t.Helper()
	if err := l.pool.QueryRow(l.t.Context(), sql).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}

func TestProjectsOnceWhateverComesTwice(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.append(intact, cleared(0, "mallory"), cleared(1, "mallory"))
	l.project()
	// The same records once more, in another batch, with one that is new.
	l.append(intact, cleared(0, "mallory"), cleared(1, "mallory"), cleared(2, "eve"))
	l.project()
	if rows, hits := l.count(`SELECT count(*) FROM win_log_activity_events`), l.count(`SELECT count(*) FROM hit`); rows != 3 || hits != 3 {
		t.Errorf("%d rows and %d hits of 3 records, want 3 and 3", rows, hits)
	}
	if n := l.count(`SELECT count(*) FROM host WHERE kind = 'imported' AND name = 'DC01.corp.example'`); n != 1 {
		t.Errorf("%d imported hosts, want 1", n)
	}
	if n := l.count(`SELECT count(*) FROM hit WHERE fields->>'SubjectUserName' = 'eve'`); n != 1 {
		t.Errorf("%d hits keep the subject of the new record, want 1", n)
	}
}

func TestBadBatchIsQuarantinedAndTheNextProjected(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	flip := func(payload []byte) []byte {
		payload[len(payload)/2] ^= 1
		return payload
	}
	l.append(intact, cleared(0, "mallory"))
	l.append(flip, cleared(1, "mallory"))
	l.append(intact, cleared(2, "mallory"))
	l.project()
	if n := l.count(`SELECT count(*) FROM win_log_activity_events`); n != 2 {
		t.Errorf("%d rows, want those of the two good batches", n)
	}
	if n := l.count(`SELECT count(*) FROM quarantine WHERE position = 1`); n != len(PassNames()) {
		t.Errorf("batch 1 is in quarantine for %d passes, want %d", n, len(PassNames()))
	}
}

func TestRebuildGivesTheSameRows(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for i := range uint32(60) {
		l.append(intact, cleared(2*i, "mallory"), cleared(2*i+1, "o'brien\x00\u202e"))
	}
	l.project()
	before := l.state()
	if err := l.store.ResetPass(t.Context(), FactsPass, FactsVersion); err != nil {
		t.Fatal(err)
	}
	if err := l.store.ResetPass(t.Context(), DetectionsPass, DetectionsVersion); err != nil {
		t.Fatal(err)
	}
	if n := l.count(`SELECT count(*) FROM win_log_activity_events`); n != 0 {
		t.Fatalf("%d rows after the reset, want none", n)
	}
	l.project()
	if after := l.state(); after != before {
		t.Errorf("rebuilt rows differ:\n%s\nbefore:\n%s", after, before)
	}
	if n := l.count(`SELECT count(*) FROM win_log_activity_events`); n != 120 {
		t.Errorf("%d rows, want 120", n)
	}
}

// TestIdleServerNoticesARebuild resets the passes of a server that has nothing to
// do: it fills them again though nothing new comes.
func TestIdleServerNoticesARebuild(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.append(intact, cleared(0, "mallory"), cleared(1, "mallory"))
	hits, err := NewHits([]Selector{clearSelector})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var looks atomic.Int64
	runner := NewRunner(Config{Store: l.store, Passes: Passes(hits, nil), Logger: slog.New(slog.DiscardHandler), Poll: time.Millisecond,
		Now: func() time.Time { return noon.Add(time.Hour + time.Duration(looks.Add(1))*time.Second) }})
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	idle := func() {
		t.Helper()
		// Once a watermark is of now, the lane has said that it has nothing to do.
		for since := runner.cfg.Now(); ; {
			low, err := l.store.Watermark(ctx, PassNames(), Lanes)
			if err != nil {
				t.Fatal(err)
			}
			caught, err := CaughtUp(ctx, l.store, runner.cfg.Passes, l.next)
			if err != nil {
				t.Fatal(err)
			}
			if caught && low.After(since) {
				return
			}
			_, moved := runner.head.get()
			select {
			case <-moved:
			case <-ctx.Done():
				t.Fatal("a lane that was reset stays where it was")
			}
		}
	}
	idle()
	before := l.state()
	for _, pass := range runner.cfg.Passes {
		if err := l.store.ResetPass(ctx, pass.Name, pass.Version); err != nil {
			t.Fatal(err)
		}
	}
	idle()
	if after := l.state(); after != before {
		t.Errorf("rebuilt rows differ:\n%s\nbefore:\n%s", after, before)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestHealthIsStored goes through Postgres, which takes less than JSON does: what
// the builder remembers must come back whatever an agent calls its sources.
func TestHealthIsStored(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	health := func(minute int) *telemetryv1.Event {
		state := &telemetryv1.SourceState{Source: "event_log", Channel: "Security", Running: true, Capabilities: []string{"log.security", "a\x00b"},
			Position: uint64(100 + minute), Seen: uint64(minute)}
		strange := &telemetryv1.SourceState{Source: "s\x00\x1fs", Channel: "c\x00\x1fc", Reason: "\x00", Capabilities: []string{"\x00"}}
		return &telemetryv1.Event{ObservedAt: evidence.Ticks(noon.Add(time.Duration(minute) * time.Minute)), BootId: "boot\x00", Mode: telemetryv1.Mode_MODE_LIVE,
			Body: &telemetryv1.Event_SourceHealth{SourceHealth: &telemetryv1.SourceHealth{StartedAt: 1, Sources: []*telemetryv1.SourceState{state, strange}}}}
	}
	for minute := range 3 {
		l.append(intact, health(minute))
		l.project() // by a runner that remembers nothing: the memory comes from Postgres
	}
	if n := l.count(`SELECT count(*) FROM quarantine`); n != 0 {
		t.Errorf("%d batches are in quarantine", n)
	}
	if n := l.count(`SELECT count(*) FROM coverage_range WHERE source = 'event_log' AND channel = 'Security' AND capability = 'log.security'
		AND state = 'covered' AND ends_at - starts_at = interval '2 minutes'`); n != 1 {
		t.Errorf("%d ranges cover the two minutes, want 1", n)
	}
}

// TestPassesMeet rebuilds one pass while the other goes on: what each writes does
// not depend on whether they read together.
func TestPassesMeet(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	next := uint32(0)
	more := func(batches int) {
		for range batches {
			l.append(intact, cleared(next, "mallory"), cleared(next+1, "eve"))
			next += 2
		}
	}
	more(60) // more than two steps, and not a whole number of them
	l.project()
	more(1)
	if err := l.store.ResetPass(t.Context(), DetectionsPass, DetectionsVersion); err != nil {
		t.Fatal(err)
	}
	l.project()
	more(30)
	if err := l.store.ResetPass(t.Context(), FactsPass, FactsVersion); err != nil {
		t.Fatal(err)
	}
	l.project()
	for sql, want := range map[string]int{
		`SELECT count(*) FROM win_log_activity_events`: 182, `SELECT count(*) FROM hit`: 182,
		`SELECT count(*) FROM quarantine`: 0, `SELECT sum(events) FROM event_days`: 182, `SELECT sum(events) FROM host_activity`: 182,
	} {
		if got := l.count(sql); got != want {
			t.Errorf("%s: %d, want %d", sql, got, want)
		}
	}
}
