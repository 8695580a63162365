package uplink_test

import (
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/servertest"
	"github.com/assay-audit/assay/agent/internal/uplink"
	"github.com/assay-audit/assay/proto/evidence"
)

// A batch that waits for its turn keeps no acknowledgement waiting: here each turn
// comes by one.
func TestPaceTakesAcks(t *testing.T) {
	t.Parallel()
	h := newHost(t, servertest.New(t, time.Now))
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	asked := 0
	h.change = func(c *uplink.Config) {
		c.Pace = func(events uint32, _ int) <-chan struct{} {
			asked += int(events)
			permit := make(chan struct{})
			go func() {
				<-turn
				close(permit)
			}()
			return permit
		}
		c.Settled = func(uint32, time.Duration) { turn <- struct{}{} }
	}
	h.append(evidence.Bulk, 1, 10)
	h.start()
	h.drained()
	h.stop()
	if asked != 10 {
		t.Errorf("turns were asked for %d events, want 10", asked)
	}
	h.check(evidence.Bulk, sequence(1, 10))
}
