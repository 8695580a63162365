package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Every statement here is a transaction of its own: a server that is cut off in
// the middle of a renewal must leave no lock behind that the others wait for.

// SeeLeases notes that server is alive and returns who else was seen within ttl
// (server itself included), and how every one of the tasks is held.
func (s *Store) SeeLeases(ctx context.Context, server assay.Server, tasks []string, ttl time.Duration) (servers int, leases []assay.Lease, err error) {
	_, err = s.db.Exec(ctx, `INSERT INTO server (id, name, version, started_at, seen_at) VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp())
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`, [16]byte(server.ID), server.Name, server.Version)
	if err != nil {
		return 0, nil, translate("noting this server", err)
	}
	_, err = s.db.Exec(ctx, `INSERT INTO lease (task, expires_at) SELECT task, clock_timestamp() FROM unnest($1::text[]) AS want (task)
		WHERE NOT EXISTS (SELECT FROM lease l WHERE l.task = want.task) ON CONFLICT (task) DO NOTHING`, tasks)
	if err != nil {
		return 0, nil, translate("noting tasks", err)
	}
	if err := s.db.QueryRow(ctx, `SELECT count(*) FROM server WHERE seen_at > clock_timestamp() - $1::interval`, ttl).Scan(&servers); err != nil {
		return 0, nil, translate("counting servers", err)
	}
	rows, err := s.db.Query(ctx, `SELECT task, server_id, clock_timestamp() - expires_at FROM lease WHERE task = ANY ($1) ORDER BY task`, tasks)
	if err != nil {
		return 0, nil, translate("reading leases", err)
	}
	leases, err = pgx.CollectRows(rows, scanLease)
	return servers, leases, translate("reading leases", err)
}

func scanLease(row pgx.CollectableRow) (assay.Lease, error) {
	var l assay.Lease
	var holder *[16]byte
	var expired time.Duration
	if err := row.Scan(&l.Task, &holder, &expired); err != nil {
		return l, fmt.Errorf("scanning lease: %w", err)
	}
	switch {
	case expired >= 0:
		l.Free = expired
	case holder != nil:
		l.Holder = *holder
	}
	return l, nil
}

// TakeLeases makes the server hold the wanted tasks for ttl from now, as far as
// they are its own or free, and gives back whatever else it held. It returns
// those that it holds.
func (s *Store) TakeLeases(ctx context.Context, server assay.ServerID, want []string, ttl time.Duration) ([]string, error) {
	rows, err := s.db.Query(ctx, `WITH given AS (
			UPDATE lease SET server_id = NULL, expires_at = clock_timestamp() WHERE server_id = $1 AND task <> ALL ($2))
		UPDATE lease SET server_id = $1, expires_at = clock_timestamp() + $3::interval
		WHERE task = ANY ($2) AND (server_id = $1 OR expires_at <= clock_timestamp())
		RETURNING task`, [16]byte(server), want, ttl)
	if err != nil {
		return nil, translate("taking leases", err)
	}
	held, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return held, translate("taking leases", err)
}

// forgetServersAfter is how long a server that was killed stays listed.
const forgetServersAfter = 24 * time.Hour

// LeaveLeases gives back all that the server holds, as it ends, and forgets it
// and those that died long ago.
func (s *Store) LeaveLeases(ctx context.Context, server assay.ServerID) error {
	if _, err := s.TakeLeases(ctx, server, []string{}, 0); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, `DELETE FROM server WHERE id = $1 OR seen_at < clock_timestamp() - $2::interval`, [16]byte(server), forgetServersAfter)
	return translate("forgetting servers", err)
}
