package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Verdicts returns the verdicts of the newest run, by host and check.
func (s *Store) Verdicts(ctx context.Context) ([]assay.Verdict, error) {
	rows, err := s.db.Query(ctx, `SELECT host_id, check_id, state, reason, detail, grade, coverage, window_from, window_to,
			evidence, evidence_total, since, last_failing, open_findings, disposition, accruing
		FROM verdict ORDER BY host_id, check_id`)
	if err != nil {
		return nil, translate("reading verdicts", err)
	}
	verdicts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Verdict, error) {
		var v assay.Verdict
		var state, reason, disposition string
		var grade int16
		var coverage *float64
		var flat []int64
		var since, failing *time.Time
		err := row.Scan((*[16]byte)(&v.Host), &v.Check, &state, &reason, &v.Detail, &grade, &coverage, &v.WindowFrom, &v.WindowTo,
			&flat, &v.EvidenceTotal, &since, &failing, &v.OpenFindings, &disposition, &v.Accruing)
		if err != nil {
			return v, err
		}
		if coverage != nil {
			v.Coverage, v.HasCoverage = *coverage, true
		}
		v.Reason, v.Grade, v.Disposition = assay.ReasonCode(reason), assay.Grade(grade), assay.Disposition(disposition)
		v.WindowFrom, v.WindowTo, v.Since, v.LastFailing = v.WindowFrom.UTC(), v.WindowTo.UTC(), orZero(since).UTC(), orZero(failing).UTC()
		v.Evidence = unrefs(flat)
		v.State, err = assay.ParseState(state)
		return v, err
	})
	return verdicts, translate("reading verdicts", err)
}

// TransitionFilter narrows Transitions; zero fields do not.
type TransitionFilter struct {
	Host  *assay.HostID
	Check string
	Since time.Time // recorded at or after
	// ValidFrom and ValidTo bound when they became so by the facts.
	ValidFrom, ValidTo time.Time
	Before             uint64 // only positions below it, for paging
	Below              uint64 // only what was known at this tree size
	Limit              int
}

// Transitions lists changes of state, newest first.
func (s *Store) Transitions(ctx context.Context, f TransitionFilter) ([]assay.Transition, error) {
	var host *[16]byte
	if f.Host != nil {
		host = (*[16]byte)(f.Host)
	}
	rows, err := s.db.Query(ctx, `SELECT host_id, check_id, from_state, to_state, reason, valid_at, recorded_at, position FROM transition
		WHERE ($1::uuid IS NULL OR host_id = $1) AND ($2 = '' OR check_id = $2) AND ($3::timestamptz IS NULL OR recorded_at >= $3)
			AND ($4::bigint = 0 OR position < $4) AND ($5::bigint = 0 OR position < $5)
			AND ($7::timestamptz IS NULL OR valid_at > $7) AND ($8::timestamptz IS NULL OR valid_at <= $8)
		ORDER BY position DESC LIMIT $6`, host, f.Check, orNull(f.Since), int64(f.Before), int64(f.Below), f.Limit, orNull(f.ValidFrom), orNull(f.ValidTo))
	if err != nil {
		return nil, translate("reading transitions", err)
	}
	transitions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Transition, error) {
		var t assay.Transition
		var from, to, reason string
		err := row.Scan((*[16]byte)(&t.Host), &t.Check, &from, &to, &reason, &t.ValidAt, &t.RecordedAt, &t.Position)
		if err != nil {
			return t, err
		}
		t.Reason = assay.ReasonCode(reason)
		if from != "" {
			if t.From, err = assay.ParseState(from); err != nil {
				return t, err
			}
		}
		t.To, err = assay.ParseState(to)
		return t, err
	})
	return transitions, translate("reading transitions", err)
}
