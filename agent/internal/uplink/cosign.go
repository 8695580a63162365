package uplink

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// trustedKey is the ledger key that checkpoints are verified with.
type trustedKey struct {
	text     string
	verifier note.Verifier
}

// trust follows key changes from the first key on.
func trust(first string, changes []string) (trustedKey, error) {
	verifier, err := note.NewVerifier(first)
	if err != nil {
		return trustedKey{}, fmt.Errorf("reading the ledger key: %w", err)
	}
	key := trustedKey{first, verifier}
	for _, change := range changes {
		if key, err = key.next([]byte(change)); err != nil {
			return trustedKey{}, fmt.Errorf("following the ledger key: %w", err)
		}
	}
	return key, nil
}

// next is the key that a change by this one leads to.
func (k trustedKey) next(change []byte) (trustedKey, error) {
	rotation, verifier, err := evidence.OpenRotation(change, k.text)
	if err != nil {
		return k, err
	}
	return trustedKey{rotation.Key, verifier}, nil
}

// maxKeyChanges bounds those that are taken from one answer, and that are kept.
const maxKeyChanges = 64

// follow takes over a ledger key that the one before signed. What it did not
// sign is left alone: the checkpoint must then verify by the key that is trusted.
func (s *session) follow(changes [][]byte) error {
	u := s.u
	kept := slices.Clone(u.State().KeyChanges)
	if len(changes) == 0 || len(changes)+len(kept) > maxKeyChanges {
		return nil
	}
	key := u.trusted
	for _, change := range changes {
		next, err := key.next(change)
		if err != nil {
			u.cfg.Log.Warn("the server names a ledger key that the trusted one did not sign, which is not taken over", "error", err)
			return nil
		}
		key, kept = next, append(kept, string(change))
	}
	if err := u.saveState(func(st *State) { st.KeyChanges = kept }); err != nil {
		return err
	}
	u.cfg.Log.Info("the ledger's key was rotated, by its own word", "key", key.text, "was", u.trusted.text)
	u.trusted = key
	return nil
}

// cosign signs a checkpoint that was verified. The signature says that it
// extends every one that this agent had verified before.
func (s *session) cosign(c evidence.Checkpoint) error {
	if s.u.cfg.Sign == nil {
		return nil
	}
	at := s.u.cfg.Now().Unix()
	signature, err := s.u.cfg.Sign(evidence.CosignatureHash(c, at))
	if err != nil {
		return fmt.Errorf("cosigning checkpoint of %d leaves: %w", c.Size, err)
	}
	return s.send(&agentv1.ConnectRequest{Frame: &agentv1.ConnectRequest_Cosignature{Cosignature: &agentv1.Cosignature{
		Size: uint64(c.Size), Root: c.Root[:], SignedAt: at, Signature: signature,
	}}})
}
