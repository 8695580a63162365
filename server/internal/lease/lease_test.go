package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// table is what a database holds of leases, on the bubble's clock.
type table struct {
	mu      sync.Mutex
	seen    map[assay.ServerID]time.Time
	holders map[string]assay.ServerID
	until   map[string]time.Time
	// cut are servers that get no answer, nor an error before they give up.
	cut map[assay.ServerID]bool
}

func newTable() *table {
	return &table{seen: map[assay.ServerID]time.Time{}, holders: map[string]assay.ServerID{}, until: map[string]time.Time{}, cut: map[assay.ServerID]bool{}}
}

func (t *table) reach(ctx context.Context, id assay.ServerID) error {
	t.mu.Lock()
	cut := t.cut[id]
	t.mu.Unlock()
	if !cut {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (t *table) SeeLeases(ctx context.Context, server assay.Server, tasks []string, ttl time.Duration) (int, []assay.Lease, error) {
	if err := t.reach(ctx, server.ID); err != nil {
		return 0, nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.seen[server.ID] = now
	alive := 0
	for _, at := range t.seen {
		if now.Sub(at) < ttl {
			alive++
		}
	}
	var leases []assay.Lease
	for _, task := range tasks {
		if _, ok := t.until[task]; !ok {
			t.until[task] = now
		}
		l := assay.Lease{Task: task}
		if until := t.until[task]; until.After(now) {
			l.Holder = t.holders[task]
		} else {
			l.Free = now.Sub(until)
		}
		leases = append(leases, l)
	}
	return alive, leases, nil
}

func (t *table) TakeLeases(ctx context.Context, server assay.ServerID, want []string, ttl time.Duration) ([]string, error) {
	if err := t.reach(ctx, server); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var held []string
	for task := range t.until {
		mine := t.holders[task] == server && t.until[task].After(now)
		switch {
		case slices.Contains(want, task) && (mine || !t.until[task].After(now)):
			t.holders[task], t.until[task] = server, now.Add(ttl)
			held = append(held, task)
		case mine:
			t.until[task] = now
		}
	}
	return held, nil
}

func (t *table) LeaveLeases(ctx context.Context, server assay.ServerID) error {
	_, err := t.TakeLeases(ctx, server, nil, 0)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, server)
	return err
}

// working counts who works on what just now.
type working struct {
	mu sync.Mutex
	by map[string][]assay.ServerID
}

func (w *working) work(id assay.ServerID, task string) func(context.Context) error {
	return func(ctx context.Context) error {
		w.mu.Lock()
		w.by[task] = append(w.by[task], id)
		w.mu.Unlock()
		<-ctx.Done()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.by[task] = slices.DeleteFunc(w.by[task], func(other assay.ServerID) bool { return other == id })
		return ctx.Err()
	}
}

// share returns how many tasks each server works on, and fails where a task is
// worked on by none or by two.
func (w *working) share(t *testing.T, tasks []string) map[assay.ServerID]int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	share := map[assay.ServerID]int{}
	for _, task := range tasks {
		if len(w.by[task]) != 1 {
			t.Errorf("%s is worked on by %d servers", task, len(w.by[task]))
		}
		for _, id := range w.by[task] {
			share[id]++
		}
	}
	return share
}

type replica struct {
	id   assay.ServerID
	stop context.CancelFunc
	done sync.WaitGroup
}

func startReplica(t *testing.T, store Store, w *working, number byte, tasks []string) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &replica{id: assay.ServerID{number}, stop: cancel}
	l := New(Config{Store: store, Server: assay.Server{ID: r.id}, Tasks: tasks, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	r.done.Go(func() { _ = l.Run(ctx) })
	for _, task := range tasks {
		r.done.Go(func() { _ = l.Hold(ctx, task, w.work(r.id, task)) })
	}
	return r
}

func tasksOf(n int) []string {
	tasks := make([]string, n)
	for i := range tasks {
		tasks[i] = fmt.Sprintf("task-%d", i)
	}
	return tasks
}

// TestShares follows three servers through coming, a clean end, a cut that
// nobody reports, and its end.
func TestShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tasks, store, w := tasksOf(7), newTable(), &working{by: map[string][]assay.ServerID{}}
		settle := func(d time.Duration) map[assay.ServerID]int {
			time.Sleep(d)
			synctest.Wait()
			return w.share(t, tasks)
		}
		a := startReplica(t, store, w, 1, tasks)
		if got := settle(time.Second); got[a.id] != 7 {
			t.Fatalf("alone, a server works on %d of 7 tasks", got[a.id])
		}
		b := startReplica(t, store, w, 2, tasks)
		c := startReplica(t, store, w, 3, tasks)
		got := settle(10 * time.Second)
		for _, r := range []*replica{a, b, c} {
			if got[r.id] < 1 || got[r.id] > 3 {
				t.Errorf("of three servers, %d works on %d of 7 tasks", r.id[0], got[r.id])
			}
		}
		c.stop()
		c.done.Wait()
		// Given back, not run out: one renewal is enough to take over.
		if got = settle(2100 * time.Millisecond); got[a.id]+got[b.id] != 7 {
			t.Errorf("after a clean end the others work on %v", got)
		}
		store.mu.Lock()
		store.cut[a.id] = true
		store.mu.Unlock()
		if got = settle(8100 * time.Millisecond); got[b.id] != 7 {
			t.Errorf("8 s after a cut the other works on %d of 7 tasks", got[b.id])
		}
		store.mu.Lock()
		store.cut[a.id] = false
		store.mu.Unlock()
		if got = settle(10 * time.Second); got[a.id] < 3 || got[b.id] < 3 {
			t.Errorf("after the cut ended they work on %v", got)
		}
		a.stop()
		b.stop()
		a.done.Wait()
		b.done.Wait()
	})
}

// TestNeverTwoAtATime cuts servers off at random moments: a server that cannot
// renew has stopped before another may begin.
func TestNeverTwoAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tasks, store, w := tasksOf(3), newTable(), &working{by: map[string][]assay.ServerID{}}
		replicas := []*replica{startReplica(t, store, w, 1, tasks), startReplica(t, store, w, 2, tasks)}
		for i := range 400 {
			time.Sleep(137 * time.Millisecond)
			synctest.Wait()
			w.mu.Lock()
			for task, by := range w.by {
				if len(by) > 1 {
					t.Errorf("at step %d %s is worked on by %d servers", i, task, len(by))
				}
			}
			w.mu.Unlock()
			if i%60 == 59 {
				store.mu.Lock()
				id := replicas[(i/60)%2].id
				store.cut[id] = !store.cut[id]
				store.mu.Unlock()
			}
		}
		for _, r := range replicas {
			r.stop()
			r.done.Wait()
		}
	})
}

// TestHoldReturnsWhatWorkReturns: an error of the work itself is not taken for
// the loss of the lease.
func TestHoldReturnsWhatWorkReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := New(Config{Store: newTable(), Server: assay.Server{ID: assay.ServerID{1}}, Tasks: []string{"task"}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		var done sync.WaitGroup
		done.Go(func() { _ = l.Run(ctx) })
		broken := errors.New("broken")
		if err := l.Hold(ctx, "task", func(context.Context) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("Hold returned %v", err)
		}
		cancel()
		done.Wait()
	})
}

// TestOlderServers: a task that the others do not know is taken beyond the share.
func TestOlderServers(t *testing.T) {
	t.Parallel()
	me, ttl := assay.ServerID{1}, 6*time.Second
	leases := []assay.Lease{{Task: "a", Holder: me}, {Task: "b", Holder: assay.ServerID{2}}, {Task: "c", Free: 2 * ttl}, {Task: "d", Free: time.Second}}
	if got := choose(leases, 4, me, ttl); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("chosen are %v", got)
	}
}
