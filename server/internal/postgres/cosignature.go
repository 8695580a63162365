package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Cosignature is an agent's signature of a checkpoint, as it is kept.
type Cosignature struct {
	Size   int64
	Agent  assay.AgentID
	Serial []byte // of the certificate that it came by
	evidence.Cosignature
	ReceivedAt time.Time
}

// KeepCosignature keeps a cosignature; a second of the same size by the same
// agent takes the place of the first.
func (s *Store) KeepCosignature(ctx context.Context, c *Cosignature) error {
	if err := cosignatureTable.ready(ctx, s, uint64(c.Size)); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, `INSERT INTO cosignature (size, agent_id, certificate_serial, signed_at, received_at, signature)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (size, agent_id) DO UPDATE SET certificate_serial = excluded.certificate_serial,
			signed_at = excluded.signed_at, received_at = excluded.received_at, signature = excluded.signature`,
		c.Size, [16]byte(c.Agent), c.Serial, time.Unix(c.At, 0).UTC(), s.clock(), c.Signature)
	return translate("keeping cosignature", err)
}

// Cosignatures returns those of the checkpoint of a size, with each agent's key.
func (s *Store) Cosignatures(ctx context.Context, size int64) ([]Cosignature, [][]byte, error) {
	rows, err := s.db.Query(ctx, `SELECT c.size, c.agent_id, c.certificate_serial, c.signed_at, c.received_at, c.signature, a.public_key
		FROM cosignature c JOIN agent a ON a.id = c.agent_id WHERE c.size = $1 ORDER BY c.agent_id`, size)
	if err != nil {
		return nil, nil, translate("reading cosignatures", err)
	}
	var keys [][]byte
	cosignatures, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Cosignature, err error) {
		var at time.Time
		var key []byte
		err = row.Scan(&c.Size, (*[16]byte)(&c.Agent), &c.Serial, &at, &c.ReceivedAt, &c.Signature, &key)
		c.At = at.Unix()
		keys = append(keys, key)
		return c, err
	})
	return cosignatures, keys, translate("reading cosignatures", err)
}

// Vouching says how many hosts stand behind the ledger.
type Vouching struct {
	// Hosts are those with an agent that may speak; Cosigned those of them of which
	// one has cosigned a checkpoint since.
	Hosts, Cosigned int64
	// Size is the newest checkpoint that half of the hosts that cosigned since have
	// signed, or a larger one: what they agree on. 0: none.
	Size int64
}

// Vouching counts the hosts that cosigned since a time. Who signed a size has
// found all smaller ones to be its prefixes.
func (s *Store) Vouching(ctx context.Context, since time.Time) (v Vouching, err error) {
	err = s.db.QueryRow(ctx, `WITH speaking AS (SELECT DISTINCT a.host_id FROM agent a JOIN host h ON h.id = a.host_id WHERE a.revoked_at IS NULL AND h.retired_at IS NULL),
		newest AS (SELECT a.host_id, max(c.size) AS size FROM cosignature c JOIN agent a ON a.id = c.agent_id
			WHERE c.received_at >= $1 AND a.revoked_at IS NULL GROUP BY a.host_id)
		SELECT (SELECT count(*) FROM speaking), (SELECT count(*) FROM newest JOIN speaking USING (host_id)),
			coalesce((SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY size DESC) FROM newest), 0)`, since).Scan(&v.Hosts, &v.Cosigned, &v.Size)
	return v, translate("counting cosignatures", err)
}

// thinned is the comment of a part of which there is nothing more to thin.
const thinned = "thinned"

// ThinCosignatures takes the cosignatures that are not the newest of their agent and
// UTC day out of the parts that the ledger has left behind and that have none since a
// time. Each part is rewritten once. It returns how many went.
func (s *Store) ThinCosignatures(ctx context.Context, before time.Time) (gone int64, err error) {
	parts, err := cosignatureTable.parts(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, part := range parts {
		var due bool
		err := s.db.QueryRow(ctx, fmt.Sprintf(`SELECT $1 <= (SELECT size FROM ledger_head) AND coalesce(obj_description(to_regclass($2), 'pg_class'), '') <> $3
			AND NOT EXISTS (SELECT FROM %s WHERE received_at >= $4)`, part.Name), part.To, part.Name, thinned, before).Scan(&due)
		if err != nil {
			return gone, translate("looking for cosignatures to thin", err)
		}
		if !due {
			continue
		}
		n, err := cosignatureTable.rewrite(ctx, s, part, `EXISTS (SELECT FROM cosignature n WHERE n.agent_id = p.agent_id AND n.size > p.size
			AND date_trunc('day', n.received_at, 'UTC') = date_trunc('day', p.received_at, 'UTC'))`)
		if err != nil {
			return gone, err
		}
		gone += n
		// One that fails here is rewritten again, and stays as it is.
		if _, err := s.db.Exec(ctx, fmt.Sprintf(`COMMENT ON TABLE %s IS '%s'`, part.Name, thinned)); err != nil {
			return gone, translate("noting thinned cosignatures", err)
		}
	}
	return gone, nil
}
