package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// evaluationLock is the advisory lock that runs are saved under.
const evaluationLock = 0x6173736179_0003

// RunRecord is all that an evaluation leaves behind.
type RunRecord struct {
	Run       assay.Run
	StartedAt time.Time
	// Previous is the position of the run that it continues, 0 for the first.
	Previous uint64
	// Verdicts are those that differ from the stored ones in anything.
	Verdicts []assay.Verdict
	// Transitions are those of state; Findings those opened, resolved or reopened.
	Transitions []assay.Transition
	Findings    []assay.Finding
}

// SaveRun stores an evaluation and its leaves in one transaction and returns
// the position of the run's leaf. It is Conflict if another run was saved since
// Previous: transitions must follow on what is stored.
func (s *Store) SaveRun(ctx context.Context, r RunRecord) (position uint64, err error) {
	now := s.clock()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(evaluationLock)); err != nil {
			return fmt.Errorf("locking evaluation: %w", err)
		}
		var newest uint64
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(position), 0) FROM run`).Scan(&newest); err != nil {
			return fmt.Errorf("reading newest run: %w", err)
		}
		if newest != r.Previous {
			return assay.Errorf(assay.Conflict, "another evaluation was saved meanwhile")
		}
		if err := saveVerdicts(ctx, tx, r.Verdicts); err != nil {
			return err
		}
		position, err = s.recordRun(ctx, tx, &r, now)
		return err
	})
	return position, translate("saving evaluation run", err)
}

func saveVerdicts(ctx context.Context, tx pgx.Tx, verdicts []assay.Verdict) error {
	batch := &pgx.Batch{}
	for i := range verdicts {
		v := &verdicts[i]
		var coverage *float64
		if v.HasCoverage {
			coverage = &v.Coverage
		}
		batch.Queue(`INSERT INTO verdict (host_id, check_id, state, reason, detail, grade, coverage, window_from, window_to,
				evidence, evidence_total, since, last_failing, open_findings, disposition, accruing)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
			ON CONFLICT (host_id, check_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, detail = excluded.detail,
				grade = excluded.grade, coverage = excluded.coverage, window_from = excluded.window_from, window_to = excluded.window_to,
				evidence = excluded.evidence, evidence_total = excluded.evidence_total, since = excluded.since,
				last_failing = excluded.last_failing, open_findings = excluded.open_findings,
				disposition = excluded.disposition, accruing = excluded.accruing`,
			[16]byte(v.Host), v.Check, v.State.String(), string(v.Reason), v.Detail, int16(v.Grade), coverage, v.WindowFrom, v.WindowTo,
			refs(v.Evidence), v.EvidenceTotal, orNull(v.Since), orNull(v.LastFailing), v.OpenFindings, string(v.Disposition), v.Accruing)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("writing verdicts: %w", err)
	}
	return nil
}

// recordRun appends the leaves of the findings, the transitions and, last, of
// the run that names them, and writes their rows.
func (s *Store) recordRun(ctx context.Context, tx pgx.Tx, r *RunRecord, now time.Time) (uint64, error) {
	var leaves []evidence.Leaf
	add := func(kind evidence.LeafKind, record any) error {
		body, err := json.Marshal(record)
		leaves = append(leaves, evidence.Leaf{Kind: kind, RecordedAt: evidence.Ticks(now), Body: body})
		return err
	}
	for i := range r.Findings {
		if err := add(evidence.LeafFinding, findingRecord(&r.Findings[i])); err != nil {
			return 0, fmt.Errorf("encoding finding: %w", err)
		}
	}
	for i := range r.Transitions {
		if err := add(evidence.LeafTransition, transitionRecord(&r.Transitions[i])); err != nil {
			return 0, fmt.Errorf("encoding transition: %w", err)
		}
	}
	if err := add(evidence.LeafRun, runRecord(&r.Run)); err != nil {
		return 0, fmt.Errorf("encoding run: %w", err)
	}
	first, err := s.AppendLeaves(ctx, tx, leaves)
	if err != nil {
		return 0, err
	}
	batch := &pgx.Batch{}
	for i := range r.Findings {
		queueFinding(batch, &r.Findings[i], now, first+int64(i))
	}
	for i := range r.Transitions {
		t := &r.Transitions[i]
		batch.Queue(`INSERT INTO transition (position, host_id, check_id, from_state, to_state, reason, valid_at, recorded_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, first+int64(len(r.Findings)+i), [16]byte(t.Host), t.Check,
			t.From.String(), t.To.String(), string(t.Reason), t.ValidAt, now)
	}
	position := first + int64(len(leaves)-1)
	batch.Queue(`INSERT INTO run (id, started_at, instant, watermark, tree_size, hosts, root, inputs, position)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, [16]byte(uuid.New()), r.StartedAt, r.Run.Instant, r.Run.Watermark,
		int64(r.Run.Size), int64(r.Run.Hosts), r.Run.Root[:], runRecord(&r.Run), position)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, fmt.Errorf("writing run: %w", err)
	}
	return uint64(position), nil
}

type runJSON struct {
	Instant   time.Time         `json:"instant"`
	Watermark time.Time         `json:"watermark"`
	Size      uint64            `json:"size"`
	Root      string            `json:"root"`
	Leaves    uint64            `json:"leaves"`
	Hosts     uint64            `json:"hosts"`
	Engine    string            `json:"engine"`
	Packs     map[string]string `json:"packs"`
	Checks    map[string]string `json:"checks"`
	Lists     map[string]string `json:"lists"`
}

func runRecord(r *assay.Run) runJSON {
	return runJSON{
		Instant: r.Instant.UTC(), Watermark: r.Watermark.UTC(), Size: r.Size, Root: hex.EncodeToString(r.Root[:]), Leaves: r.Leaves,
		Hosts: r.Hosts, Engine: r.Engine, Packs: hexes(r.Packs), Checks: hexes(r.Checks), Lists: hexes(r.Lists),
	}
}

func hexes(digests map[string][32]byte) map[string]string {
	texts := make(map[string]string, len(digests))
	for name, digest := range digests {
		texts[name] = hex.EncodeToString(digest[:])
	}
	return texts
}

type transitionJSON struct {
	Host    string    `json:"host"`
	Check   string    `json:"check"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Reason  string    `json:"reason"`
	ValidAt time.Time `json:"valid_at"`
}

func transitionRecord(t *assay.Transition) transitionJSON {
	return transitionJSON{t.Host.String(), t.Check, t.From.String(), t.To.String(), string(t.Reason), t.ValidAt.UTC()}
}

// LatestRun returns the newest run and the position of its leaf; NotFound
// before the first.
func (s *Store) LatestRun(ctx context.Context) (run assay.Run, position uint64, err error) {
	var root []byte
	err = s.db.QueryRow(ctx, `SELECT instant, watermark, tree_size, hosts, root, position FROM run ORDER BY position DESC LIMIT 1`).
		Scan(&run.Instant, &run.Watermark, &run.Size, &run.Hosts, &root, &position)
	copy(run.Root[:], root)
	run.Instant, run.Watermark = run.Instant.UTC(), run.Watermark.UTC()
	return run, position, translate("reading newest run", err)
}

// refs flattens references into position, ordinal, position, ordinal, …
func refs(list []assay.EventRef) []int64 {
	flat := make([]int64, 0, 2*len(list))
	for _, r := range list {
		flat = append(flat, int64(r.Position), int64(r.Ordinal))
	}
	return flat
}

func unrefs(flat []int64) []assay.EventRef {
	list := make([]assay.EventRef, 0, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		list = append(list, assay.EventRef{Position: uint64(flat[i]), Ordinal: uint32(flat[i+1])})
	}
	return list
}

// Leaf returns the canonical bytes of the leaf at a position.
func (s *Store) Leaf(ctx context.Context, position uint64) ([]byte, error) {
	var data []byte
	err := s.db.QueryRow(ctx, `SELECT data FROM leaf WHERE position = $1`, int64(position)).Scan(&data)
	return data, translate("reading leaf", err)
}

// LeafTime is when the leaf at a position was recorded.
func (s *Store) LeafTime(ctx context.Context, position uint64) (time.Time, error) {
	data, err := s.Leaf(ctx, position)
	if err != nil {
		return time.Time{}, err
	}
	leaf, err := evidence.ParseLeaf(data)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading leaf %d: %w", position, err)
	}
	return evidence.Time(leaf.RecordedAt), nil
}
