package upkeep

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/archive"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
	"github.com/assay-audit/assay/server/internal/vault"
)

// began is when the hosts begin to send: on a Thursday, so that all of the first
// segment is of its week and the next. over is after that next week.
var (
	began = time.Date(2026, 3, 5, 8, 0, 0, 0, time.UTC)
	over  = time.Date(2026, 3, 16, 0, 0, 0, 0, time.UTC)
)

// keeping is a server with two enrolled hosts, one of which imports too.
type keeping struct {
	t         *testing.T
	pool      *pgxpool.Pool
	now       time.Time
	bucket    *blob.Bucket
	keys      vault.Keys
	vault     *vault.Vault
	store     *postgres.Store
	authority *ca.Authority
	job       *Retention
	hosts     [2]*evidencetest.Agent
	refs      [2]assay.EventRef // of an event of each host
}

func (k *keeping) clock() time.Time { return k.now }

func newKeeping(t *testing.T) *keeping {
	t.Helper()
	k := &keeping{t: t, pool: pgtest.Pool(t), now: began, bucket: memblob.OpenBucket(nil)}
	t.Cleanup(func() {
		if err := k.bucket.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := vault.NewFolder(filepath.Join(t.TempDir(), "vault"))
	if err != nil {
		t.Fatal(err)
	}
	k.keys = keys
	k.vault = k.newVault(k.keys)
	k.store = postgres.New(postgres.Config{DB: k.pool, Now: k.clock, Vault: k.vault, Archive: archive.New(k.bucket)})
	k.authority = evidencetest.Authority(t, k.clock)
	k.job = NewRetention(RetentionConfig{
		Store: k.store, Archive: archive.New(k.bucket), Vault: k.vault, Now: k.clock, Log: slog.New(slog.DiscardHandler),
		HotFor: 90 * day, ArchiveAfter: 30 * day, BackupHorizon: 14 * day, KeepFor: 365 * day, DeleteAfter: 500 * day,
	})
	for i := range k.hosts {
		k.hosts[i] = evidencetest.Enrol(t, k.store, k.authority, k.now, assay.RightImport)
	}
	return k
}

// newVault is the vault of a server that has just started.
func (k *keeping) newVault(keys vault.Keys) *vault.Vault {
	k.t.Helper()
	v, err := vault.New(vault.Config{Keys: keys, Master: make([]byte, vault.MasterKeySize), Now: k.clock})
	if err != nil {
		k.t.Fatal(err)
	}
	return v
}

const day = 24 * time.Hour

// fill commits ten half days of batches, projects them, and completes the segment
// with other leaves.
func (k *keeping) fill() {
	k.t.Helper()
	k.fillDays()
	k.fillSegment()
}

func (k *keeping) fillDays() {
	k.t.Helper()
	file := sha256.Sum256([]byte("Security.evtx"))
	var live [2]*evidencetest.Chain
	for i, agent := range k.hosts {
		live[i] = evidencetest.Open(k.t, k.store, agent, evidence.Bulk, "first")
	}
	imports := evidencetest.Open(k.t, k.store, k.hosts[0], evidence.Import, "first")
	for d := range 10 {
		k.now = began.Add(time.Duration(d) * 12 * time.Hour)
		for i, chain := range live {
			got := k.append(chain, k.process(chain.Agent, 3, nil)...)
			k.refs[i] = assay.EventRef{Position: uint64(got.Position), Ordinal: 1}
		}
		// The same three records of one file each time: all but the first three are
		// left out as imported before.
		k.append(imports, k.process(k.hosts[0], 3, file[:])...)
	}
	k.now = over.Add(time.Hour)
	k.project()
}

func (k *keeping) process(agent *evidencetest.Agent, n int, file []byte) []*telemetryv1.Event {
	var events []*telemetryv1.Event
	for i := range n {
		ev := &telemetryv1.Event{
			ObservedAt: evidence.Ticks(k.now.Add(-time.Duration(i) * time.Second)), Source: telemetryv1.Source_SOURCE_EVENT_LOG, Grade: telemetryv1.Grade_GRADE_C, Mode: telemetryv1.Mode_MODE_LIVE,
			Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Action: "start", Path: fmt.Sprintf(`C:\%s\%d.exe`, agent.ID, i), Cmdline: "secret of " + agent.ID.String()}},
		}
		if file != nil {
			ev.ObservedAt = evidence.Ticks(began.Add(time.Duration(i) * time.Second))
			ev.Subject, ev.Mode = &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED, Host: "DC01"}, telemetryv1.Mode_MODE_IMPORT
			ev.Position = &telemetryv1.Position{FileSha256: file, Chunk: 1, Ordinal: uint32(i)}
		}
		events = append(events, ev)
	}
	return events
}

// append commits one batch of the events.
func (k *keeping) append(c *evidencetest.Chain, events ...*telemetryv1.Event) assay.Receipt {
	k.t.Helper()
	block := &telemetryv1.Block{Seed: make([]byte, evidence.SeedSize)}
	for _, ev := range events {
		raw, err := proto.Marshal(ev)
		if err != nil {
			k.t.Fatal(err)
		}
		block.Events = append(block.Events, raw)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		k.t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		k.t.Fatal(err)
	}
	defer encoder.Close()
	payload := encoder.EncodeAll(raw, nil)
	batch := c.Seal(evidence.Header{
		Kind: c.Head.Kind, Stream: evidence.StreamID(c.Head.Stream), Epoch: c.Head.Epoch, Number: c.Head.Number + 1,
		FirstSequence: c.Head.NextSequence, EventCount: uint32(len(events)), Previous: c.Head.Hash,
		PayloadSHA256: sha256.Sum256(payload), PayloadSize: uint32(len(payload)), RawSize: uint32(len(raw)),
		Commitments: evidence.CommitmentRoot(evidence.Commitments(block.Seed, block.Events)),
	}, payload)
	c.Head = c.Head.After(&batch.Header, batch.Hash)
	return evidencetest.Append(k.t, k.store, assay.Committed, batch)[0]
}

// project runs the projections until they have read everything.
func (k *keeping) project() {
	k.t.Helper()
	hits, err := project.NewHits(nil)
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(k.t.Context())
	passes := project.Passes(hits, nil)
	done := make(chan error, 1)
	runner := project.NewRunner(project.Config{Store: k.store, Passes: passes, Now: k.clock, Logger: slog.New(slog.DiscardHandler), Poll: time.Millisecond})
	go func() { done <- runner.Run(ctx) }()
	size, err := k.store.LedgerSize(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	for {
		caught, err := project.CaughtUp(ctx, k.store, passes, size)
		if err != nil {
			k.t.Fatal(err)
		}
		var watermark time.Time
		if watermark, err = k.store.Watermark(ctx, project.PassNames(), project.Lanes); err != nil {
			k.t.Fatal(err)
		}
		if caught && !watermark.Before(k.now) {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		k.t.Fatal(err)
	}
}

// fillSegment appends other leaves to the end of the segment, and signs it.
func (k *keeping) fillSegment() {
	k.t.Helper()
	size, err := k.store.LedgerSize(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	leaves := make([]evidence.Leaf, postgres.SegmentSize-int(size))
	for i := range leaves {
		leaves[i] = evidence.Leaf{Kind: evidence.LeafScope, Body: []byte("{}")}
	}
	tx, err := k.pool.Begin(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	if _, err := k.store.AppendLeaves(k.t.Context(), tx, leaves); err != nil {
		k.t.Fatal(err)
	}
	if err := tx.Commit(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	k.grow()
	k.project()
}

func (k *keeping) grow() {
	k.t.Helper()
	growing := ledger.NewGrowing(ledger.GrowConfig{Store: k.store, Keys: k.authority, Log: slog.New(slog.DiscardHandler)})
	if err := growing.RunOnce(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// rows are all rows of the event tables, in the order of position and ordinal.
func (k *keeping) rows() []string {
	k.t.Helper()
	var all []string
	for _, table := range telemetry.Tables() {
		rows, err := k.pool.Query(k.t.Context(), fmt.Sprintf(`SELECT t::text FROM %s t ORDER BY position, ordinal`, table.Name))
		if err != nil {
			k.t.Fatal(err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				k.t.Fatal(err)
			}
			all = append(all, table.Name+" "+text)
		}
		if err := rows.Err(); err != nil {
			k.t.Fatal(err)
		}
	}
	return all
}

func (k *keeping) number(sql string, args ...any) int64 {
	k.t.Helper()
	var n int64
	if err := k.pool.QueryRow(k.t.Context(), sql, args...).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}

// verify verifies the ledger and returns what it says.
func (k *keeping) verify() *ledger.Report {
	k.t.Helper()
	k.grow()
	key, err := note.NewVerifier(k.authority.LedgerKey())
	if err != nil {
		k.t.Fatal(err)
	}
	report, err := ledger.Verify(k.t.Context(), k.store, ledger.VerifyConfig{Certificates: k.authority, Key: key, Now: k.clock, Page: 16384})
	if err != nil {
		k.t.Fatal(err)
	}
	return report
}

func (k *keeping) mustVerify(absent int64) {
	k.t.Helper()
	report := k.verify()
	for _, p := range report.Problems {
		k.t.Errorf("the ledger: %s", p)
	}
	if report.Absent != absent {
		k.t.Errorf("%d payloads are absent under a leaf, want %d", report.Absent, absent)
	}
}

// show reads an event as the console does.
func (k *keeping) show(host int) error {
	k.t.Helper()
	stored, _, err := k.store.BatchAt(k.t.Context(), k.refs[host].Position)
	if err != nil {
		k.t.Fatal(err)
	}
	shown, err := project.Show(stored, k.refs[host].Ordinal)
	if err == nil && !slices.ContainsFunc(shown.Fields, func(f project.Named) bool { return strings.Contains(f.Value, k.hosts[host].ID.String()) }) {
		k.t.Errorf("the event shows %v", shown.Fields)
	}
	return err
}

func (k *keeping) rebuild(from, to time.Time) {
	k.t.Helper()
	r, err := k.store.CreateRebuild(k.t.Context(), from, to, k.now.Add(7*day), "test")
	if err != nil {
		k.t.Fatal(err)
	}
	if err := project.Rebuild(k.t.Context(), project.RebuildConfig{Store: k.store}, &r); err != nil {
		k.t.Fatal(err)
	}
}
