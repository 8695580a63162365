package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Vouched is the checkpoint that somebody signed, as far as there is one.
type Vouched struct {
	Missing    bool
	Checkpoint Checkpoint
}

func vouched(size int64, root, note []byte) Vouched {
	v := Vouched{Missing: note == nil, Checkpoint: Checkpoint{Tree: Tree{Size: size}, Note: note}}
	copy(v.Checkpoint.Root[:], root)
	return v
}

// CosignatureRow is an agent's cosignature with what it speaks of.
type CosignatureRow struct {
	Cosignature
	Vouched
	// DER is the certificate that its serial names, nil where there is none, and
	// Owner whose that is.
	DER   []byte
	Owner assay.AgentID
}

// CosignatureKey is the order of cosignatures.
type CosignatureKey struct {
	Size  int64         `json:"size"`
	Agent assay.AgentID `json:"agent"`
}

// CosignatureRows returns the cosignatures behind a key, at most limit, in order.
func (s *Store) CosignatureRows(ctx context.Context, after CosignatureKey, limit int) ([]CosignatureRow, error) {
	rows, err := s.db.Query(ctx, `SELECT c.size, c.agent_id, c.certificate_serial, c.signed_at, c.received_at, c.signature, p.root, p.note, t.der, t.agent_id
		FROM (SELECT * FROM cosignature WHERE (size, agent_id) > ($1, $2) ORDER BY size, agent_id LIMIT $3) c
		LEFT JOIN checkpoint p USING (size) LEFT JOIN certificate t ON t.serial = c.certificate_serial ORDER BY c.size, c.agent_id`, after.Size, [16]byte(after.Agent), limit)
	if err != nil {
		return nil, translate("reading cosignatures", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c CosignatureRow, err error) {
		var at time.Time
		var root, note []byte
		var owner *[16]byte
		err = row.Scan(&c.Size, (*[16]byte)(&c.Agent), &c.Serial, &at, &c.ReceivedAt, &c.Signature, &root, &note, &c.DER, &owner)
		if owner != nil {
			c.Owner = *owner
		}
		c.At, c.ReceivedAt, c.Vouched = at.Unix(), c.ReceivedAt.UTC(), vouched(c.Size, root, note)
		return c, err
	})
	return list, translate("reading cosignatures", err)
}

// WitnessRow is a witness's cosignature with what it speaks of.
type WitnessRow struct {
	WitnessCosignature
	Vouched
}

// WitnessRows returns the cosignatures of witnesses behind a size and key, at
// most limit, in that order.
func (s *Store) WitnessRows(ctx context.Context, size int64, key string, limit int) ([]WitnessRow, error) {
	rows, err := s.db.Query(ctx, `SELECT w.size, w.key, w.name, w.signed_at, w.line, p.root, p.note
		FROM (SELECT * FROM witness_cosignature WHERE (size, key) > ($1, $2) ORDER BY size, key LIMIT $3) w
		LEFT JOIN checkpoint p USING (size) ORDER BY w.size, w.key`, size, key, limit)
	if err != nil {
		return nil, translate("reading witnesses' cosignatures", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w WitnessRow, err error) {
		var root, note []byte
		err = row.Scan(&w.Size, &w.Key, &w.Name, &w.SignedAt, &w.Line, &root, &note)
		w.SignedAt, w.Vouched = w.SignedAt.UTC(), vouched(w.Size, root, note)
		return w, err
	})
	return list, translate("reading witnesses' cosignatures", err)
}

// TimeStampRow is a time-stamp with what it speaks of.
type TimeStampRow struct {
	TimeStamp
	Vouched
}

// TimeStampRows returns the time-stamps behind a size and authority, at most
// limit, in that order.
func (s *Store) TimeStampRows(ctx context.Context, size int64, authority string, limit int) ([]TimeStampRow, error) {
	rows, err := s.db.Query(ctx, `SELECT t.size, t.authority, t.stamped_at, t.token, p.root, p.note
		FROM (SELECT * FROM time_stamp WHERE (size, authority) > ($1, $2) ORDER BY size, authority LIMIT $3) t
		LEFT JOIN checkpoint p USING (size) ORDER BY t.size, t.authority`, size, authority, limit)
	if err != nil {
		return nil, translate("reading time-stamps", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t TimeStampRow, err error) {
		var root, note []byte
		err = row.Scan(&t.Size, &t.Authority, &t.StampedAt, &t.Token, &root, &note)
		t.StampedAt, t.Vouched = t.StampedAt.UTC(), vouched(t.Size, root, note)
		return t, err
	})
	return list, translate("reading time-stamps", err)
}
