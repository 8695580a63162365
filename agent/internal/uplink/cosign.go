package uplink

import (
	"errors"
	"fmt"
	"slices"
	"time"

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
		if key, _, err = key.next([]byte(change)); err != nil {
			return trustedKey{}, fmt.Errorf("following the ledger key: %w", err)
		}
	}
	return key, nil
}

// next is the key that a change by this one leads to: of the same ledger, or of
// one that follows it.
func (k trustedKey) next(change []byte) (trustedKey, *evidence.Succession, error) {
	rotation, verifier, err := evidence.OpenRotation(change, k.text)
	if err == nil {
		return trustedKey{rotation.Key, verifier}, nil, nil
	}
	succession, verifier, otherErr := evidence.OpenSuccession(change, k.text)
	if otherErr != nil {
		return k, nil, errors.Join(err, otherErr)
	}
	return trustedKey{succession.Key, verifier}, &succession, nil
}

// maxKeyChanges bounds those that are taken from one answer, and that are kept.
const maxKeyChanges = 64

// follow takes over a ledger key that the one before signed, and goes over to a
// ledger that follows the trusted one. again says that what this agent knew was
// lost there, so that it must ask for a checkpoint anew. What the trusted key did
// not sign is left alone: the checkpoint must then verify by that key.
func (s *session) follow(changes [][]byte) (again bool, err error) {
	u := s.u
	next := u.State()
	next.KeyChanges = slices.Clone(next.KeyChanges)
	if len(changes) == 0 || len(changes)+len(next.KeyChanges) > maxKeyChanges {
		return false, nil
	}
	key, lost := u.trusted, ""
	for _, change := range changes {
		to, succession, err := key.next(change)
		if err != nil {
			u.cfg.Log.Warn("the server names a ledger key that the trusted one did not sign, which is not taken over", "error", err)
			return false, nil
		}
		if succession != nil {
			if lost, err = next.succeed(succession); err != nil {
				return false, err // a fork: the new ledger denies what we know
			}
			again = true
		}
		key, next.KeyChanges = to, append(next.KeyChanges, string(change))
	}
	// Told before it is recorded, as a fork is.
	if lost != "" {
		u.cfg.Log.Error("ledger_succeeded", "what", lost)
		if u.cfg.LedgerSucceeded != nil {
			u.cfg.LedgerSucceeded(lost)
		}
	}
	if err := u.saveState(func(st *State) { *st = next }); err != nil {
		return false, err
	}
	u.cfg.Log.Info("the ledger has another key, by the word of the one before", "key", key.text, "was", u.trusted.text)
	u.trusted = key
	return again, nil
}

// succeed goes over to a ledger that has lost leaves of ours by its own word: to
// the tree that both have. It is a fork where that word does not cover what we
// know. lost says what is gone.
func (st *State) succeed(s *evidence.Succession) (lost string, err error) {
	switch {
	case st.Size > s.Held.Size:
		return "", forkf("its successor says that nobody held more than %d leaves, this agent holds a checkpoint of %d", s.Held.Size, st.Size)
	case st.Size == s.Held.Size && st.Root != s.Held.Root:
		return "", forkf("its successor says that the ledger of %d leaves had another root", st.Size)
	}
	// What is no longer than what was kept must be a prefix of it, as always.
	if st.Size > s.Kept.Size {
		st.Size, st.Root, st.Note = s.Kept.Size, s.Kept.Root, ""
	}
	st.Fork, st.ForkNote, st.ForkAt = "", "", time.Time{}
	return fmt.Sprintf("the server's ledger was restored from an older backup: of %d leaves it kept %d, and goes on under the name %s", s.Held.Size, s.Kept.Size, evidence.KeyName(s.Key)), nil
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
