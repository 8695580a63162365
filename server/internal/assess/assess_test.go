package assess_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestPastMoments asks for a moment before a violation, one after it, and for
// what was known before its batch was in the ledger.
func TestPastMoments(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	now := func() time.Time { return noon }
	store := postgres.New(postgres.Config{DB: pool, Now: now})
	library, err := framework.Load()
	if err != nil {
		t.Fatal(err)
	}
	assessor := assess.New(assess.Config{Store: store, Library: library, Now: now, Logger: slog.New(slog.DiscardHandler)})
	host := assay.HostID{7}
	for _, pass := range project.PassNames() {
		for lane := range int16(project.Lanes) {
			exec(`INSERT INTO projection_cursor (pass, lane, version, position, watermark) VALUES ($1, $2, 1, 0, $3)`, pass, lane, noon)
		}
	}
	exec(`INSERT INTO host (id, kind, name, os, created_at) VALUES ($1, 'enrolled', 'POS-01', 'windows', $2)`, [16]byte(host), noon.Add(-72*time.Hour))
	exec(`INSERT INTO host_activity (host_id, events, first_observed, last_observed, last_received) VALUES ($1, 1, $2, $3, $3)`, [16]byte(host), noon.Add(-72*time.Hour), noon)
	// Two leaves: what was known before the second did not hold the hit's batch.
	for range 2 {
		if _, err := store.ChangePolicy(t.Context(), assay.PolicyChange{Kind: assay.PolicyList, Name: "x", Values: []string{"y"}, By: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	cleared := noon.Add(-2 * time.Hour)
	exec(`INSERT INTO hit (host_id, check_id, selector, position, ordinal, observed_at, received_at, booked_at, clock_fault, mode, grade,
		source, channel, provider, event_id, record_id, fields)
		VALUES ($1, 'log.cleared', 'security', 1, 0, $2, $2, $2, false, 'live', 3, 'event_log', 'Security', 'Microsoft-Windows-Eventlog', 1102, 42, '{}')`, [16]byte(host), cleared)

	state := func(instant time.Time, size uint64) assay.State {
		t.Helper()
		snapshot, err := assessor.At(t.Context(), instant, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range snapshot.Verdicts[host] {
			if v.Check == "log.cleared" {
				return v.State
			}
		}
		return assay.NoState
	}
	if got := state(cleared.Add(-time.Minute), 0); got != assay.StateUnknown {
		t.Errorf("before the violation the state is %s, want unknown", got)
	}
	if got := state(cleared.Add(time.Minute), 0); got != assay.StateFail {
		t.Errorf("after the violation the state is %s, want fail", got)
	}
	if got := state(cleared.Add(time.Minute), 1); got != assay.StateUnknown {
		t.Errorf("as known before its batch the state is %s, want unknown", got)
	}
	if _, err := assessor.At(t.Context(), noon.Add(time.Hour), 0); assay.KindOf(err) != assay.Invalid {
		t.Errorf("a future moment: %v", err)
	}
	if _, err := assessor.At(t.Context(), time.Time{}, 99); assay.KindOf(err) != assay.Invalid {
		t.Errorf("a tree size beyond the ledger: %v", err)
	}
}
