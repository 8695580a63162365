package agentapi

import (
	"fmt"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// checkpoint answers with the newest checkpoint and what it proves. Before
// there is any, and for what it cannot prove, it says so by leaving it out:
// judging that is the agent's.
func (s *session) checkpoint(req *agentv1.CheckpointRequest) error {
	if len(req.GetStreamIds()) > maxHeads {
		return assay.Errorf(assay.Invalid, "%d streams in a checkpoint request, at most %d", len(req.GetStreamIds()), maxHeads)
	}
	var streams []assay.StreamID
	for _, raw := range req.GetStreamIds() {
		if len(raw) != len(assay.StreamID{}) {
			return assay.Errorf(assay.Invalid, "a stream id has %d bytes", len(raw))
		}
		streams = append(streams, assay.StreamID(raw))
	}
	answer := &agentv1.Checkpoint{}
	latest, err := s.server.cfg.Prover.Latest(s.ctx)
	switch {
	case assay.KindOf(err) == assay.NotFound:
	case err != nil:
		return err
	default:
		answer.Note = latest.Note
		if err := s.prove(req.GetKnownSize(), latest.Size, streams, answer); err != nil {
			return err
		}
	}
	s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Checkpoint{Checkpoint: answer}})
	return nil
}

func (s *session) prove(known uint64, size int64, streams []assay.StreamID, answer *agentv1.Checkpoint) error {
	if known > uint64(size) {
		// An agent has seen a larger ledger than we have: ours was restored, or
		// replaced. No proof exists; the agent raises it on its side too.
		s.server.cfg.Log.ErrorContext(s.ctx, "an agent has seen a larger ledger", "agent_id", s.caller.agent.ID.String(),
			"known_size", known, "size", size)
	} else {
		proof, err := s.server.cfg.Prover.Consistency(s.ctx, int64(known), size)
		if err != nil {
			return err
		}
		answer.Consistency = raw(proof)
	}
	leaves, err := s.server.cfg.Store.NewestBelow(s.ctx, s.caller.agent.ID, streams, size)
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		proof, err := s.server.cfg.Prover.Inclusion(s.ctx, leaf.Position, size)
		if err != nil {
			return fmt.Errorf("proving stream head: %w", err)
		}
		answer.Inclusions = append(answer.Inclusions, &agentv1.Inclusion{
			StreamId: leaf.Stream[:], Position: uint64(leaf.Position), Leaf: leaf.Leaf, Proof: raw(proof)})
	}
	return nil
}

func raw(hashes []evidence.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}
