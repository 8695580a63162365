package postgres

import (
	"context"
	"time"
)

// VerificationState is where an unfinished verification stands.
type VerificationState struct {
	StartedAt time.Time
	SavedAt   time.Time
	// Position is the next to be verified, State what the verifier keeps of all
	// before it.
	Position int64
	State    []byte
}

// KeepVerification keeps the state of the verification under way.
func (s *Store) KeepVerification(ctx context.Context, v VerificationState) error {
	_, err := s.db.Exec(ctx, `INSERT INTO ledger_verification_state (started_at, saved_at, position, state) VALUES ($1, $2, $3, $4)
		ON CONFLICT (one) DO UPDATE SET started_at = excluded.started_at, saved_at = excluded.saved_at, position = excluded.position, state = excluded.state`,
		v.StartedAt, v.SavedAt, v.Position, v.State)
	return translate("keeping verification", err)
}

// KeptVerification returns the state that was kept last, or NotFound.
func (s *Store) KeptVerification(ctx context.Context) (VerificationState, error) {
	var v VerificationState
	err := s.db.QueryRow(ctx, `SELECT started_at, saved_at, position, state FROM ledger_verification_state`).Scan(&v.StartedAt, &v.SavedAt, &v.Position, &v.State)
	v.StartedAt, v.SavedAt = v.StartedAt.UTC(), v.SavedAt.UTC()
	return v, translate("reading kept verification", err)
}

// ForgetVerification forgets the kept state.
func (s *Store) ForgetVerification(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `DELETE FROM ledger_verification_state`)
	return translate("forgetting kept verification", err)
}
