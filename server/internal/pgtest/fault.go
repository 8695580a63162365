package pgtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/assay-audit/assay/server/internal/postgres"
)

// ErrLost is what is known when a connection ends without an answer.
var ErrLost = errors.New("the connection was lost")

// Fault fails one step of what is done on a database: before anything is done,
// or after it was, of which the caller then hears nothing. It is for one caller
// at a time.
type Fault struct {
	// Step is the one that fails, by its name; "": none, unless At is its number,
	// from 1, in the order of Steps.
	Step  string
	At    int
	After bool
	// Name names the statements, those of a kind alike; nil: by number and text.
	Name func(sql string) string

	Steps []string // that were begun, in order
	Hit   bool
}

// Each returns a fault for each of the steps, failing and failing after.
func (f *Fault) Each() []*Fault {
	var all []*Fault
	for _, step := range f.Steps {
		all = append(all, &Fault{Step: step, Name: f.Name}, &Fault{Step: step, After: true, Name: f.Name})
	}
	return all
}

func (f *Fault) String() string {
	step := f.Step
	if 0 < f.At && f.At <= len(f.Steps) {
		step = f.Steps[f.At-1]
	}
	if f.After {
		return "lost the answer of " + step
	}
	return "failed at " + step
}

func (f *Fault) meets(step string) bool {
	return step == f.Step || 0 < f.At && f.At <= len(f.Steps) && f.Steps[f.At-1] == step
}

// Begin is called as a step begins.
func (f *Fault) Begin(step string) error {
	if !slices.Contains(f.Steps, step) {
		f.Steps = append(f.Steps, step)
	}
	if !f.meets(step) || f.After {
		return nil
	}
	f.Hit = true
	return ErrLost
}

// Lost reports whether the answer of a step that was done gets lost.
func (f *Fault) Lost(step string) bool {
	if !f.meets(step) || !f.After {
		return false
	}
	f.Hit = true
	return true
}

// name names a statement.
func (f *Fault) name(sql string) string {
	if f.Name != nil {
		return f.Name(sql)
	}
	text := strings.Join(strings.Fields(sql), " ")
	return fmt.Sprintf("%d: %s", len(f.Steps)+1, text[:min(len(text), 60)])
}

// FaultyDB is a database that meets a fault.
func FaultyDB(db postgres.DB, f *Fault) postgres.DB { return &faultyDB{DB: db, fault: f} }

type faultyDB struct {
	postgres.DB
	fault *Fault
}

func (d *faultyDB) Begin(ctx context.Context) (pgx.Tx, error) {
	step := d.fault.name("begin")
	if err := d.fault.Begin(step); err != nil {
		return nil, err
	}
	tx, err := d.DB.Begin(ctx)
	if err != nil {
		return nil, err
	}
	faulty := &faultyTx{Tx: tx, fault: d.fault}
	if d.fault.Lost(step) {
		err := faulty.die(ctx)
		return nil, errors.Join(err, tx.Rollback(ctx)) // gives its place in the pool back
	}
	return faulty, nil
}

// What is done outside of a transaction is done whether its answer is lost or not.

func (d *faultyDB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	step := d.fault.name(sql)
	if err := d.fault.Begin(step); err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := d.DB.Exec(ctx, sql, args...)
	if err == nil && d.fault.Lost(step) {
		return pgconn.CommandTag{}, ErrLost
	}
	return tag, err
}

func (d *faultyDB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	step := d.fault.name(sql)
	if err := d.fault.Begin(step); err != nil {
		return nil, err
	}
	if d.fault.Lost(step) {
		return nil, ErrLost // a query leaves nothing behind: only its answer is lost
	}
	return d.DB.Query(ctx, sql, args...)
}

func (d *faultyDB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	step := d.fault.name(sql)
	if err := d.fault.Begin(step); err != nil {
		return scanFunc(func(...any) error { return err })
	}
	row := d.DB.QueryRow(ctx, sql, args...)
	return scanFunc(func(into ...any) error {
		if err := row.Scan(into...); err != nil || !d.fault.Lost(step) {
			return err
		}
		return ErrLost
	})
}

// faultyTx is a transaction of it. One that has died has no connection any more:
// what it had not committed is gone.
type faultyTx struct {
	pgx.Tx
	fault *Fault
}

// die closes the connection under the transaction, without a word to Postgres.
func (x *faultyTx) die(ctx context.Context) error {
	return errors.Join(ErrLost, x.Conn().PgConn().Conn().Close(), x.Conn().Close(ctx))
}

func (x *faultyTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	step := x.fault.name(sql)
	if err := x.fault.Begin(step); err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := x.Tx.Exec(ctx, sql, args...)
	if err == nil && x.fault.Lost(step) {
		return pgconn.CommandTag{}, x.die(ctx)
	}
	return tag, err
}

func (x *faultyTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	step := x.fault.name(sql)
	if err := x.fault.Begin(step); err != nil {
		return nil, err
	}
	if x.fault.Lost(step) {
		return nil, x.die(ctx)
	}
	return x.Tx.Query(ctx, sql, args...)
}

func (x *faultyTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	step := x.fault.name(sql)
	if err := x.fault.Begin(step); err != nil {
		return scanFunc(func(...any) error { return err })
	}
	row := x.Tx.QueryRow(ctx, sql, args...)
	return scanFunc(func(into ...any) error {
		if err := row.Scan(into...); err != nil || !x.fault.Lost(step) {
			return err
		}
		return x.die(ctx)
	})
}

type scanFunc func(into ...any) error

func (s scanFunc) Scan(into ...any) error { return s(into...) }

func (x *faultyTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error) {
	step := x.fault.name("COPY " + table.Sanitize())
	if err := x.fault.Begin(step); err != nil {
		return 0, err
	}
	n, err := x.Tx.CopyFrom(ctx, table, columns, source)
	if err == nil && x.fault.Lost(step) {
		return 0, x.die(ctx)
	}
	return n, err
}

// SendBatch is one step, whatever it sends: its answers come with its end.
func (x *faultyTx) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	first := ""
	if len(batch.QueuedQueries) > 0 {
		first = batch.QueuedQueries[0].SQL
	}
	step := x.fault.name(first)
	if err := x.fault.Begin(step); err != nil {
		return failedBatch{err: err}
	}
	results := x.Tx.SendBatch(ctx, batch)
	if !x.fault.Lost(step) {
		return results
	}
	return failedBatch{err: errors.Join(results.Close(), x.die(ctx))}
}

// failedBatch is a batch of which nothing is heard but that it failed.
type failedBatch struct {
	pgx.BatchResults
	err error
}

func (b failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b failedBatch) Query() (pgx.Rows, error)         { return nil, b.err }
func (b failedBatch) QueryRow() pgx.Row                { return scanFunc(func(...any) error { return b.err }) }
func (b failedBatch) Close() error                     { return b.err }

func (x *faultyTx) Commit(ctx context.Context) error {
	step := x.fault.name("commit")
	if err := x.fault.Begin(step); err != nil {
		return errors.Join(err, x.die(ctx))
	}
	if err := x.Tx.Commit(ctx); err != nil {
		return err
	}
	if x.fault.Lost(step) {
		return ErrLost
	}
	return nil
}
