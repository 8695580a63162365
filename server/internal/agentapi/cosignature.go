package agentapi

import (
	"encoding/hex"
	"math"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// cosignature keeps an agent's signature of a checkpoint of ours. A signature of
// what is none says that somebody showed this agent another ledger.
func (s *session) cosignature(sent *agentv1.Cosignature) error {
	if !s.cosignatures.take(s.server.cfg.Now(), cosignatureBurst, cosignaturePerSecond) {
		s.server.metrics.refused("rate")
		return nil // the next one will do
	}
	if len(sent.GetRoot()) != len(evidence.Hash{}) || sent.GetSize() > math.MaxInt64 {
		return assay.Errorf(assay.Invalid, "a cosignature of size %d with a root of %d bytes", sent.GetSize(), len(sent.GetRoot()))
	}
	c := postgres.Cosignature{Size: int64(sent.GetSize()), Agent: s.caller.agent.ID, Serial: s.caller.serial,
		Cosignature: evidence.Cosignature{At: sent.GetSignedAt(), Signature: sent.GetSignature()}}
	signed := evidence.Checkpoint{Origin: s.server.cfg.Authority.LedgerSigners()[0].Name(), Size: c.Size, Root: evidence.Hash(sent.GetRoot())}
	if err := c.Check(signed, s.caller.key); err != nil {
		s.server.metrics.refused("cosignature")
		return assay.Errorf(assay.Invalid, "%w", err)
	}
	ours, err := s.server.cfg.Store.CheckpointAt(s.ctx, c.Size)
	switch {
	case assay.KindOf(err) == assay.NotFound:
		return nil // of a checkpoint that was thinned out since
	case err != nil:
		return err
	case ours.Root != signed.Root:
		s.server.metrics.refused("other_ledger")
		s.server.cfg.Log.ErrorContext(s.ctx, "ledger_fork: an agent has cosigned another ledger under our name", "agent_id", s.caller.agent.ID.String(),
			"size", c.Size, "its_root", signed.Root.String(), "our_root", ours.Root.String(), "signature", hex.EncodeToString(c.Signature))
		return nil
	}
	// As with batches: what is kept verifies by the certificate that it came by.
	if err := s.authentic(commitTimeout); err != nil {
		return err
	}
	if err := s.server.cfg.Store.KeepCosignature(s.ctx, &c); err != nil {
		return err
	}
	s.server.metrics.cosignatures.Inc()
	return nil
}
