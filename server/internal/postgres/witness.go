package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// WitnessCosignature is what an outside witness signed.
type WitnessCosignature struct {
	Size int64
	// Key is the witness's verifier key, Name its name.
	Key, Name string
	SignedAt  time.Time
	// Line is the signature as it stands under a note, with its newline.
	Line string
}

// KeepWitnessCosignature keeps a cosignature that was verified. A second of one
// size by one key takes the place of the first: witnesses sign anew what has not
// changed.
func (s *Store) KeepWitnessCosignature(ctx context.Context, w *WitnessCosignature) error {
	_, err := s.db.Exec(ctx, `INSERT INTO witness_cosignature (size, key, name, signed_at, line) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (size, key) DO UPDATE SET signed_at = excluded.signed_at, line = excluded.line WHERE witness_cosignature.signed_at < excluded.signed_at`,
		w.Size, w.Key, w.Name, w.SignedAt, w.Line)
	return translate("keeping witness's cosignature", err)
}

// WitnessCosignatures returns those of a size, by name.
func (s *Store) WitnessCosignatures(ctx context.Context, size int64) ([]WitnessCosignature, error) {
	return s.witnessed(ctx, `SELECT size, key, name, signed_at, line FROM witness_cosignature WHERE size = $1 ORDER BY name, key`, size)
}

// NewestWitnessCosignatures returns the newest of each witness, by name.
func (s *Store) NewestWitnessCosignatures(ctx context.Context) ([]WitnessCosignature, error) {
	return s.witnessed(ctx, `SELECT DISTINCT ON (name, key) size, key, name, signed_at, line FROM witness_cosignature ORDER BY name, key, size DESC`)
}

func (s *Store) witnessed(ctx context.Context, sql string, args ...any) ([]WitnessCosignature, error) {
	rows, err := s.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, translate("reading witnesses' cosignatures", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w WitnessCosignature, err error) {
		err = row.Scan(&w.Size, &w.Key, &w.Name, &w.SignedAt, &w.Line)
		w.SignedAt = w.SignedAt.UTC()
		return w, err
	})
	return list, translate("reading witnesses' cosignatures", err)
}

// NewestWitnessed returns the newest checkpoint that a witness cosigned, or
// NotFound.
func (s *Store) NewestWitnessed(ctx context.Context) (Checkpoint, error) {
	c, err := scanCheckpoint(s.db.QueryRow(ctx, `SELECT size, root, note, signed_at FROM checkpoint
		WHERE size IN (SELECT size FROM witness_cosignature) ORDER BY size DESC LIMIT 1`))
	return c, translate("reading witnessed checkpoint", err)
}

// TimeStamp is an RFC 3161 token over a checkpoint's text.
type TimeStamp struct {
	Size      int64
	Authority string // its address
	StampedAt time.Time
	Token     []byte // DER
}

// KeepTimeStamp keeps a token that was verified.
func (s *Store) KeepTimeStamp(ctx context.Context, t *TimeStamp) error {
	_, err := s.db.Exec(ctx, `INSERT INTO time_stamp (size, authority, stamped_at, token) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		t.Size, t.Authority, t.StampedAt, t.Token)
	return translate("keeping time-stamp", err)
}

// TimeStamps returns the newest, at most limit, of an authority or with "" of all.
func (s *Store) TimeStamps(ctx context.Context, authority string, limit int) ([]TimeStamp, error) {
	rows, err := s.db.Query(ctx, `SELECT size, authority, stamped_at, token FROM time_stamp WHERE $1 = '' OR authority = $1
		ORDER BY stamped_at DESC, size DESC LIMIT $2`, authority, limit)
	if err != nil {
		return nil, translate("reading time-stamps", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t TimeStamp, err error) {
		err = row.Scan(&t.Size, &t.Authority, &t.StampedAt, &t.Token)
		t.StampedAt = t.StampedAt.UTC()
		return t, err
	})
	return list, translate("reading time-stamps", err)
}
