package upkeep

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/assay-audit/assay/server/internal/archive"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// segmentStep is one of what happens to a segment, and what is so before it and
// once it is recorded.
type segmentStep struct {
	name          string
	day           int
	do            func(*Retention, context.Context) error
	before, after segmentState
}

type segmentState struct {
	archived, dropped, deleted, payloads, objects int64
	leaves                                        int64 // beyond the segment's
}

// TestSegmentFailsAtEveryStep archives a segment, drops its payloads and deletes
// it, while each step of each fails, and fails after it was done. The next turn
// goes on: nothing is recorded twice, no payload leaves Postgres before the
// archive has it, none leaves the archive without a leaf, and the ledger verifies.
func TestSegmentFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fill()
	all := k.number(`SELECT count(*) FROM batch`)
	fresh := segmentState{payloads: all}
	archived := segmentState{archived: 1, payloads: all, objects: 1, leaves: 1}
	dropped := segmentState{archived: 1, dropped: 1, objects: 1, leaves: 1}
	deleted := segmentState{archived: 1, dropped: 1, deleted: 1, leaves: 2}
	for _, step := range []segmentStep{
		{"archiving", 45, (*Retention).archiveSegments, fresh, archived},
		{"dropping", 60, (*Retention).dropPayloads, archived, dropped},
		{"deleting", 600, (*Retention).deleteSegments, dropped, deleted},
	} {
		k.now = began.AddDate(0, 0, step.day)
		k.failSegment(step)
	}
	k.mustVerify(all)
}

// failSegment has the step meet a fault at each call of the database, the bucket
// and the vault, one after the other, until it is done without meeting any.
func (k *keeping) failSegment(step segmentStep) {
	k.t.Helper()
	faults := 0
	for n := 1; ; n++ {
		for _, after := range []bool{false, true} {
			fault := &pgtest.Fault{At: n, After: after}
			err := step.do(k.failing(fault), k.t.Context())
			if !fault.Hit {
				if err != nil {
					k.t.Fatalf("%s after %d faults: %v", step.name, faults, assay.Cause(err))
				}
				if got := k.segmentState(); got != step.after || faults < 10 {
					k.t.Errorf("%s after %d faults: %+v, want %+v", step.name, faults, got, step.after)
				}
				return
			}
			faults++
			if err == nil {
				k.t.Errorf("%s: it %s and was told as done", step.name, fault)
			}
			got := k.segmentState()
			objects := got.objects
			got.objects = step.before.objects
			done := step.after
			done.objects = step.before.objects
			if got != step.before && got != done {
				k.t.Errorf("%s: it %s: %+v, want %+v or %+v", step.name, fault, got, step.before, done)
			}
			if got.archived > got.deleted && objects != 1 {
				k.t.Errorf("%s: it %s: %d objects hold what is not deleted", step.name, fault, objects)
			}
		}
	}
}

// failing is the job of a server that has just started and meets a fault.
func (k *keeping) failing(f *pgtest.Fault) *Retention {
	r := *k.job
	r.cfg.Archive, r.cfg.Vault = archive.New(pgtest.FaultyBucket(k.bucket, f)), k.newVault(pgtest.FaultyKeys(k.keys, f))
	r.cfg.Store = postgres.New(postgres.Config{DB: pgtest.FaultyDB(k.pool, f), Now: k.clock, Vault: r.cfg.Vault, Archive: r.cfg.Archive})
	return &r
}

func (k *keeping) segmentState() segmentState {
	k.t.Helper()
	s := segmentState{
		archived: k.number(`SELECT count(*) FROM archived_segment`),
		dropped:  k.number(`SELECT count(dropped_at) FROM archived_segment`),
		deleted:  k.number(`SELECT count(deleted_at) FROM archived_segment`),
		payloads: k.number(`SELECT count(payload) FROM batch`),
		leaves:   k.number(`SELECT size FROM ledger_head`) - postgres.SegmentSize,
	}
	list := k.bucket.List(nil)
	for {
		_, err := list.Next(k.t.Context())
		if errors.Is(err, io.EOF) {
			return s
		}
		if err != nil {
			k.t.Fatal(err)
		}
		s.objects++
	}
}
