package uplink

import (
	"errors"
	"fmt"

	"github.com/assay-audit/assay/agent/internal/spool"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// maxProof bounds a proof's length: a tree of 2^63 leaves needs no more.
const maxProof = 130

// ask requests a checkpoint with proofs, where there is a stream to prove. One
// that is to be cosigned may be a minute old.
func (s *session) ask(cosign bool) error {
	request := &agentv1.CheckpointRequest{KnownSize: uint64(s.u.State().Size), KnownKey: s.u.trusted.text, Cosign: cosign && s.u.cfg.Sign != nil}
	for _, l := range s.lanes {
		if h := l.spool.Head(); h.Granted && h.Committed > 0 && !l.opening {
			request.StreamIds = append(request.StreamIds, h.Stream[:])
		}
	}
	if len(request.StreamIds) == 0 && request.KnownSize == 0 {
		return nil
	}
	s.asked, s.askedAt = true, s.u.cfg.Now()
	return s.send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_CheckpointRequest{CheckpointRequest: request}})
}

// forkError says how the ledger contradicts itself.
type forkError struct{ reason string }

func (e *forkError) Error() string { return e.reason }

func forkf(format string, args ...any) error { return &forkError{fmt.Sprintf(format, args...)} }

// checkpoint verifies a checkpoint and what it proves. What does not fit is a
// fork of the ledger: it is recorded, told, and ends deletion for good.
func (s *session) checkpoint(c *agentv1.Checkpoint) error {
	s.asked = false
	// Also after a fork: a ledger that was restored may come to say so.
	again, err := s.follow(c.GetKeyChanges())
	if err == nil && again {
		return s.ask(true)
	}
	if err == nil && c.GetKnownSize() != uint64(s.u.State().Size) {
		return nil // it answers a question of before the newest answer
	}
	var fork *forkError
	if s.u.State().Fork != "" && (err == nil || errors.As(err, &fork)) {
		return nil // told already
	}
	var verified evidence.Checkpoint
	if err == nil {
		verified, err = s.verify(c)
	}
	switch {
	case errors.As(err, &fork):
		return s.fork(fork.reason, c.GetNote())
	case err != nil:
		return err
	}
	s.reclaim()
	if c.GetCosign() && verified.Size > 0 {
		return s.cosign(verified)
	}
	return nil
}

func (s *session) fork(reason string, signed []byte) error {
	u := s.u
	u.cfg.Log.Error("ledger_fork: the server's ledger contradicts itself, nothing is deleted here any more", "reason", reason)
	// Told before it is recorded as told: killed in between, the next start tells
	// it once more, and not never.
	if u.cfg.LedgerForked != nil {
		u.cfg.LedgerForked(reason)
	}
	return u.saveState(func(st *State) {
		st.Fork, st.ForkAt, st.ForkNote = reason, u.cfg.Now(), string(signed[:min(len(signed), 64<<10)])
	})
}

func (s *session) verify(c *agentv1.Checkpoint) (checkpoint evidence.Checkpoint, err error) {
	u := s.u
	known := u.State()
	if len(c.GetNote()) == 0 {
		if known.Size > 0 {
			return checkpoint, forkf("it has no checkpoint, an earlier one had %d leaves", known.Size)
		}
		return checkpoint, nil // the ledger has just begun
	}
	checkpoint, err = evidence.OpenCheckpoint(c.GetNote(), u.trusted.verifier)
	if err != nil {
		return checkpoint, forkf("its checkpoint is not signed by the ledger key: %v", err)
	}
	if err := extends(checkpoint, known, c.GetConsistency()); err != nil {
		return checkpoint, err
	}
	for _, inclusion := range c.GetInclusions() {
		if err := s.included(checkpoint, inclusion); err != nil {
			return checkpoint, err
		}
	}
	if checkpoint.Size == known.Size && known.Note != "" {
		return checkpoint, nil
	}
	return checkpoint, u.saveState(func(st *State) {
		st.Size, st.Root, st.Note, st.At = checkpoint.Size, checkpoint.Root, string(c.GetNote()), u.cfg.Now()
	})
}

// extends checks that the tree we know is a prefix of the checkpoint's.
func extends(c evidence.Checkpoint, known State, consistency [][]byte) error {
	switch {
	case c.Size < known.Size:
		return forkf("its checkpoint has %d leaves, an earlier one had %d", c.Size, known.Size)
	case c.Size == known.Size && known.Size > 0:
		if c.Root != known.Root {
			return forkf("two checkpoints of %d leaves have different roots", c.Size)
		}
		return nil
	case known.Size == 0:
		return nil
	}
	path, err := hashes(consistency)
	if err == nil {
		err = evidence.CheckConsistency(c.Root, c.Size, known.Root, known.Size, path)
	}
	if err != nil {
		return forkf("the checkpoint of %d leaves does not extend the one of %d: %v", c.Size, known.Size, err)
	}
	return nil
}

// included checks that the ledger holds a batch of ours as we wrote it.
func (s *session) included(c evidence.Checkpoint, i *agentv1.Inclusion) error {
	leaf, err := evidence.ParseLeaf(i.GetLeaf())
	if err != nil || leaf.Kind != evidence.LeafBatch {
		return forkf("the leaf at position %d is not a batch", i.GetPosition())
	}
	batch, err := evidence.ParseBatchLeaf(leaf.Body)
	if err != nil {
		return forkf("the leaf at position %d is not a batch: %v", i.GetPosition(), err)
	}
	if batch.Agent != s.u.cfg.AgentID {
		return forkf("the leaf at position %d is another agent's", i.GetPosition())
	}
	path, err := hashes(i.GetProof())
	if err == nil {
		err = evidence.CheckInclusion(c.Root, c.Size, int64(i.GetPosition()), evidence.HashLeaf(i.GetLeaf()), path)
	}
	if err != nil {
		return forkf("the leaf at position %d is not in the checkpoint of %d leaves: %v", i.GetPosition(), c.Size, err)
	}
	for _, l := range s.lanes {
		err := l.spool.Covered(batch.Stream, batch.Epoch, batch.Number, batch.Header)
		if errors.Is(err, spool.ErrMismatch) {
			return forkf("the ledger holds another batch %d of the %s stream than this host sent", batch.Number, l.kind)
		}
	}
	s.dirty = true
	return nil
}

func hashes(proof [][]byte) ([]evidence.Hash, error) {
	if len(proof) > maxProof {
		return nil, fmt.Errorf("a proof of %d hashes", len(proof))
	}
	out := make([]evidence.Hash, len(proof))
	for i, p := range proof {
		if len(p) != len(out[i]) {
			return nil, fmt.Errorf("a hash of %d bytes", len(p))
		}
		copy(out[i][:], p)
	}
	return out, nil
}
