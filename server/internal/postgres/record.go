package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// recordLock is the advisory lock under which records follow one another.
const recordLock = 0x6173736179_0010

// Record is a leaf with a row beside it that says the same: of a key, of the
// engine, or of a framework. The newest of its kind and name is what is in use.
type Record struct {
	Kind evidence.LeafKind
	Name string
	Body []byte
}

// NewRecord encodes what a Record says.
func NewRecord(kind evidence.LeafKind, name string, record any) (Record, error) {
	body, err := evidence.Encode(record)
	return Record{Kind: kind, Name: name, Body: body}, err
}

// TakeIntoUse appends those of the records that differ from the newest of their
// kind and name, and returns how many did.
func (s *Store) TakeIntoUse(ctx context.Context, records []Record) (taken int, err error) {
	if err := s.EnsureSegments(ctx); err != nil {
		return 0, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockRecords(ctx, tx); err != nil {
			return err
		}
		var differing []Record
		for _, r := range records {
			newest, err := newestRecord(ctx, tx, r.Kind, r.Name)
			if err != nil {
				return err
			}
			if string(newest) != string(r.Body) {
				differing = append(differing, r)
			}
		}
		taken = len(differing)
		_, err := s.appendRecords(ctx, tx, differing)
		return err
	})
	return taken, translate("taking into use", err)
}

func lockRecords(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(recordLock)); err != nil {
		return fmt.Errorf("locking records: %w", err)
	}
	return nil
}

// newestRecord returns the body of the newest, nil where there is none.
func newestRecord(ctx context.Context, tx pgx.Tx, kind evidence.LeafKind, name string) ([]byte, error) {
	rows, err := tx.Query(ctx, `SELECT body FROM leaf_record WHERE kind = $1 AND name = $2 ORDER BY position DESC LIMIT 1`, int16(kind), name)
	if err != nil {
		return nil, fmt.Errorf("reading newest %s: %w", kind, err)
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil || len(bodies) == 0 {
		return nil, err
	}
	return bodies[0], nil
}

// appendRecords must come last in the transaction (see AppendLeaves).
func (s *Store) appendRecords(ctx context.Context, tx pgx.Tx, records []Record) (first int64, err error) {
	if len(records) == 0 {
		return -1, nil
	}
	leaves := make([]evidence.Leaf, len(records))
	for i, r := range records {
		leaves[i] = evidence.Leaf{Kind: r.Kind, Body: r.Body}
	}
	if first, err = s.AppendLeaves(ctx, tx, leaves); err != nil {
		return 0, err
	}
	return first, insertRecords(ctx, tx, first, records)
}

func insertRecords(ctx context.Context, tx pgx.Tx, first int64, records []Record) error {
	for i, r := range records {
		_, err := tx.Exec(ctx, `INSERT INTO leaf_record (position, kind, name, body) VALUES ($1, $2, $3, $4)`, first+int64(i), int16(r.Kind), r.Name, r.Body)
		if err != nil {
			return fmt.Errorf("inserting record of %s: %w", r.Kind, err)
		}
	}
	return nil
}

// LostRanges returns the newest records of what was lost, at most limit.
func (s *Store) LostRanges(ctx context.Context, limit int) ([]evidence.LostRecord, error) {
	rows, err := s.db.Query(ctx, `SELECT body FROM leaf_record WHERE kind = $1 ORDER BY position DESC LIMIT $2`, int16(evidence.LeafLost), limit)
	if err != nil {
		return nil, translate("reading lost ranges", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r evidence.LostRecord, err error) {
		var body []byte
		if err := row.Scan(&body); err != nil {
			return r, err
		}
		return r, evidence.Decode(body, &r)
	})
	return list, translate("reading lost ranges", err)
}

// keyName is the Name of the one line of keys.
const keyName = "ledger"

// LedgerKey is a row beside a LeafKey.
type LedgerKey struct {
	Position int64
	evidence.KeyRecord
}

// LedgerKeys returns the ledger's keys, oldest first.
func (s *Store) LedgerKeys(ctx context.Context) ([]LedgerKey, error) {
	keys, err := readLedgerKeys(ctx, s.db)
	return keys, translate("reading ledger keys", err)
}

func readLedgerKeys(ctx context.Context, q manyQuerier) ([]LedgerKey, error) {
	rows, err := q.Query(ctx, `SELECT position, body FROM leaf_record WHERE kind = $1 ORDER BY position`, int16(evidence.LeafKey))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (key LedgerKey, err error) {
		var body []byte
		if err := row.Scan(&key.Position, &body); err != nil {
			return key, err
		}
		if err := evidence.Decode(body, &key.KeyRecord); err != nil {
			return key, fmt.Errorf("key at position %d: %w", key.Position, err)
		}
		return key, nil
	})
}

// EnsureLedgerKey records the key that signs checkpoints, where none is on
// record yet. It is Conflict where the ledger's newest key is another.
func (s *Store) EnsureLedgerKey(ctx context.Context, key string) error {
	if err := s.EnsureSegments(ctx); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockRecords(ctx, tx); err != nil {
			return err
		}
		keys, err := readLedgerKeys(ctx, tx)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			return sameKey(keys[len(keys)-1].Key, key)
		}
		record, err := NewRecord(evidence.LeafKey, keyName, evidence.KeyRecord{Action: evidence.KeyCreated, Key: key})
		if err != nil {
			return err
		}
		_, err = s.appendRecords(ctx, tx, []Record{record})
		return err
	})
	return translate("recording the ledger's key", err)
}

func sameKey(recorded, ours string) error {
	if recorded == ours {
		return nil
	}
	return assay.Errorf(assay.Conflict, "the ledger's key is %s, the folder of the keys holds %s: bring the keys of the server on which they were rotated, or end a rotation that was cut short with assay-server keys rotate", recorded, ours)
}

// RotateLedgerKey records that another key follows the newest. It is Conflict
// where the newest is not the one that the rotation begins at. Recorded already,
// it is done.
func (s *Store) RotateLedgerKey(ctx context.Context, record evidence.KeyRecord, previous, by string) error {
	if err := s.EnsureSegments(ctx); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, known, err := s.appendKey(ctx, tx, record, previous)
		if err != nil || known {
			return err
		}
		return s.auditKey(ctx, tx, "ledger.rotate_key", record, previous, by)
	})
	return translate("rotating the ledger's key", err)
}

// appendKey records that a key follows the newest, which must be previous, and
// returns its position; known says that it was recorded before.
func (s *Store) appendKey(ctx context.Context, tx pgx.Tx, record evidence.KeyRecord, previous string) (position int64, known bool, err error) {
	body, err := NewRecord(evidence.LeafKey, keyName, record)
	if err != nil {
		return 0, false, err
	}
	if err := lockRecords(ctx, tx); err != nil {
		return 0, false, err
	}
	keys, err := readLedgerKeys(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	newest := LedgerKey{KeyRecord: evidence.KeyRecord{Action: evidence.KeyCreated, Key: previous}}
	if len(keys) > 0 {
		newest = keys[len(keys)-1]
	}
	if newest.Key == record.Key {
		return newest.Position, true, nil
	}
	if err := sameKey(newest.Key, previous); err != nil {
		return 0, false, err
	}
	records := []Record{body}
	if len(keys) == 0 { // a ledger from before keys were recorded
		first, err := NewRecord(evidence.LeafKey, keyName, newest.KeyRecord)
		if err != nil {
			return 0, false, err
		}
		records = []Record{first, body}
	}
	position, err = s.appendRecords(ctx, tx, records)
	return position + int64(len(records)) - 1, false, err
}

func (s *Store) auditKey(ctx context.Context, tx pgx.Tx, action string, record evidence.KeyRecord, previous, by string) error {
	return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: action, Subject: record.Key, Detail: map[string]string{"previous": previous}, RecordedAt: s.clock()})
}
