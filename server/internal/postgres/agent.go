package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Enrolment is what makes a host and its agent.
type Enrolment struct {
	SecretHash []byte
	Host       assay.Host
	KeyKind    assay.KeyKind
	PublicKey  []byte
	Version    string
	// Issue makes the certificate, once the token is known to be good.
	Issue func(assay.AgentID) (assay.Certificate, error)
}

// Enrol uses the token and makes host, agent, certificate and its leaf in one
// transaction. The ids are the caller's, new and random. It is Unauthentic if
// the token is not good.
func (s *Store) Enrol(ctx context.Context, id assay.AgentID, e Enrolment) (agent assay.Agent, certificate assay.Certificate, err error) {
	now := s.clock()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		token, err := useToken(ctx, tx, e.SecretHash, now)
		if err != nil {
			return err
		}
		host := e.Host
		host.Kind, host.Tags, host.CreatedAt = assay.EnrolledHost, token.Tags, now
		if err := insertHost(ctx, tx, &host); err != nil {
			return err
		}
		agent = assay.Agent{ID: id, HostID: host.ID, TokenID: token.ID, Rights: token.Rights, KeyKind: e.KeyKind,
			PublicKey: e.PublicKey, Version: e.Version, EnrolledAt: now}
		_, err = tx.Exec(ctx, `INSERT INTO agent (id, host_id, token_id, rights, key_kind, public_key, version, enrolled_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, [16]byte(id), [16]byte(host.ID), [16]byte(token.ID), texts[string](token.Rights),
			string(e.KeyKind), e.PublicKey, e.Version, now)
		if err != nil {
			return fmt.Errorf("inserting agent: %w", err)
		}
		if certificate, err = e.Issue(id); err != nil {
			return err
		}
		certificate.Position, err = s.recordCertificate(ctx, tx, &agent, &certificate)
		return err
	})
	return agent, certificate, translate("enrolling agent", err)
}

const agentColumns = `a.id, a.host_id, a.token_id, a.rights, a.key_kind, a.public_key, a.version, a.enrolled_at,
	a.last_seen_at, a.last_address, a.revoked_at, a.revoked_reason, a.compromised_since`

// agentRow scans agentColumns; its pointers are in their order.
type agentRow struct {
	agent                  assay.Agent
	rights                 []string
	kind                   string
	seen, revoked, doubted *time.Time
}

func (r *agentRow) into() []any {
	a := &r.agent
	return []any{(*[16]byte)(&a.ID), (*[16]byte)(&a.HostID), (*[16]byte)(&a.TokenID), &r.rights, &r.kind, &a.PublicKey, &a.Version,
		&a.EnrolledAt, &r.seen, &a.LastAddress, &r.revoked, &a.RevokedReason, &r.doubted}
}

func (r *agentRow) finish() assay.Agent {
	a := r.agent
	a.Rights, a.KeyKind = texts[assay.Right](r.rights), assay.KeyKind(r.kind)
	a.LastSeenAt, a.RevokedAt, a.CompromisedSince = orZero(r.seen), orZero(r.revoked), orZero(r.doubted)
	return a
}

// Agent returns one agent, or NotFound.
func (s *Store) Agent(ctx context.Context, id assay.AgentID) (assay.Agent, error) {
	var r agentRow
	err := s.db.QueryRow(ctx, `SELECT `+agentColumns+` FROM agent a WHERE a.id = $1`, [16]byte(id)).Scan(r.into()...)
	if err != nil {
		return assay.Agent{}, translate("reading agent", err)
	}
	return r.finish(), nil
}

// lockAgent reads the agent and keeps it from being revoked, and its streams
// from being opened by another, until the transaction ends. It is Denied if the
// agent is revoked.
func lockAgent(ctx context.Context, tx pgx.Tx, id assay.AgentID) (assay.Agent, error) {
	var r agentRow
	err := tx.QueryRow(ctx, `SELECT `+agentColumns+` FROM agent a WHERE a.id = $1 FOR UPDATE`, [16]byte(id)).Scan(r.into()...)
	if err != nil {
		return assay.Agent{}, fmt.Errorf("locking agent: %w", err)
	}
	agent := r.finish()
	if agent.Revoked() {
		return agent, assay.Errorf(assay.Denied, "the agent is revoked")
	}
	return agent, nil
}

// RevokeAgent takes the agent's word away and records it. From its leaf's
// position on no batch of the agent is taken: its streams are locked and marked
// before the position is. It is NotFound for an unknown agent and Conflict for
// one that is revoked already.
func (s *Store) RevokeAgent(ctx context.Context, r assay.Revocation) (position int64, err error) {
	if err := r.Validate(); err != nil {
		return 0, err
	}
	r.CompromisedSince = r.CompromisedSince.Truncate(time.Microsecond)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		agent, err := lockAgent(ctx, tx, r.Agent)
		if assay.KindOf(err) == assay.Denied {
			return assay.Errorf(assay.Conflict, "the agent is revoked already")
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE agent SET revoked_at = $2, revoked_reason = $3, compromised_since = $4 WHERE id = $1`,
			[16]byte(r.Agent), s.clock(), r.Reason, orNull(r.CompromisedSince))
		if err != nil {
			return fmt.Errorf("marking agent: %w", err)
		}
		// Locked in id order first: an UPDATE alone takes rows as it finds them.
		if _, err := tx.Exec(ctx, `SELECT FROM stream WHERE agent_id = $1 ORDER BY id FOR UPDATE`, [16]byte(r.Agent)); err != nil {
			return fmt.Errorf("locking streams: %w", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE stream SET revoked = true WHERE agent_id = $1`, [16]byte(r.Agent)); err != nil {
			return fmt.Errorf("marking streams: %w", err)
		}
		if position, err = s.appendRevocation(ctx, tx, &agent, &r); err != nil {
			return err
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: r.By, Action: "agent.revoke", Subject: r.Agent.String(),
			Detail: map[string]string{"reason": r.Reason}, RecordedAt: s.clock()})
	})
	return position, translate("revoking agent", err)
}

func (s *Store) appendRevocation(ctx context.Context, tx pgx.Tx, agent *assay.Agent, r *assay.Revocation) (int64, error) {
	record := evidence.CertificateRecord{Action: evidence.CertificateRevoked, Agent: evidence.ID(agent.ID), Host: evidence.ID(agent.HostID), Reason: r.Reason}
	if !r.CompromisedSince.IsZero() {
		record.CompromisedSince = evidence.Ticks(r.CompromisedSince)
	}
	body, err := evidence.Encode(record)
	if err != nil {
		return 0, err
	}
	return s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafCertificate, Body: body}})
}

// RevokedAmong returns those of ids that are revoked.
func (s *Store) RevokedAmong(ctx context.Context, ids []assay.AgentID) ([]assay.AgentID, error) {
	rows, err := s.db.Query(ctx, `SELECT id FROM agent WHERE id = ANY ($1) AND revoked_at IS NOT NULL`, uuids(ids))
	if err != nil {
		return nil, translate("looking for revoked agents", err)
	}
	revoked, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return nil, translate("looking for revoked agents", err)
	}
	out := make([]assay.AgentID, len(revoked))
	for i, id := range revoked {
		out[i] = id
	}
	return out, nil
}

// SeeAgents notes when and where agents were last seen. An older sighting never
// takes the place of a newer one.
func (s *Store) SeeAgents(ctx context.Context, seen []assay.Sighting) error {
	// In id order, so that servers who note the same agents do not block each other.
	seen = slices.Clone(seen)
	slices.SortFunc(seen, func(a, b assay.Sighting) int { return slices.Compare(a.Agent[:], b.Agent[:]) })
	ids := make([]assay.AgentID, len(seen))
	at, addresses, versions := make([]time.Time, len(seen)), make([]string, len(seen)), make([]string, len(seen))
	for i, sighting := range seen {
		ids[i], at[i], addresses[i], versions[i] = sighting.Agent, sighting.At, sighting.Address, sighting.Version
	}
	_, err := s.db.Exec(ctx, `WITH seen AS (
			SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[]) AS t (id, at, address, version)),
		locked AS (SELECT a.id FROM agent a JOIN seen USING (id) ORDER BY a.id FOR UPDATE OF a)
		UPDATE agent a SET last_seen_at = seen.at, last_address = seen.address, version = seen.version
		FROM seen JOIN locked USING (id) WHERE a.id = seen.id AND (a.last_seen_at IS NULL OR a.last_seen_at <= seen.at)`,
		uuids(ids), at, addresses, versions)
	return translate("noting agents seen", err)
}

// uuids turns ids into what the driver sends as uuid[].
func uuids[ID ~[16]byte](ids []ID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}

// errNotOurs is what a row says of a certificate that we did not issue.
var errNotOurs = errors.New("certificate is not the one issued")
