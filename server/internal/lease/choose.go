package lease

import (
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// choose returns the tasks that a server should hold next: of its own and of
// the free ones up to its share, and beyond it those that nobody has taken for
// longer than ttl, which a server that should have them would have done by then
// (it may be of an older version, which does not know the task).
func choose(leases []assay.Lease, servers int, me assay.ServerID, ttl time.Duration) []string {
	share := (len(leases) + max(servers, 1) - 1) / max(servers, 1)
	want := []string{} // never nil: it becomes an SQL array
	for _, l := range leases {
		if l.Holder == me && len(want) < share {
			want = append(want, l.Task)
		}
	}
	free := slices.Collect(func(yield func(assay.Lease) bool) {
		for _, l := range leases {
			if l.Holder == (assay.ServerID{}) && !yield(l) {
				return
			}
		}
	})
	slices.SortStableFunc(free, func(a, b assay.Lease) int { return int(b.Free - a.Free) })
	for _, l := range free {
		if len(want) < share || l.Free > ttl {
			want = append(want, l.Task)
		}
	}
	return want
}
