package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

func insertHost(ctx context.Context, tx pgx.Tx, h *assay.Host) error {
	_, err := tx.Exec(ctx, `INSERT INTO host (id, kind, name, domain, os, os_version, smbios_uuid, machine_id, simulated, tags, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		[16]byte(h.ID), string(h.Kind), h.Name, h.Domain, h.OS, h.OSVersion, h.SMBIOSUUID, h.MachineID, h.Simulated,
		orEmpty(h.Tags), h.CreatedAt)
	if err != nil {
		return fmt.Errorf("inserting host: %w", err)
	}
	return nil
}

// Host returns one host, or NotFound.
func (s *Store) Host(ctx context.Context, id assay.HostID) (assay.Host, error) {
	h := assay.Host{ID: id}
	var kind string
	var retired *time.Time
	err := s.db.QueryRow(ctx, `SELECT kind, name, domain, os, os_version, smbios_uuid, machine_id, simulated, tags, created_at, retired_at
		FROM host WHERE id = $1`, [16]byte(id)).Scan(&kind, &h.Name, &h.Domain, &h.OS, &h.OSVersion, &h.SMBIOSUUID, &h.MachineID,
		&h.Simulated, &h.Tags, &h.CreatedAt, &retired)
	if err != nil {
		return assay.Host{}, translate("reading host", err)
	}
	h.Kind, h.RetiredAt = assay.HostKind(kind), orZero(retired)
	return h, nil
}

// orEmpty keeps a nil slice from becoming NULL.
func orEmpty(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// orZero and orNull are the two ways between a NULL and a zero time.
func orZero(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.UTC()
}

func orNull(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// texts turns a slice of one kind of string into another.
func texts[To, From ~string](from []From) []To {
	to := make([]To, len(from))
	for i, text := range from {
		to[i] = To(text)
	}
	return to
}
