package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

type findingJSON struct {
	ID         string            `json:"id"`
	Host       string            `json:"host"`
	Check      string            `json:"check"`
	Title      string            `json:"title"`
	OpenedAt   time.Time         `json:"opened_at"`
	ResolvedAt *time.Time        `json:"resolved_at,omitempty"`
	Cause      string            `json:"cause,omitempty"`
	Evidence   [][2]uint64       `json:"evidence"`
	Fields     map[string]string `json:"fields"`
}

func findingRecord(f *assay.Finding) findingJSON {
	r := findingJSON{ID: f.ID.String(), Host: f.Host.String(), Check: f.Check, Title: f.Title, OpenedAt: f.OpenedAt.UTC(),
		ResolvedAt: orNull(f.ResolvedAt), Cause: f.Cause, Fields: f.Fields, Evidence: [][2]uint64{}}
	for _, ref := range f.Evidence {
		r.Evidence = append(r.Evidence, [2]uint64{ref.Position, uint64(ref.Ordinal)})
	}
	return r
}

// queueFinding writes what the facts say of a finding; what a person said of it
// (closed_by and their cause) is never touched here.
func queueFinding(batch *pgx.Batch, f *assay.Finding, now time.Time, position int64) {
	fields := f.Fields
	if fields == nil {
		fields = map[string]string{}
	}
	batch.Queue(`INSERT INTO finding (id, host_id, check_id, key, title, opened_at, last_at, resolved_at, grade, clock_fault,
			evidence, evidence_total, fields, recorded_at, position, cause)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (id) DO UPDATE SET title = excluded.title, opened_at = excluded.opened_at, last_at = excluded.last_at,
			resolved_at = excluded.resolved_at, grade = excluded.grade, clock_fault = excluded.clock_fault, evidence = excluded.evidence,
			evidence_total = excluded.evidence_total, fields = excluded.fields,
			cause = CASE WHEN finding.closed_by = '' THEN excluded.cause ELSE finding.cause END`,
		[16]byte(f.ID), [16]byte(f.Host), f.Check, f.Key, f.Title, f.OpenedAt, f.LastAt, orNull(f.ResolvedAt), int16(f.Grade), f.ClockFault,
		refs(f.Evidence), f.EvidenceTotal, fields, now, position, f.Cause)
}

// StoredFinding is a finding with the position of the leaf that opened it.
type StoredFinding struct {
	assay.Finding
	Position uint64
}

const findingColumns = `id, host_id, check_id, key, title, opened_at, last_at, resolved_at, closed_by, cause, grade, clock_fault,
	evidence, evidence_total, fields, position`

func scanFinding(row pgx.CollectableRow) (StoredFinding, error) {
	var f StoredFinding
	var grade int16
	var resolved *time.Time
	var flat []int64
	err := row.Scan((*[16]byte)(&f.ID), (*[16]byte)(&f.Host), &f.Check, &f.Key, &f.Title, &f.OpenedAt, &f.LastAt, &resolved,
		&f.ClosedBy, &f.Cause, &grade, &f.ClockFault, &flat, &f.EvidenceTotal, &f.Fields, &f.Position)
	f.OpenedAt, f.LastAt, f.ResolvedAt = f.OpenedAt.UTC(), f.LastAt.UTC(), orZero(resolved).UTC()
	f.Grade, f.Evidence = assay.Grade(grade), unrefs(flat)
	return f, err
}

// Findings returns all findings, newest first.
func (s *Store) Findings(ctx context.Context) ([]StoredFinding, error) {
	rows, err := s.db.Query(ctx, `SELECT `+findingColumns+` FROM finding ORDER BY opened_at DESC, id`)
	if err != nil {
		return nil, translate("reading findings", err)
	}
	findings, err := pgx.CollectRows(rows, scanFinding)
	return findings, translate("reading findings", err)
}

// Finding returns one finding, or NotFound.
func (s *Store) Finding(ctx context.Context, id assay.FindingID) (StoredFinding, error) {
	rows, err := s.db.Query(ctx, `SELECT `+findingColumns+` FROM finding WHERE id = $1`, [16]byte(id))
	if err != nil {
		return StoredFinding{}, translate("reading finding", err)
	}
	f, err := pgx.CollectExactlyOneRow(rows, scanFinding)
	return f, translate("reading finding", err)
}

// Closures returns what people closed, newest last. They are read from their
// leaves, which the ledger's tree binds.
func (s *Store) Closures(ctx context.Context) ([]assay.Closure, error) {
	rows, err := s.db.Query(ctx, `SELECT position, data FROM finding_closure JOIN leaf USING (position) ORDER BY position`)
	if err != nil {
		return nil, translate("reading closures", err)
	}
	closures, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (assay.Closure, error) {
		var c assay.Closure
		var data []byte
		if err := row.Scan(&c.Position, &data); err != nil {
			return c, err
		}
		var entry assay.AuditEntry
		if err := unmarshalLeaf(data, evidence.LeafOperator, &entry); err != nil {
			return c, fmt.Errorf("closure %d: %w", c.Position, err)
		}
		if entry.Action != closeAction {
			return c, fmt.Errorf("closure %d: its leaf is of the action %q", c.Position, entry.Action)
		}
		var err error
		c.Finding, err = assay.ParseFindingID(entry.Subject)
		c.At, c.By, c.Cause = entry.RecordedAt.UTC(), entry.User, entry.Detail["cause"]
		return c, err
	})
	return closures, translate("reading closures", err)
}

// closeAction is how the audit names the closing of a finding.
const closeAction = "finding.close"

// CloseFinding records a person's closing with its cause. It is NotFound for an
// unknown finding and Conflict for one that is not open.
func (s *Store) CloseFinding(ctx context.Context, id assay.FindingID, by, cause string) error {
	now := s.clock()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var open bool
		err := tx.QueryRow(ctx, `SELECT resolved_at IS NULL FROM finding WHERE id = $1 FOR UPDATE`, [16]byte(id)).Scan(&open)
		if errors.Is(err, pgx.ErrNoRows) {
			return assay.Errorf(assay.NotFound, "there is no finding %s", id)
		}
		if err != nil {
			return fmt.Errorf("reading finding: %w", err)
		}
		if !open {
			return assay.Errorf(assay.Conflict, "the finding is closed already")
		}
		_, err = tx.Exec(ctx, `UPDATE finding SET resolved_at = $2, closed_by = $3, cause = $4 WHERE id = $1`, [16]byte(id), now, by, cause)
		if err != nil {
			return fmt.Errorf("closing finding: %w", err)
		}
		position, err := s.auditAt(ctx, tx, assay.AuditEntry{User: by, Action: closeAction, Subject: id.String(),
			Detail: map[string]string{"cause": cause}, RecordedAt: now})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO finding_closure (position, finding_id, closed_at, closed_by, cause) VALUES ($1, $2, $3, $4, $5)`,
			position, [16]byte(id), now, by, cause)
		if err != nil {
			return fmt.Errorf("inserting closure: %w", err)
		}
		return nil
	})
	return translate("closing finding", err)
}
