package agentapi

import (
	"context"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// item is a batch on its way to the database.
type item struct {
	batch    *assay.Batch
	session  *session
	round    int
	received time.Time
	size     int64
}

// writer commits the batches of the streams that hash to it, many in one
// transaction, in the order in which they came.
type writer struct {
	server *Server
	// queue is bounded in bytes by the server's memory; its own bound is only
	// how many such batches can be.
	queue chan *item
}

const (
	// One transaction takes at most so many batches and bytes.
	maxCommitBatches = 256
	maxCommitBytes   = 8 << 20
	// commitTimeout bounds a transaction; a batch must reach its position while
	// its certificate is valid, so none is begun that might not.
	commitTimeout = 20 * time.Second
)

// run commits until the queue is closed and empty. It outlives the streams.
func (w *writer) run(ctx context.Context) {
	busy := false
	for first := range w.queue {
		items := w.gather(first, busy)
		// Whoever waited while others were committed is a sign of load: then a
		// short wait makes the next transaction larger and the database's work less.
		busy = len(items) > 1
		w.commit(ctx, items)
	}
}

// gather takes what is waiting, and for a moment what comes, when busy.
func (w *writer) gather(first *item, busy bool) []*item {
	items, size := []*item{first}, first.size
	var linger <-chan time.Time
	if busy && w.server.cfg.Linger > 0 {
		timer := time.NewTimer(w.server.cfg.Linger)
		defer timer.Stop()
		linger = timer.C
	}
	for len(items) < maxCommitBatches && size < maxCommitBytes {
		var next *item
		var ok bool
		select {
		case next, ok = <-w.queue:
		default:
			if linger == nil {
				return items
			}
			select {
			case next, ok = <-w.queue:
			case <-linger:
				return items
			}
		}
		if !ok {
			return items
		}
		items, size = append(items, next), size+next.size
	}
	return items
}

// commit appends the items and settles each.
func (w *writer) commit(ctx context.Context, items []*item) {
	items = w.worthwhile(items)
	if len(items) == 0 {
		return
	}
	err := w.append(ctx, items)
	if err == nil {
		return
	}
	w.server.cfg.Log.ErrorContext(ctx, "committing batches failed", "batches", len(items), "error", assay.Cause(err).Error())
	if assay.KindOf(err) == assay.Unavailable {
		// Whether it was committed is not known. Every head that rests on it is
		// forgotten with its stream: the agents come back and are told what is so.
		w.discard(items, err)
		return
	}
	// The database refused a statement, so nothing was committed: one agent's
	// batch is the cause, and only that agent's stream is to end.
	for _, part := range bySession(items) {
		if err := w.append(ctx, part); err != nil {
			w.fail(part, err)
		}
	}
}

// append is one transaction. On success every item is settled.
func (w *writer) append(ctx context.Context, items []*item) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	batches := make([]*assay.Batch, len(items))
	for i, it := range items {
		batches[i] = it.batch
	}
	receipts, err := w.server.cfg.Store.AppendBatches(ctx, batches)
	if err != nil {
		w.server.metrics.commits.WithLabelValues("failed").Inc()
		return err
	}
	w.server.metrics.commits.WithLabelValues("committed").Inc()
	w.server.metrics.perCommit.Observe(float64(len(items)))
	for i, it := range items {
		it.session.settle(it, &receipts[i])
		w.done(it)
	}
	return nil
}

// worthwhile leaves out what no one waits for, and what would outlive its certificate.
func (w *writer) worthwhile(items []*item) []*item {
	kept := items[:0]
	for _, it := range items {
		if it.session.ctx.Err() != nil {
			w.done(it)
			continue
		}
		if err := it.session.authentic(commitTimeout); err != nil {
			w.fail([]*item{it}, err)
			continue
		}
		kept = append(kept, it)
	}
	return kept
}

// discard ends the streams of all that is under way here: what failed, and what
// waits behind it.
func (w *writer) discard(items []*item, err error) {
	w.fail(items, err)
	for {
		select {
		case it, ok := <-w.queue:
			if !ok {
				return
			}
			w.fail([]*item{it}, err)
		default:
			return
		}
	}
}

func (w *writer) fail(items []*item, err error) {
	for _, it := range items {
		it.session.end(err)
		w.done(it)
	}
}

func (w *writer) done(it *item) {
	w.server.memory.Release(it.size)
	w.server.metrics.queued.Sub(float64(it.size))
	it.session.release()
}

func bySession(items []*item) [][]*item {
	var parts [][]*item
	at := map[*session]int{}
	for _, it := range items {
		i, ok := at[it.session]
		if !ok {
			i = len(parts)
			at[it.session], parts = i, append(parts, nil)
		}
		parts[i] = append(parts[i], it)
	}
	return parts
}
