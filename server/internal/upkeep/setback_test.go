package upkeep

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/project"
)

// TestRebuildAfterAClockWasSetBack rebuilds each week of a ledger in which a later
// week's batches come before an earlier one's, and days change places within a
// week: no row is lost, and each rebuild ends.
func TestRebuildAfterAClockWasSetBack(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	chain := evidencetest.Open(t, k.store, k.hosts[0], evidence.Bulk, "first")
	for _, days := range []int{0, 6, 1, 7, 0, 2, 8, 1} {
		k.now = began.AddDate(0, 0, days)
		k.append(chain, k.process(k.hosts[0], 2, nil)...)
	}
	k.now = over.Add(time.Hour)
	k.project()
	before := k.rows()
	for _, week := range []time.Time{over.AddDate(0, 0, -14), over.AddDate(0, 0, -7)} {
		k.rebuild(week, week.AddDate(0, 0, 7))
		if diff := cmp.Diff(before, k.rows()); diff != "" {
			t.Fatalf("rebuilding the week of %s changed rows:\n%s", week.Format(time.DateOnly), diff)
		}
	}
}

// TestAgeOfASegmentIsThatOfItsNewestBatch: where the clock was set back, the newest
// is not the last. Nothing is archived, and later nothing deleted, before its time.
func TestAgeOfASegmentIsThatOfItsNewestBatch(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	chain := evidencetest.Open(t, k.store, k.hosts[0], evidence.Bulk, "first")
	// The certificate lives for a week.
	for _, at := range []time.Duration{12 * time.Hour, 5 * day, time.Hour} {
		k.now = began.Add(at)
		k.append(chain, k.process(k.hosts[0], 2, nil)...)
	}
	k.now = over.Add(time.Hour)
	k.project()
	k.fillSegment()
	turn := func(at time.Time) (archived, deleted int64) {
		k.now = at
		k.job.Once(t.Context())
		return k.number(`SELECT count(*) FROM archived_segment`), k.number(`SELECT count(deleted_at) FROM archived_segment`)
	}
	newest := began.Add(5 * day)
	if n, _ := turn(newest.Add(30*day - time.Second)); n != 0 {
		t.Error("it was archived by the age of its last batch")
	}
	if n, _ := turn(newest.Add(30*day + time.Second)); n != 1 {
		t.Fatalf("%d segments are archived when all of it is old", n)
	}
	if g, err := k.store.ArchivedSegment(t.Context(), 0); err != nil || !g.LastReceived.Equal(newest) || !g.FirstReceived.Equal(began.Add(time.Hour)) {
		t.Errorf("it is from %s to %s, %v", g.FirstReceived, g.LastReceived, err)
	}
	turn(newest.Add(60 * day))
	if _, n := turn(newest.Add(500*day - time.Second)); n != 0 {
		t.Error("it was deleted before its newest batch was old enough")
	}
	if _, n := turn(newest.Add(500*day + time.Second)); n != 1 {
		t.Error("it was not deleted in its time")
	}
}

// TestErasureWaitsForARebuild: what an unfinished rebuild has read would come back
// after an erasure, so that waits; one of another host and month does not.
func TestErasureWaitsForARebuild(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fillDays()
	r, err := k.store.CreateRebuild(t.Context(), began, over, k.now, "test")
	if err != nil {
		t.Fatal(err)
	}
	k.now = began.AddDate(0, 0, 450)
	march := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i, month := range []time.Time{march, march.AddDate(0, 2, 0)} {
		if _, err := k.store.RequestErasure(t.Context(), k.hosts[i].HostID, month, k.now.Add(-day), "asked for", "test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.job.erase(t.Context()); err == nil {
		t.Error("it was erased beside a rebuild")
	}
	if n := k.number(`SELECT count(key_deleted_at) FROM erasure`); n != 1 {
		t.Errorf("%d erasures are done beside a rebuild, want the other one", n)
	}
	if n := k.number(`SELECT count(done_at) FROM erasure`); n != 1 {
		t.Errorf("%d erasures are recorded beside a rebuild, want the other one", n)
	}
	if err := project.Rebuild(t.Context(), project.RebuildConfig{Store: k.store}, &r); err != nil {
		t.Fatal(err)
	}
	due, err := k.store.ErasuresDue(t.Context(), k.now)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d erasures are due, %v", len(due), err)
	}
	if err := k.store.RecordErasure(t.Context(), &due[0]); err != nil {
		t.Fatal(err)
	}
	// Recorded, and not carried out: a rebuild would read what is to go.
	if _, err := k.store.CreateRebuild(t.Context(), began, over, k.now, "test"); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a rebuild began beside an erasure: %v", err)
	}
	if err := k.job.erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := k.number(`SELECT count(*) FROM win_process_events WHERE host_id = $1`, [16]byte(k.hosts[0].HostID)); n != 0 {
		t.Errorf("%d rows of the erased host are left", n)
	}
}
