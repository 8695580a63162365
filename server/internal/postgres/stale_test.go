package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// TestStaleProjectorWritesNothing: one that wakes up behind another, with a step that
// it had computed, neither writes its rows nor moves the cursor or the watermark.
func TestStaleProjectorWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1), chain.Next(t, 1))
	stale, err := b.store.Cursor(ctx, "facts", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	step := func(to uint64, value string) *postgres.Delta {
		return &postgres.Delta{
			Pass: "facts", Lane: 1, From: stale.Position, To: to, Watermark: b.now.Add(time.Duration(to) * time.Minute),
			Posture: []postgres.PostureRow{{Host: agent.HostID, Name: "state", Value: value, ObservedAt: b.now.Add(time.Duration(to) * time.Minute)}},
		}
	}
	if err := b.store.ApplyDelta(ctx, step(2, "awake")); err != nil {
		t.Fatal(err)
	}
	if err := b.store.ApplyDelta(ctx, step(3, "late")); !errors.Is(err, postgres.ErrCursorMoved) {
		t.Errorf("a stale step: %v", err)
	}
	if err := b.store.Touch(ctx, stale, b.now.Add(time.Hour)); !errors.Is(err, postgres.ErrCursorMoved) {
		t.Errorf("a stale watermark: %v", err)
	}
	now, err := b.store.Cursor(ctx, "facts", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if now.Position != 2 || !now.Watermark.Equal(b.now.Add(2*time.Minute).Truncate(time.Microsecond)) {
		t.Errorf("the cursor is at %d, %s", now.Position, now.Watermark)
	}
	if n := b.count(t, `SELECT count(*) FROM posture WHERE value = 'awake'`); n != 1 || b.count(t, `SELECT count(*) FROM posture`) != 1 {
		t.Errorf("%d rows of who was awake, want that one and no other", n)
	}
}
