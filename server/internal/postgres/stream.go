package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

const headColumns = `id, agent_id, kind, epoch, number, hash, next_sequence, position, committed_at`

// headRow scans headColumns; its pointers are in their order.
type headRow struct {
	head                 assay.Head
	kind                 int16
	epoch                int32
	number, nextSequence int64
	hash                 []byte
	committedAt          *time.Time
}

func (r *headRow) into() []any {
	h := &r.head
	return []any{(*[16]byte)(&h.Stream), (*[16]byte)(&h.Agent), &r.kind, &r.epoch, &r.number, &r.hash, &r.nextSequence, &h.Position, &r.committedAt}
}

func (r *headRow) finish() assay.Head {
	h := r.head
	h.Kind, h.Epoch, h.Number, h.NextSequence = evidence.StreamKind(r.kind), uint32(r.epoch), uint64(r.number), uint64(r.nextSequence)
	copy(h.Hash[:], r.hash)
	h.CommittedAt = orZero(r.committedAt)
	return h
}

// Heads returns where the agent's streams stand.
func (s *Store) Heads(ctx context.Context, agent assay.AgentID) ([]assay.Head, error) {
	rows, err := s.db.Query(ctx, `SELECT `+headColumns+` FROM stream WHERE agent_id = $1 ORDER BY kind`, [16]byte(agent))
	if err != nil {
		return nil, translate("reading stream heads", err)
	}
	heads, err := pgx.CollectRows(rows, scanHead)
	return heads, translate("reading stream heads", err)
}

func scanHead(row pgx.CollectableRow) (assay.Head, error) {
	var r headRow
	err := row.Scan(r.into()...)
	return r.finish(), err
}

// OpenEpoch grants a new epoch of the agent's stream of that kind, and makes
// the stream where there is none. It returns the new head and the canonical
// opening, which is recorded as a leaf. Denied: the agent is revoked, or may
// not import.
func (s *Store) OpenEpoch(ctx context.Context, r assay.EpochRequest) (head assay.Head, opening []byte, err error) {
	if err := r.Validate(); err != nil {
		return head, nil, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		// The agent's lock also makes two openings of one agent wait for each other.
		agent, err := lockAgent(ctx, tx, r.Agent)
		if err != nil {
			return err
		}
		if r.Kind == evidence.Import && !agent.May(assay.RightImport) {
			return assay.Errorf(assay.Denied, "the agent may not import logs")
		}
		var previous headRow
		err = tx.QueryRow(ctx, `SELECT `+headColumns+` FROM stream WHERE agent_id = $1 AND kind = $2 FOR UPDATE`,
			[16]byte(r.Agent), int16(r.Kind)).Scan(previous.into()...)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("locking stream: %w", err)
		}
		head, opening, err = s.grantEpoch(ctx, tx, &agent, r, previous.finish(), errors.Is(err, pgx.ErrNoRows))
		return err
	})
	return head, opening, translate("opening epoch", err)
}

func (s *Store) grantEpoch(ctx context.Context, tx pgx.Tx, agent *assay.Agent, r assay.EpochRequest, previous assay.Head, fresh bool) (assay.Head, []byte, error) {
	head := previous
	switch {
	case fresh:
		head = assay.Head{Agent: agent.ID, Kind: r.Kind, Position: -1}
		_, _ = rand.Read(head.Stream[:])
		setVersion4((*[16]byte)(&head.Stream))
		r.Reason = assay.ReasonFirst
	case r.Reason == assay.ReasonFirst:
		// The agent knows of no stream, we do: it lost what it had.
		r.Reason = assay.ReasonReinstall
	}
	lost, err := lostRecord(agent, r, &previous, fresh)
	if err != nil {
		return assay.Head{}, nil, err
	}
	taken, err := s.takePositions(ctx, tx, 1+len(lost))
	if err != nil {
		return assay.Head{}, nil, err
	}
	record := evidence.Opening{
		Kind: r.Kind, Stream: evidence.StreamID(head.Stream), Epoch: previous.Epoch + 1, Reason: r.Reason, GrantedAt: evidence.Ticks(taken.at),
		Predecessor: previous.Hash, PredecessorNumber: previous.Number, FirstSequence: head.NextSequence,
		BootID: r.BootID, VMGenerationID: r.VMGenerationID, TPMResetCount: r.TPMResetCount,
	}
	opening := record.Canonical()
	head.Epoch, head.Number, head.Hash = record.Epoch, 0, evidence.HashOpening(opening)
	leaves := []evidence.Leaf{{Kind: evidence.LeafEpoch, Body: opening}}
	for _, l := range lost {
		leaves = append(leaves, evidence.Leaf{Kind: l.Kind, Body: l.Body})
	}
	stamp(leaves, taken.at)
	if err := copyLeaves(ctx, tx, taken.first, leaves); err != nil {
		return assay.Head{}, nil, err
	}
	if err := insertRecords(ctx, tx, taken.first+1, lost); err != nil {
		return assay.Head{}, nil, err
	}
	return head, opening, insertEpoch(ctx, tx, agent, &head, opening, taken, fresh)
}

// lostRecord is what is to be recorded as lost, if the agent speaks of what
// follows the head that we have.
func lostRecord(agent *assay.Agent, r assay.EpochRequest, previous *assay.Head, fresh bool) ([]Record, error) {
	if fresh || r.LostFrom == 0 || r.LostFrom != previous.Number+1 {
		return nil, nil
	}
	record, err := NewRecord(evidence.LeafLost, previous.Stream.String(), evidence.LostRecord{
		Agent: evidence.ID(agent.ID), Host: evidence.ID(agent.HostID), Stream: evidence.ID(previous.Stream), Epoch: previous.Epoch, From: r.LostFrom, To: r.LostTo,
	})
	return []Record{record}, err
}

func insertEpoch(ctx context.Context, tx pgx.Tx, agent *assay.Agent, head *assay.Head, opening []byte, taken positions, fresh bool) error {
	var err error
	if fresh {
		_, err = tx.Exec(ctx, `INSERT INTO stream (id, agent_id, kind, lane, epoch, number, hash, next_sequence, opened_at)
			VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8)`, [16]byte(head.Stream), [16]byte(agent.ID), int16(head.Kind),
			assay.LaneOf(agent.HostID), int32(head.Epoch), head.Hash[:], int64(head.NextSequence), taken.at)
	} else {
		_, err = tx.Exec(ctx, `UPDATE stream SET epoch = $2, number = 0, hash = $3 WHERE id = $1`,
			[16]byte(head.Stream), int32(head.Epoch), head.Hash[:])
	}
	if err != nil {
		return fmt.Errorf("moving stream to epoch %d: %w", head.Epoch, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO epoch (stream_id, epoch, opening, granted_at, position) VALUES ($1, $2, $3, $4, $5)`,
		[16]byte(head.Stream), int32(head.Epoch), opening, taken.at, taken.first)
	if err != nil {
		return fmt.Errorf("inserting epoch: %w", err)
	}
	return nil
}

// setVersion4 marks random bytes as a random UUID.
func setVersion4(id *[16]byte) {
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
}
