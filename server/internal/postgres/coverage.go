package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Coverage returns the ranges of the hosts that touch [from, to), by host,
// source, channel, capability and time. No hosts: of all.
func (s *Store) Coverage(ctx context.Context, hosts []assay.HostID, from, to time.Time) ([]assay.CoverageRange, error) {
	rows, err := s.db.Query(ctx, `SELECT host_id, source, channel, capability, state, mode, grade, starts_at, ends_at, reason,
			since_position, since_ordinal, until_position, until_ordinal
		FROM coverage_range WHERE (cardinality($1::uuid[]) = 0 OR host_id = ANY ($1)) AND ends_at >= $2 AND starts_at < $3
		ORDER BY host_id, source, channel, capability, starts_at`, uuids(hosts), from, to)
	if err != nil {
		return nil, translate("reading coverage", err)
	}
	ranges, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.CoverageRange, error) {
		var r assay.CoverageRange
		var state, mode string
		var grade int16
		var since, until int64
		var sinceOrdinal, untilOrdinal int32
		err := row.Scan((*[16]byte)(&r.Host), &r.Source, &r.Channel, &r.Capability, &state, &mode, &grade, &r.From, &r.To, &r.Reason,
			&since, &sinceOrdinal, &until, &untilOrdinal)
		r.State, r.Mode, r.Grade = assay.CoverageState(state), assay.Mode(mode), assay.Grade(grade)
		r.From, r.To = r.From.UTC(), r.To.UTC()
		r.Since, r.Until = assay.EventRef{Position: uint64(since), Ordinal: uint32(sinceOrdinal)}, assay.EventRef{Position: uint64(until), Ordinal: uint32(untilOrdinal)}
		return r, err
	})
	return ranges, translate("reading coverage", err)
}
