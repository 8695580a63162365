package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// ListedAgent is an agent with its host's name and its newest certificate's end.
type ListedAgent struct {
	assay.Agent
	HostName             string
	CertificateExpiresAt time.Time
}

// AgentList returns all agents, newest enrolment first.
func (s *Store) AgentList(ctx context.Context) ([]ListedAgent, error) {
	rows, err := s.db.Query(ctx, `SELECT a.id, a.host_id, a.rights, a.key_kind, a.version, a.enrolled_at, a.last_seen_at, a.revoked_at,
			a.revoked_reason, h.name, (SELECT max(not_after) FROM certificate c WHERE c.agent_id = a.id)
		FROM agent a JOIN host h ON h.id = a.host_id ORDER BY a.enrolled_at DESC, a.id`)
	if err != nil {
		return nil, translate("listing agents", err)
	}
	agents, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedAgent, error) {
		var a ListedAgent
		var rights []string
		var kind string
		var seen, revoked, expires *time.Time
		err := row.Scan((*[16]byte)(&a.ID), (*[16]byte)(&a.HostID), &rights, &kind, &a.Version, &a.EnrolledAt, &seen, &revoked,
			&a.RevokedReason, &a.HostName, &expires)
		a.Rights, a.KeyKind = texts[assay.Right](rights), assay.KeyKind(kind)
		a.LastSeenAt, a.RevokedAt, a.CertificateExpiresAt = orZero(seen), orZero(revoked), orZero(expires)
		return a, err
	})
	return agents, translate("listing agents", err)
}

// ListedStream is a stream with its host and what is known of its chain.
type ListedStream struct {
	ID                   assay.StreamID
	Host                 assay.HostID
	HostName             string
	Kind                 int16
	Epoch                uint32
	Number               uint64
	Hash                 []byte
	Events               uint64 // sequence numbers given out so far
	Position             int64  // -1: no batch yet
	CommittedAt          time.Time
	Forks                int
	CertificateExpiresAt time.Time
	Revoked              bool
}

// Streams returns the streams of a host, or of all, by host name and kind.
func (s *Store) Streams(ctx context.Context, host *assay.HostID) ([]ListedStream, error) {
	rows, err := s.db.Query(ctx, `SELECT s.id, a.host_id, h.name, s.kind, s.epoch, s.number, s.hash, s.next_sequence, s.position, s.committed_at,
			(SELECT count(*) FROM fork f WHERE f.stream_id = s.id), (SELECT max(not_after) FROM certificate c WHERE c.agent_id = a.id), a.revoked_at IS NOT NULL
		FROM stream s JOIN agent a ON a.id = s.agent_id JOIN host h ON h.id = a.host_id
		WHERE $1::uuid IS NULL OR a.host_id = $1 ORDER BY lower(h.name), h.id, s.kind`, (*[16]byte)(host))
	if err != nil {
		return nil, translate("listing streams", err)
	}
	streams, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedStream, error) {
		var l ListedStream
		var epoch, number, events int64
		var committed, expires *time.Time
		err := row.Scan((*[16]byte)(&l.ID), (*[16]byte)(&l.Host), &l.HostName, &l.Kind, &epoch, &number, &l.Hash, &events, &l.Position, &committed,
			&l.Forks, &expires, &l.Revoked)
		l.Epoch, l.Number, l.Events = uint32(epoch), uint64(number), uint64(events)
		l.CommittedAt, l.CertificateExpiresAt = orZero(committed), orZero(expires)
		return l, err
	})
	return streams, translate("listing streams", err)
}
