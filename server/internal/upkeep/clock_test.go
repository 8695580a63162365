package upkeep

import (
	"fmt"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/evidencetest"
)

// TestClocksJump sets the server's clock and the host's, by hours and days, ahead
// and back, each for itself, between batches. Every event is there once, in the
// order in which it came, with the host's time and the server's of its moment,
// and the ledger verifies.
func TestClocksJump(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	chain := evidencetest.Open(t, k.store, k.hosts[0], evidence.Bulk, "first")
	noon := began.Add(72 * time.Hour) // the certificate is of before
	type moment struct{ server, host time.Time }
	var want []moment
	for i, jump := range []struct{ server, host time.Duration }{
		{0, 0}, {0, -time.Minute}, {5 * time.Hour, 0}, {-5 * time.Hour, 0}, {0, 7 * time.Hour}, {0, -7 * time.Hour},
		{30 * time.Hour, 30 * time.Hour}, {30 * time.Hour, 0}, {-2 * time.Hour, -2 * time.Hour}, {-30 * time.Hour, 30 * time.Hour}, {0, 0},
	} {
		m := moment{server: noon.Add(jump.server + time.Duration(i)*time.Second), host: noon.Add(jump.host + time.Duration(i)*time.Second)}
		k.now = m.host
		events := k.process(k.hosts[0], 1, nil)
		k.now = m.server
		k.append(chain, events...)
		k.project()
		want = append(want, m)
	}
	rows, err := k.pool.Query(t.Context(), `SELECT e.position, e.observed_at, e.received_at, b.number, b.received_at FROM win_process_events e
		JOIN batch b USING (position) ORDER BY e.position`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var position, number int64
		var observed, received, batch time.Time
		if err := rows.Scan(&position, &observed, &received, &number, &batch); err != nil {
			t.Fatal(err)
		}
		if n >= len(want) {
			continue
		}
		got := fmt.Sprint(number, observed.UTC(), received.UTC(), batch.UTC())
		if m := want[n]; got != fmt.Sprint(n+1, m.host, m.server, m.server) {
			t.Errorf("event %d at position %d has %s, want %d %s %s", n, position, got, n+1, m.host, m.server)
		}
	}
	if err := rows.Err(); err != nil || n != len(want) {
		t.Errorf("%d events are there, want %d, %v", n, len(want), err)
	}
	k.mustVerify(0)
}
