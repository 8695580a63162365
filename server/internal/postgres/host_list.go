package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Hosts returns all hosts, by name and id.
func (s *Store) Hosts(ctx context.Context) ([]assay.Host, error) {
	rows, err := s.db.Query(ctx, `SELECT id, kind, name, domain, os, os_version, smbios_uuid, machine_id, simulated, tags, created_at, retired_at
		FROM host ORDER BY lower(name), id`)
	if err != nil {
		return nil, translate("reading hosts", err)
	}
	hosts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Host, error) {
		var h assay.Host
		var kind string
		var retired *time.Time
		err := row.Scan((*[16]byte)(&h.ID), &kind, &h.Name, &h.Domain, &h.OS, &h.OSVersion, &h.SMBIOSUUID, &h.MachineID,
			&h.Simulated, &h.Tags, &h.CreatedAt, &retired)
		h.Kind, h.CreatedAt, h.RetiredAt = assay.HostKind(kind), h.CreatedAt.UTC(), orZero(retired)
		return h, err
	})
	return hosts, translate("reading hosts", err)
}

// LedgerBegan is when the first leaf was recorded: the opening of the first
// batch or deed. The zero time while the ledger is empty.
func (s *Store) LedgerBegan(ctx context.Context) (time.Time, error) {
	var at *time.Time
	err := s.db.QueryRow(ctx, `SELECT min(signed_at) FROM checkpoint WHERE size > 0`).Scan(&at)
	return orZero(at), translate("reading when the ledger began", err)
}

// VerificationRow is one run of the ledger's verifier.
type VerificationRow struct {
	StartedAt, FinishedAt time.Time
	Size                  uint64
	Problems              []string
}

// VerificationsSince returns the verifier's runs that ended at or after since,
// oldest first, at most limit of the newest.
func (s *Store) VerificationsSince(ctx context.Context, since time.Time, limit int) ([]VerificationRow, error) {
	rows, err := s.db.Query(ctx, `SELECT * FROM (SELECT started_at, finished_at, size, problems FROM ledger_verification
		WHERE finished_at >= $1 ORDER BY finished_at DESC LIMIT $2) newest ORDER BY finished_at`, since, limit)
	if err != nil {
		return nil, translate("reading verifications", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (VerificationRow, error) {
		var v VerificationRow
		var size int64
		err := row.Scan(&v.StartedAt, &v.FinishedAt, &size, &v.Problems)
		v.StartedAt, v.FinishedAt, v.Size = v.StartedAt.UTC(), v.FinishedAt.UTC(), uint64(size)
		return v, err
	})
	return list, translate("reading verifications", err)
}
