package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// CreateUser adds a user who may sign in. It is Conflict if the name is taken,
// whatever its case.
func (s *Store) CreateUser(ctx context.Context, user assay.User, by string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO console_user (id, name, password_hash, role, created_at) VALUES ($1, $2, $3, $4, $5)`,
			user.ID, user.Name, user.PasswordHash, user.Role.String(), now)
		if err != nil {
			return fmt.Errorf("inserting user %s: %w", user.Name, err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{
			User: by, Action: "user.create", Subject: user.Name,
			Detail: map[string]string{"role": user.Role.String()}, RecordedAt: now,
		})
	})
	if assay.KindOf(translate("", err)) == assay.Conflict {
		return assay.Errorf(assay.Conflict, "there is a user named %q already", user.Name)
	}
	return translate("creating user", err)
}

// SetPassword replaces a user's password and ends all their sessions.
func (s *Store) SetPassword(ctx context.Context, name, hash, by string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var id [16]byte
		err := tx.QueryRow(ctx, `UPDATE console_user SET password_hash = $2 WHERE lower(name) = lower($1) RETURNING id`, name, hash).Scan(&id)
		if err != nil {
			return fmt.Errorf("updating password of %s: %w", name, err)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM session WHERE user_id = $1`, id); err != nil {
			return fmt.Errorf("ending sessions of %s: %w", name, err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "user.password", Subject: name, Detail: map[string]string{}, RecordedAt: now})
	})
	return translate("setting password", err)
}

// UserByName finds an enabled user, whatever the name's case.
func (s *Store) UserByName(ctx context.Context, name string) (assay.User, error) {
	var u assay.User
	var role string
	err := s.db.QueryRow(ctx, `SELECT id, name, password_hash, role, created_at FROM console_user
		WHERE lower(name) = lower($1) AND disabled_at IS NULL`, name).Scan(&u.ID, &u.Name, &u.PasswordHash, &role, &u.CreatedAt)
	if err != nil {
		return u, translate("reading user", err)
	}
	u.Role, err = assay.ParseRole(role)
	return u, err
}

// CreateSession signs a user in, and forgets sessions that have expired.
func (s *Store) CreateSession(ctx context.Context, session assay.Session) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM session WHERE expires_at <= $1`, session.CreatedAt); err != nil {
			return fmt.Errorf("deleting expired sessions: %w", err)
		}
		_, err := tx.Exec(ctx, `INSERT INTO session (token_hash, user_id, created_at, expires_at, address) VALUES ($1, $2, $3, $4, $5)`,
			session.TokenHash[:], session.User.ID, session.CreatedAt, session.ExpiresAt, session.Address)
		if err != nil {
			return fmt.Errorf("inserting session: %w", err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{
			User: session.User.Name, Action: "session.create", Subject: session.User.Name,
			Detail: map[string]string{"address": session.Address}, RecordedAt: session.CreatedAt,
		})
	})
	return translate("creating session", err)
}

// SessionByToken finds a session that has not expired at now, of an enabled user.
func (s *Store) SessionByToken(ctx context.Context, hash [32]byte, now time.Time) (assay.Session, error) {
	session := assay.Session{TokenHash: hash}
	var role string
	err := s.db.QueryRow(ctx, `SELECT u.id, u.name, u.role, s.created_at, s.expires_at, s.address
		FROM session s JOIN console_user u ON u.id = s.user_id
		WHERE s.token_hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL`, hash[:], now).
		Scan(&session.User.ID, &session.User.Name, &role, &session.CreatedAt, &session.ExpiresAt, &session.Address)
	if err != nil {
		return session, translate("reading session", err)
	}
	session.User.Role, err = assay.ParseRole(role)
	return session, err
}

// DeleteSession signs out.
func (s *Store) DeleteSession(ctx context.Context, hash [32]byte) error {
	_, err := s.db.Exec(ctx, `DELETE FROM session WHERE token_hash = $1`, hash[:])
	return translate("deleting session", err)
}

// CountUsers says how many users may sign in.
func (s *Store) CountUsers(ctx context.Context) (int, error) {
	var n int
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM console_user WHERE disabled_at IS NULL`).Scan(&n)
	return n, translate("counting users", err)
}
