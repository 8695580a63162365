package pipeline

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/proto/evidence"
)

// A full disk makes sources wait and loses nothing; a live source loses, counts
// and tells.
func TestFullSpool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for _, m := range []*memoryStore{r.control, r.bulk} {
			m.setErr(spool.ErrFull)
		}
		meter := r.Meter("etw", "")
		const n = 20000
		done := make(chan error)
		go func() {
			for i := range n {
				if err := r.Emit(t.Context(), bulkItem(i+1, strings.Repeat("x", 500))); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		synctest.Wait() // the source stands
		for i := range 5 {
			item := bulkItem(n+i, randomText(250<<10))
			item.Key, item.Live, item.Meter = "", true, meter
			mustEmit(t, r.Pipeline, item)
		}
		if got := meter.snapshot(); got.Dropped == 0 {
			t.Fatal("a live source lost nothing although nothing had room")
		}
		dropped := meter.snapshot().Dropped
		for _, m := range []*memoryStore{r.control, r.bulk} {
			m.setErr(nil)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		item := bulkItem(n+100, "again")
		item.Key, item.Live, item.Meter = "", true, meter
		mustEmit(t, r.Pipeline, item)
		r.close(t)
		var records uint64
		for _, ev := range r.bulk.events(t) {
			if ev.GetPosition().GetRecordId() <= n {
				records++
				if ev.GetPosition().GetRecordId() != records {
					t.Fatalf("record %d after %d", ev.GetPosition().GetRecordId(), records-1)
				}
			}
		}
		if records != n {
			t.Fatalf("%d of %d events", records, n)
		}
		gaps := r.control.events(t)
		if len(gaps) != 1 || gaps[0].GetGap().GetCount() != dropped || gaps[0].GetGap().GetSource() != "etw" {
			t.Fatalf("gaps %v, want one of %d", gaps, dropped)
		}
	})
}

// A source whose events take two streams goes on after a crash that kept one
// stream's block and lost the other's: nothing is lost, nothing doubled.
func TestResumeAcrossStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		mustEmit(t, r.Pipeline, bulkItem(1, "a"), bulkItem(2, "a"))
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustEmit(t, r.Pipeline, controlItem(3), bulkItem(4, "a"), controlItem(5))
		if err := r.streams[evidence.Control].flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		// "kill": what bulk had pending is gone.
		r.bulk.setErr(errors.New("killed"))
		_ = r.Close(t.Context())
		r.bulk.err = nil

		again, err := New(r.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Position("log"); !bytes.Equal(got, pos(2)) {
			t.Fatalf("resumes after %v, want 2", got)
		}
		mustEmit(t, again, controlItem(3), bulkItem(4, "a"), controlItem(5), controlItem(6))
		if err := again.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		check := func(m *memoryStore, want ...uint64) {
			t.Helper()
			var got []uint64
			for _, ev := range m.events(t) {
				got = append(got, ev.GetPosition().GetRecordId())
			}
			if len(got) != len(want) {
				t.Fatalf("records %v, want %v", got, want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("records %v, want %v", got, want)
				}
			}
		}
		check(r.bulk, 1, 2, 4)
		check(r.control, 3, 5, 6)
	})
}

// Where a source's events all take one stream, the other does not hold it back.
func TestQuietStreamDoesNotHoldBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	mustEmit(t, r.Pipeline, bulkItem(1, "a"), bulkItem(2, "a"))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Position("log"); !bytes.Equal(got, pos(2)) {
		t.Fatalf("position %v, want 2", got)
	}
	r.close(t)
}

func TestSpoolLossBecomesOneGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.HealthEvery = time.Minute })
		r.bulk.mu.Lock()
		r.bulk.losses = []spool.Loss{{Kind: evidence.Bulk, Generation: 1, First: 4, Last: 5, FirstSequence: 30, LastSequence: 44}}
		r.bulk.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		r.close(t)
		gaps := 0
		for _, ev := range r.control.events(t) {
			if g := ev.GetGap(); g != nil {
				gaps++
				if g.Count != 15 || g.FirstMissing != 30 {
					t.Fatalf("gap %v", g)
				}
			}
		}
		if gaps != 1 || len(r.bulk.Losses()) != 0 {
			t.Fatalf("%d gap events, %d losses left", gaps, len(r.bulk.losses))
		}
	})
}
