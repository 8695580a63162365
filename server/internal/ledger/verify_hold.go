package ledger

import (
	"context"
	"fmt"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// holds are those that stand, by the leaves so far.
type holds struct {
	standing map[assay.HoldID]assay.HostID // zero: all hosts
	// deleted are segments that were deleted while a host was held: whether it has
	// batches in them is asked at the end.
	deleted map[heldSegment]bool
}

type heldSegment struct {
	Position int64        `json:"position"` // of the leaf that says it was deleted
	Segment  int64        `json:"segment"`
	Hold     assay.HoldID `json:"hold"`
	Host     assay.HostID `json:"host"`
}

func newHolds() holds {
	return holds{standing: map[assay.HoldID]assay.HostID{}, deleted: map[heldSegment]bool{}}
}

func (v *verifier) holdLeaf(position int64, leaf *evidence.Leaf) {
	var record evidence.HoldRecord
	if err := evidence.Decode(leaf.Body, &record); err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	switch record.Action {
	case evidence.HoldPlaced:
		v.holds.standing[assay.HoldID(record.Hold)] = assay.HostID(record.Host)
	case evidence.HoldReleased:
		if _, ok := v.holds.standing[assay.HoldID(record.Hold)]; !ok {
			v.problem("hold", position, fmt.Sprintf("%s is released where it did not stand", record.Hold))
		}
		delete(v.holds.standing, assay.HoldID(record.Hold))
	default:
		v.problem("leaf", position, fmt.Sprintf("%q is nothing that happens to a hold", record.Action))
	}
}

// underHold compares what was erased or deleted with the holds that stood then.
func (v *verifier) underHold(position int64, record *evidence.ErasureRecord) {
	for id, host := range v.holds.standing {
		all := host == assay.HostID{}
		switch {
		case record.Action == evidence.ErasureDone && (all || host == assay.HostID(record.Host)):
			v.problem("erasure", position, fmt.Sprintf("what host %s sent in %s was erased while hold %s stood", record.Host, record.Month, id))
		case record.Action == evidence.SegmentDeleted && all:
			v.heldDeleted(position, record.Segment, id)
		case record.Action == evidence.SegmentDeleted:
			v.holds.deleted[heldSegment{position, record.Segment, id, host}] = true
		}
	}
}

func (v *verifier) heldDeleted(position, segment int64, hold assay.HoldID) {
	v.problem("erasure", position, fmt.Sprintf("segment %d was deleted while hold %s stood", segment, hold))
}

func (v *verifier) finishHolds(ctx context.Context, store *postgres.Store) error {
	for held := range v.holds.deleted {
		has, err := store.HasBatches(ctx, held.Segment, held.Host)
		if err != nil {
			return err
		}
		if has {
			v.heldDeleted(held.Position, held.Segment, held.Hold)
		}
	}
	for _, row := range v.snapshot.StrayRows {
		v.problem(row.Kind.String(), -1, fmt.Sprintf("the row of %s says what no leaf does", row.Name))
	}
	return nil
}
