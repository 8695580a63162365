package upkeep

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/project"
)

// rebuildUntil carries a rebuild on until it is as wanted.
func (k *keeping) rebuildUntil(r *assay.Rebuild, wanted func(*assay.Rebuild) bool) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	defer cancel()
	reached := false
	err := project.Rebuild(ctx, project.RebuildConfig{Store: k.store, Progress: func(r *assay.Rebuild) {
		if reached = wanted(r); reached {
			cancel()
		}
	}}, r)
	if !reached {
		k.t.Fatalf("the rebuild ended with %v before it was as wanted", err)
	}
}

// TestErasureOfDroppedWeeksBesideARebuild: a rebuild of weeks that left the hot
// period has read rows into parts that are in no table yet. The erasure waits for
// it, and takes them out of what it has put into place.
func TestErasureOfDroppedWeeksBesideARebuild(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fillDays()
	before := k.rows()
	k.now = began.AddDate(0, 0, 450)
	k.project()
	if err := k.job.dropParts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(k.rows()); n != 0 {
		t.Fatalf("%d rows are there after the hot period", n)
	}
	r, err := k.store.CreateRebuild(t.Context(), began, over, k.now.Add(7*day), "test")
	if err != nil {
		t.Fatal(err)
	}
	k.rebuildUntil(&r, func(r *assay.Rebuild) bool { return r.Events > 0 })
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if _, err := k.store.RequestErasure(t.Context(), k.hosts[0].HostID, month, k.now.Add(-day), "asked for", "test"); err != nil {
		t.Fatal(err)
	}
	if err := k.job.erase(t.Context()); assay.KindOf(err) != assay.Conflict {
		t.Errorf("beside the rebuild: %v", err)
	}
	if n := k.number(`SELECT count(*) FROM erasure WHERE done_at IS NOT NULL`); n != 0 {
		t.Error("it is recorded as done while rows are on their way back")
	}
	if err := project.Rebuild(t.Context(), project.RebuildConfig{Store: k.store}, &r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, k.rows()); diff != "" {
		t.Errorf("what was brought back differs:\n%s", diff)
	}
	if err := k.job.erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := k.number(`SELECT count(*) FROM win_process_events t WHERE t::text LIKE '%' || $1 || '%'`, k.hosts[0].ID.String()); n != 0 {
		t.Errorf("%d rows of the erased host are there", n)
	}
	if n := len(k.rows()); n != 30 {
		t.Errorf("%d rows of the other host are there, want 30", n)
	}
	if n := k.number(`SELECT count(*) FROM pg_class WHERE relname LIKE '%\_new' AND relkind = 'r'`); n != 0 {
		t.Errorf("%d parts lie beside the tables", n)
	}
	k.mustVerify(20)
}

// TestLateSwapOfANewerRebuild: a program that wakes when its rebuild was ended
// elsewhere and another is under way has the parts of that within reach, half
// filled. It puts none into place.
func TestLateSwapOfANewerRebuild(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fillDays()
	before := k.rows()
	filled := func(r *assay.Rebuild) bool { return r.Events > 0 && r.Position == r.End }
	create := func() assay.Rebuild {
		t.Helper()
		r, err := k.store.CreateRebuild(t.Context(), began, over, k.now, "test")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := create()
	k.rebuildUntil(&first, filled)
	late := first
	if err := project.Rebuild(t.Context(), project.RebuildConfig{Store: k.store}, &first); err != nil {
		t.Fatal(err)
	}
	second := create()
	k.rebuildUntil(&second, func(r *assay.Rebuild) bool { return r.Events > 0 && r.Position < r.End })
	if second.Week != late.Week {
		t.Fatalf("the newer one is in the week of %s, the late one in that of %s", second.Week, late.Week)
	}
	if err := k.store.FinishWeek(t.Context(), &late); assay.KindOf(err) != assay.Conflict {
		t.Errorf("what a newer rebuild has begun is put into place: %v", err)
	}
	if diff := cmp.Diff(before, k.rows()); diff != "" {
		t.Errorf("whoever came late changed rows:\n%s", diff)
	}
	if err := project.Rebuild(t.Context(), project.RebuildConfig{Store: k.store}, &second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, k.rows()); diff != "" {
		t.Errorf("the newer one changed rows:\n%s", diff)
	}
}
