package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// RecordRow is a row that stands beside a leaf, as the leaf's record would be if
// it were made of the row.
type RecordRow struct {
	Kind   evidence.LeafKind
	Record []byte // in the form of NormalRecord
}

// rows keep microseconds; what a leaf says of a time may be finer.
func coarse(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// NormalRecord returns the record of a leaf of a kind that has rows, in the one
// form that a record made of the row has too. ok is false for other kinds.
func NormalRecord(kind evidence.LeafKind, body []byte) (record []byte, ok bool, err error) {
	read := func(into any) error {
		if err := json.Unmarshal(body, into); err != nil {
			return fmt.Errorf("decoding %s: %w", kind, err)
		}
		return nil
	}
	var normal any
	switch kind {
	case evidence.LeafRun:
		var r runJSON
		err = read(&r)
		r.Instant, r.Watermark = coarse(r.Instant), coarse(r.Watermark)
		normal = r
	case evidence.LeafTransition:
		var r transitionJSON
		err = read(&r)
		r.ValidAt = coarse(r.ValidAt)
		normal = r
	case evidence.LeafOperator:
		var r assay.AuditEntry
		err = read(&r)
		r.RecordedAt = coarse(r.RecordedAt)
		normal = r
	case evidence.LeafPolicy:
		var r assay.PolicyChange
		err = read(&r)
		r.From, r.To, r.RecordedAt = coarse(r.From), coarse(r.To), coarse(r.RecordedAt)
		normal = r
	case evidence.LeafKey, evidence.LeafEngine, evidence.LeafLost:
		return body, true, nil // their rows keep it as it is
	case evidence.LeafPack:
		// Only a framework's has such a row.
		var r evidence.FrameworkRecord
		if err := evidence.Decode(body, &r); err != nil || r.Kind != evidence.FrameworkPack {
			return nil, false, nil
		}
		return body, true, nil
	case evidence.LeafHold, evidence.LeafArchive, evidence.LeafErasure:
		record, err = normalKeeping(kind, body)
		return record, true, err
	case evidence.LeafAlert:
		var r alertRecord
		err = read(&r)
		normal = normalOpening(r)
	case evidence.LeafReview:
		var r assay.Review
		err = read(&r)
		r.At = coarse(r.At)
		normal = r
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err
	}
	record, err = json.Marshal(normal)
	return record, true, err
}

func (p *LedgerPage) addRecord(position int64, kind evidence.LeafKind, record any) error {
	body, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encoding row of %s: %w", kind, err)
	}
	p.Records[position] = RecordRow{kind, body}
	return nil
}

// queueRecords reads the rows beside the page's leaves of records.
func (p *LedgerPage) queueRecords(b *pgx.Batch) {
	each := func(sql string, scan func(rows pgx.Rows) error) {
		b.Queue(sql, p.From, p.To).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				if err := scan(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
	p.queueKeeping(each)
	p.queueAlerts(each)
	var position int64
	each(`SELECT position, kind, body FROM leaf_record WHERE position >= $1 AND position < $2`, func(rows pgx.Rows) error {
		var kind int16
		var body []byte
		if err := rows.Scan(&position, &kind, &body); err != nil {
			return err
		}
		p.Records[position] = RecordRow{evidence.LeafKind(kind), body}
		return nil
	})
	each(`SELECT position, user_name, action, subject, detail, recorded_at FROM audit_entry WHERE position >= $1 AND position < $2`, func(rows pgx.Rows) error {
		var r assay.AuditEntry
		if err := rows.Scan(&position, &r.User, &r.Action, &r.Subject, &r.Detail, &r.RecordedAt); err != nil {
			return err
		}
		r.RecordedAt = coarse(r.RecordedAt)
		return p.addRecord(position, evidence.LeafOperator, r)
	})
	each(`SELECT position, kind, name, user_name, body FROM policy_change WHERE position >= $1 AND position < $2`, func(rows pgx.Rows) error {
		var kind, name, user string
		var body []byte
		if err := rows.Scan(&position, &kind, &name, &user, &body); err != nil {
			return err
		}
		var r assay.PolicyChange
		if err := json.Unmarshal(body, &r); err != nil {
			return fmt.Errorf("decoding policy change %d: %w", position, err)
		}
		r.From, r.To, r.RecordedAt = coarse(r.From), coarse(r.To), coarse(r.RecordedAt)
		r.Kind, r.Name, r.By = assay.PolicyKind(kind), name, user
		return p.addRecord(position, evidence.LeafPolicy, r)
	})
	each(`SELECT position, user_name, note, open, overdue, reviewed_at FROM review WHERE position >= $1 AND position < $2`, func(rows pgx.Rows) error {
		var r assay.Review
		if err := rows.Scan(&position, &r.By, &r.Note, &r.Open, &r.Overdue, &r.At); err != nil {
			return err
		}
		r.At = coarse(r.At)
		return p.addRecord(position, evidence.LeafReview, r)
	})
	each(`SELECT position, host_id, check_id, from_state, to_state, reason, valid_at FROM transition WHERE position >= $1 AND position < $2`, func(rows pgx.Rows) error {
		var host [16]byte
		var r transitionJSON
		if err := rows.Scan(&position, &host, &r.Check, &r.From, &r.To, &r.Reason, &r.ValidAt); err != nil {
			return err
		}
		r.Host, r.ValidAt = assay.HostID(host).String(), coarse(r.ValidAt)
		return p.addRecord(position, evidence.LeafTransition, r)
	})
	each(`SELECT position, instant, watermark, tree_size, hosts, root, inputs FROM run WHERE position >= $1 AND position < $2`, func(rows pgx.Rows) error {
		var inputs, root []byte
		var instant, watermark time.Time
		var size, hosts int64
		if err := rows.Scan(&position, &instant, &watermark, &size, &hosts, &root, &inputs); err != nil {
			return err
		}
		var r runJSON
		if err := json.Unmarshal(inputs, &r); err != nil {
			return fmt.Errorf("decoding run %d: %w", position, err)
		}
		r.Instant, r.Watermark, r.Size, r.Hosts, r.Root = coarse(instant), coarse(watermark), uint64(size), uint64(hosts), hex.EncodeToString(root)
		return p.addRecord(position, evidence.LeafRun, r)
	})
}

// FindingState is what a finding's newest leaf must say.
type FindingState struct {
	ID assay.FindingID
	// Facts is the digest of what projections say of it, Whole of that with how it
	// ended. A person who closed it says otherwise of the end, in a leaf of their own.
	Facts, Whole   [sha256.Size]byte
	ClosedByPerson bool
}

// NormalFinding returns what the leaf of a finding says.
func NormalFinding(body []byte) (s FindingState, err error) {
	var r findingJSON
	if err := json.Unmarshal(body, &r); err != nil {
		return s, fmt.Errorf("decoding finding: %w", err)
	}
	return findingState(r)
}

func findingState(r findingJSON) (s FindingState, err error) {
	if s.ID, err = assay.ParseFindingID(r.ID); err != nil {
		return s, err
	}
	r.OpenedAt = coarse(r.OpenedAt)
	if r.ResolvedAt != nil {
		at := coarse(*r.ResolvedAt)
		r.ResolvedAt = &at
	}
	if len(r.Fields) == 0 {
		r.Fields = map[string]string{}
	}
	if s.Whole, err = digestOf(r); err != nil {
		return s, err
	}
	r.ResolvedAt, r.Cause = nil, ""
	s.Facts, err = digestOf(r)
	return s, err
}

func digestOf(r findingJSON) (digest [sha256.Size]byte, err error) {
	text, err := json.Marshal(r)
	if err != nil {
		return digest, fmt.Errorf("encoding finding: %w", err)
	}
	return sha256.Sum256(text), nil
}

// readFindingStates returns what the rows of all findings say, about 100 bytes
// of each.
func readFindingStates(ctx context.Context, tx pgx.Tx) ([]FindingState, error) {
	rows, err := tx.Query(ctx, `SELECT `+findingColumns+` FROM finding`)
	if err != nil {
		return nil, fmt.Errorf("reading findings: %w", err)
	}
	states, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (FindingState, error) {
		f, err := scanFinding(row)
		if err != nil {
			return FindingState{}, err
		}
		state, err := findingState(findingRecord(&f.Finding))
		state.ClosedByPerson = f.ClosedBy != ""
		return state, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading findings: %w", err)
	}
	return states, nil
}
