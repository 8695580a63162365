package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// positionTable is a table in parts by positions of the ledger. Those of batches and
// leaves are made ahead of the ledger's head (see EnsureSegments), others when
// something is to be written there.
type positionTable struct {
	name     string
	column   string // that has the position
	segments int64  // of the ledger, in a part
}

var (
	// Detections are few and kept: larger parts, of which there will not be many.
	detectionTable   = positionTable{"detection", "position", 64}
	batchTable       = positionTable{"batch", "position", 1}
	leafTable        = positionTable{"leaf", "position", 1}
	inputTable       = positionTable{"correlation_input", "position", 1}
	cosignatureTable = positionTable{"cosignature", "size", 1}
)

// positionPart is a part: rows with From <= position < To.
type positionPart struct {
	Name     string
	From, To int64
}

func (t positionTable) part(number int64) positionPart {
	span := t.segments * SegmentSize
	return positionPart{fmt.Sprintf("%s_%08d", t.name, number), number * span, (number + 1) * span}
}

// ready makes the parts for some positions that are not there. It is called before
// the transaction that writes: a part that was made stays if that fails. Parts are
// looked for each time, for they may have been dropped since, by any server.
func (t positionTable) ready(ctx context.Context, s *Store, positions ...uint64) error {
	if len(positions) == 0 {
		return nil
	}
	parts := make([]positionPart, 0, 2)
	for _, position := range positions {
		if n := len(parts); n == 0 || parts[n-1].From > int64(position) || parts[n-1].To <= int64(position) {
			parts = append(parts, t.part(int64(position)/(t.segments*SegmentSize)))
		}
	}
	missing, err := missingParts(ctx, s.db, parts)
	if err != nil || len(missing) == 0 {
		return translate("looking for parts of "+t.name, err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(segmentLock)); err != nil {
			return err
		}
		return t.ensure(ctx, tx, missing...)
	})
	return translate("making parts of "+t.name, err)
}

// ensure makes those of some parts that are not there, under segmentLock.
func (t positionTable) ensure(ctx context.Context, tx pgx.Tx, parts ...positionPart) error {
	missing, err := missingParts(ctx, tx, parts)
	if err != nil {
		return err
	}
	for _, part := range missing {
		if err := t.attach(ctx, tx, part); err != nil {
			return err
		}
	}
	return nil
}

func missingParts(ctx context.Context, db manyQuerier, parts []positionPart) ([]positionPart, error) {
	names := make([]string, len(parts))
	for i := range parts {
		names[i] = parts[i].Name
	}
	there, err := tablesThere(ctx, db, names)
	var missing []positionPart
	for _, part := range parts {
		if !slices.Contains(there, part.Name) && !slices.Contains(missing, part) {
			missing = append(missing, part)
		}
	}
	return missing, err
}

// attach makes a part.
func (t positionTable) attach(ctx context.Context, tx pgx.Tx, part positionPart) error {
	return attachPart(ctx, tx, t.name, part.Name, strconv.FormatInt(part.From, 10), strconv.FormatInt(part.To, 10))
}

// attachPart makes a part of a table. from and to are its bounds as they stand in SQL,
// which has only names of ours, numbers and dates in it, here and below.
func attachPart(ctx context.Context, tx pgx.Tx, table, part, from, to string) error {
	if _, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s (LIKE %s INCLUDING ALL)`, part, table)); err != nil {
		return fmt.Errorf("creating part %s: %w", part, err)
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)`, table, part, from, to)); err != nil {
		return fmt.Errorf("attaching part %s: %w", part, err)
	}
	return nil
}

// partNames are the parts that a table has, oldest first.
func (s *Store) partNames(ctx context.Context, table string) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = to_regclass($1) ORDER BY c.relname`, table)
	if err != nil {
		return nil, translate("listing parts of "+table, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, translate("listing parts of "+table, err)
}

// tablesThere are those of some tables that there are. The catalogue is read as a
// table: to_regclass answers from a cache that may not know yet what was committed while
// this session waited for a lock.
func tablesThere(ctx context.Context, db manyQuerier, names []string) ([]string, error) {
	rows, err := db.Query(ctx, `SELECT relname::text FROM pg_class WHERE relname = ANY ($1) AND relnamespace = current_schema()::regnamespace`, names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// parts returns the parts that there are, oldest first.
func (t positionTable) parts(ctx context.Context, s *Store) ([]positionPart, error) {
	names, err := s.partNames(ctx, t.name)
	if err != nil {
		return nil, err
	}
	parts := make([]positionPart, len(names))
	for i, name := range names {
		number, err := strconv.ParseInt(strings.TrimPrefix(name, t.name+"_"), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is no name of a part of %s", name, t.name)
		}
		parts[i] = t.part(number)
	}
	return parts, nil
}

// rewrite replaces a part by its rows p that are not unwanted, in a transaction of its
// own, if there are any that are, and returns how many. Who writes into the table waits
// for that, who reads it for the last of it.
func (t positionTable) rewrite(ctx context.Context, s *Store, part positionPart, unwanted string, args ...any) (gone int64, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		for _, sql := range []string{
			patience,
			// The table before the part, as who inserts locks them: that has the table,
			// and would wait for the part while this waits for the table.
			fmt.Sprintf(`LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE`, t.name),
			fmt.Sprintf(`CREATE TABLE %s_new (LIKE %s INCLUDING ALL)`, part.Name, t.name),
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT count(*) FROM %s`, part.Name)).Scan(&gone); err != nil {
			return err
		}
		kept, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %s_new SELECT p.* FROM %s p WHERE NOT (%s)`, part.Name, part.Name, unwanted), args...)
		if err != nil {
			return fmt.Errorf("copying part %s: %w", part.Name, err)
		}
		gone -= kept.RowsAffected()
		return t.swap(ctx, tx, part)
	})
	return gone, translate("rewriting "+part.Name, err)
}

// swap puts NAME_new into the place of a part (see swapPart).
func (t positionTable) swap(ctx context.Context, tx pgx.Tx, part positionPart) error {
	return swapPart(ctx, tx, t.name, part.Name, part.Name+"_new", t.column, strconv.FormatInt(part.From, 10), strconv.FormatInt(part.To, 10))
}

// swapPart puts a table into the place of a part, or where there is none any more, in
// the caller's transaction. from and to are the part's bounds as they stand in SQL.
// Readers wait for the rest of the transaction; it gives up after two seconds.
func swapPart(ctx context.Context, tx pgx.Tx, table, part, fresh, column, from, to string) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, part).Scan(&there); err != nil {
		return fmt.Errorf("looking for part %s: %w", part, err)
	}
	statements := []string{
		patience,
		// The constraint is what the attaching would else scan for.
		fmt.Sprintf(`ALTER TABLE %s ADD CONSTRAINT within CHECK (%s >= %s AND %s < %s)`, fresh, column, from, column, to),
	}
	if there {
		statements = append(statements, fmt.Sprintf(`ALTER TABLE %s DETACH PARTITION %s`, table, part), fmt.Sprintf(`DROP TABLE %s`, part))
	}
	for _, sql := range append(statements,
		fmt.Sprintf(`ALTER TABLE %s RENAME TO %s`, fresh, part),
		fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)`, table, part, from, to),
		fmt.Sprintf(`ALTER TABLE %s DROP CONSTRAINT within`, part),
	) {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("replacing part %s: %w", part, err)
		}
	}
	return nil
}

// dropPart drops a part in the caller's transaction.
func dropPart(ctx context.Context, tx pgx.Tx, table, part string) error {
	for _, sql := range []string{
		patience,
		// Detached first: dropping a partition of a table that is read locks the
		// table for as long as the drop takes, detaching only for the catalogue.
		fmt.Sprintf(`ALTER TABLE %s DETACH PARTITION %s`, table, part),
		fmt.Sprintf(`DROP TABLE %s`, part),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}
