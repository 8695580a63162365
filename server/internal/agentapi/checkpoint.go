package agentapi

import (
	"fmt"
	"math"

	"golang.org/x/mod/sumdb/note"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// maxKey bounds a ledger key that an agent names, in bytes.
const maxKey = 512

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
	if len(req.GetKnownKey()) > maxKey {
		return assay.Errorf(assay.Invalid, "a ledger key of %d bytes", len(req.GetKnownKey()))
	}
	answer := &agentv1.Checkpoint{Cosign: req.GetCosign(), KnownSize: req.GetKnownSize()}
	latest, err := s.newest(req)
	switch {
	case assay.KindOf(err) == assay.NotFound:
	case err != nil:
		return err
	default:
		answer.Note = latest.Note
		if err := s.prove(req.GetKnownSize(), latest, streams, answer); err != nil {
			return err
		}
	}
	if answer.KeyChanges, err = s.keyChanges(req.GetKnownKey(), answer.GetNote()); err != nil {
		return err
	}
	s.out.push(&agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Checkpoint{Checkpoint: answer}})
	return nil
}

// newest is the checkpoint to answer with: where it is to be cosigned, the one
// that all are offered for a while.
func (s *session) newest(req *agentv1.CheckpointRequest) (postgres.Checkpoint, error) {
	if !req.GetCosign() || req.GetKnownSize() > math.MaxInt64 {
		return s.server.cfg.Prover.Latest(s.ctx)
	}
	return s.server.cfg.Prover.Offered(s.ctx, int64(req.GetKnownSize()))
}

// keyChanges leads from a key that the agent knows to the ledger's, where that
// one signed the checkpoint. An agent that says nothing of its key, or knows one
// that is none of ours, gets none.
func (s *session) keyChanges(known string, signed []byte) ([][]byte, error) {
	ours := s.server.cfg.Authority.LedgerKey()
	if known == "" || known == ours || len(signed) == 0 {
		return nil, nil
	}
	verifier, err := note.NewVerifier(ours)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's key: %w", err)
	}
	if _, err := evidence.OpenCheckpoint(signed, verifier); err != nil {
		return nil, nil // of before the rotation: the next one will do
	}
	keys, err := s.server.cfg.Store.LedgerKeys(s.ctx)
	if err != nil {
		return nil, err
	}
	var changes [][]byte
	found := false
	for _, key := range keys {
		if found {
			changes = append(changes, []byte(key.Change()))
		}
		found = found || key.Key == known
	}
	return changes, nil
}

func (s *session) prove(known uint64, latest postgres.Checkpoint, streams []assay.StreamID, answer *agentv1.Checkpoint) error {
	size := latest.Size
	if known > uint64(size) {
		// An agent has seen a larger ledger than we have: ours was restored, or
		// replaced. No proof exists; the agent raises it on its side too.
		s.server.cfg.Log.ErrorContext(s.ctx, "an agent has seen a larger ledger", "agent_id", s.caller.agent.ID.String(),
			"known_size", known, "size", size)
	} else {
		proof, err := s.server.cfg.Prover.ConsistencyOf(s.ctx, int64(known), latest)
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
