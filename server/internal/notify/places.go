package notify

import (
	"context"
	"sync"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

const (
	// perTarget is how many of the workers may be at one target, perSuspect how
	// many at one whose newest attempt failed: a target that hangs holds up no
	// other for longer than its first attempts.
	perTarget  = Workers / 2
	perSuspect = 2
	// patience is how long a worker waits for a place before its job is put back.
	patience = time.Second
)

// places keeps one target from having all workers.
type places struct {
	mu      sync.Mutex // guards all below
	busy    map[assay.TargetID]int
	suspect map[assay.TargetID]bool
	freed   chan struct{} // closed and replaced when a place is freed
}

func newPlaces() places {
	return places{busy: map[assay.TargetID]int{}, suspect: map[assay.TargetID]bool{}, freed: make(chan struct{})}
}

// hold takes one of the target's places, or says after a while that there is none.
func (p *places) hold(ctx context.Context, id assay.TargetID) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		ok, freed := p.take(id)
		if ok {
			return true
		}
		select {
		case <-freed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (p *places) take(id assay.TargetID) (ok bool, freed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := perTarget
	if p.suspect[id] {
		limit = perSuspect
	}
	if p.busy[id] >= limit {
		return false, p.freed
	}
	p.busy[id]++
	return true, nil
}

func (p *places) release(id assay.TargetID, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[id]--; p.busy[id] == 0 {
		delete(p.busy, id)
	}
	if ok {
		delete(p.suspect, id)
	} else {
		p.suspect[id] = true
	}
	close(p.freed)
	p.freed = make(chan struct{})
}
