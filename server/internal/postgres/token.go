package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// CreateToken keeps a new enrolment token. It is Invalid if the token is.
func (s *Store) CreateToken(ctx context.Context, t assay.Token) error {
	if err := t.Validate(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO enrolment_token (id, name, secret_hash, rights, tags, uses_left, created_at, created_by, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			[16]byte(t.ID), t.Name, t.SecretHash[:], texts[string](t.Rights), orEmpty(t.Tags), t.UsesLeft, t.CreatedAt, t.CreatedBy, t.ExpiresAt)
		if err != nil {
			return fmt.Errorf("inserting: %w", err)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: t.CreatedBy, Action: "token.create", Subject: t.ID.String(),
			Detail: map[string]string{"name": t.Name, "rights": strings.Join(texts[string](t.Rights), " "), "uses": strconv.Itoa(t.UsesLeft)}, RecordedAt: s.clock()})
	})
	return translate("inserting enrolment token", err)
}

// Tokens lists the enrolment tokens, newest first, at most limit.
func (s *Store) Tokens(ctx context.Context, limit int) ([]assay.Token, error) {
	rows, err := s.db.Query(ctx, `SELECT id, name, secret_hash, rights, tags, uses_left, created_at, created_by, expires_at, revoked_at
		FROM enrolment_token ORDER BY created_at DESC, id LIMIT $1`, limit)
	if err != nil {
		return nil, translate("listing enrolment tokens", err)
	}
	tokens, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Token, error) {
		var t assay.Token
		var hash []byte
		var rights []string
		var revoked *time.Time
		err := row.Scan((*[16]byte)(&t.ID), &t.Name, &hash, &rights, &t.Tags, &t.UsesLeft, &t.CreatedAt, &t.CreatedBy, &t.ExpiresAt, &revoked)
		copy(t.SecretHash[:], hash)
		t.Rights, t.RevokedAt = texts[assay.Right](rights), orZero(revoked)
		return t, err
	})
	return tokens, translate("listing enrolment tokens", err)
}

// RevokeToken ends a token: nobody enrols with it any more. Agents that did are
// not touched. It is NotFound if there is none that stands.
func (s *Store) RevokeToken(ctx context.Context, id assay.TokenID, by string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE enrolment_token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL`, [16]byte(id), now)
		if err != nil {
			return fmt.Errorf("marking: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return assay.Errorf(assay.NotFound, "there is no enrolment token %s that stands", id)
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "token.revoke", Subject: id.String(), Detail: map[string]string{}, RecordedAt: now})
	})
	return translate("revoking enrolment token", err)
}

// useToken takes one use of the token. The condition is in the UPDATE, so that
// two who come at once for its last use cannot both have it. A token that is
// unknown, spent, expired or revoked is Unauthentic, and which is not told.
func useToken(ctx context.Context, tx pgx.Tx, secretHash []byte, now time.Time) (assay.Token, error) {
	var t assay.Token
	var rights []string
	err := tx.QueryRow(ctx, `UPDATE enrolment_token SET uses_left = uses_left - 1
		WHERE secret_hash = $1 AND uses_left > 0 AND expires_at > $2 AND revoked_at IS NULL AND 'enrol' = ANY (rights)
		RETURNING id, name, rights, tags`, secretHash, now).Scan((*[16]byte)(&t.ID), &t.Name, &rights, &t.Tags)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, assay.Errorf(assay.Unauthentic, "the enrolment token is unknown, used up, expired or revoked")
	}
	if err != nil {
		return t, fmt.Errorf("using enrolment token: %w", err)
	}
	t.Rights = texts[assay.Right](rights)
	return t, nil
}
