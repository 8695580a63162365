package upkeep

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/evidencetest"
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
