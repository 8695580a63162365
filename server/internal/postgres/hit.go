package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Hits returns the hits of the hosts that are booked in [from, to], by host and
// ledger order.
func (s *Store) Hits(ctx context.Context, hosts []assay.HostID, from, to time.Time) ([]assay.Hit, error) {
	if len(hosts) == 0 {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, `SELECT host_id, check_id, selector, position, ordinal, observed_at, received_at, booked_at, clock_fault,
			mode, grade, source, channel, provider, event_id, record_id, fields
		FROM hit WHERE host_id = ANY ($1) AND booked_at >= $2 AND booked_at <= $3 ORDER BY host_id, position, ordinal, check_id, selector`,
		uuids(hosts), from, to)
	if err != nil {
		return nil, translate("reading hits", err)
	}
	hits, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Hit, error) {
		var h assay.Hit
		var position, eventID, recordID int64
		var ordinal int32
		var mode string
		var grade int16
		err := row.Scan((*[16]byte)(&h.Host), &h.Check, &h.Selector, &position, &ordinal, &h.ObservedAt, &h.ReceivedAt, &h.BookedAt, &h.ClockFault,
			&mode, &grade, &h.Source, &h.Channel, &h.Provider, &eventID, &recordID, &h.Fields)
		h.Ref = assay.EventRef{Position: uint64(position), Ordinal: uint32(ordinal)}
		h.ObservedAt, h.ReceivedAt, h.BookedAt = h.ObservedAt.UTC(), h.ReceivedAt.UTC(), h.BookedAt.UTC()
		h.Mode, h.Grade, h.EventID, h.RecordID = assay.Mode(mode), assay.Grade(grade), uint32(eventID), uint64(recordID)
		return h, err
	})
	return hits, translate("reading hits", err)
}

// Metrics returns the metrics of the hosts for the UTC days in [from, to].
func (s *Store) Metrics(ctx context.Context, hosts []assay.HostID, from, to time.Time) ([]assay.Metric, error) {
	rows, err := s.db.Query(ctx, `SELECT host_id, name, key, day, good, total FROM metric
		WHERE host_id = ANY ($1) AND day BETWEEN $2 AND $3 ORDER BY host_id, name, key, day`, uuids(hosts), day(from), day(to))
	if err != nil {
		return nil, translate("reading metrics", err)
	}
	metrics, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Metric, error) {
		var m assay.Metric
		var good, total int64
		err := row.Scan((*[16]byte)(&m.Host), &m.Name, &m.Key, &m.Day, &good, &total)
		m.Day, m.Good, m.Total = m.Day.UTC(), uint64(good), uint64(total)
		return m, err
	})
	return metrics, translate("reading metrics", err)
}

// HostActivity is when a host was heard of.
type HostActivity struct {
	Host                        assay.HostID
	Events                      int64
	FirstObserved, LastObserved time.Time
	LastReceived                time.Time
	LastHealth                  time.Time // zero: never
}

// Activities returns the activity of all hosts that have any, by host.
func (s *Store) Activities(ctx context.Context) (map[assay.HostID]HostActivity, error) {
	activities := map[assay.HostID]HostActivity{}
	rows, err := s.db.Query(ctx, `SELECT host_id, events, first_observed, last_observed, last_received, last_health FROM host_activity`)
	if err != nil {
		return nil, translate("reading host activity", err)
	}
	var id [16]byte
	var a HostActivity
	var health *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &a.Events, &a.FirstObserved, &a.LastObserved, &a.LastReceived, &health}, func() error {
		a.Host, a.LastHealth = id, orZero(health)
		a.FirstObserved, a.LastObserved, a.LastReceived = a.FirstObserved.UTC(), a.LastObserved.UTC(), a.LastReceived.UTC()
		activities[id] = a
		return nil
	})
	return activities, translate("reading host activity", err)
}

// PostureOf returns what a host says of itself now, by name.
func (s *Store) PostureOf(ctx context.Context, host assay.HostID) ([]PostureRow, error) {
	rows, err := s.db.Query(ctx, `SELECT name, value, observed_at, position, ordinal FROM posture WHERE host_id = $1 ORDER BY name`, [16]byte(host))
	if err != nil {
		return nil, translate("reading posture", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PostureRow, error) {
		p := PostureRow{Host: host}
		var position int64
		var ordinal int32
		err := row.Scan(&p.Name, &p.Value, &p.ObservedAt, &position, &ordinal)
		p.Ref = assay.EventRef{Position: uint64(position), Ordinal: uint32(ordinal)}
		return p, err
	})
	return list, translate("reading posture", err)
}
