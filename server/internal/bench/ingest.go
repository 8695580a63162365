package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/ca"
)

// Ingest is what one measurement of the way in found.
type Ingest struct {
	EventsPerSecond float64 `json:"events_per_s"`
	// CPU seconds per million events: of this process, which is the server and,
	// but for the plain COPY, its agents; and of Postgres.
	ProcessCPU  float64 `json:"process_cpu_s_per_million"`
	PostgresCPU float64 `json:"postgres_cpu_s_per_million"`
	WALBytes    float64 `json:"wal_bytes_per_event"`
	DiskBytes   float64 `json:"disk_bytes_per_event"`
	// From the sending of a batch to its ack.
	AckP50 time.Duration `json:"ack_p50_ns,omitempty"`
	AckP99 time.Duration `json:"ack_p99_ns,omitempty"`
}

func newIngest(events int, took time.Duration, s spent) Ingest {
	n := float64(events)
	return Ingest{
		EventsPerSecond: n / took.Seconds(), ProcessCPU: s.process / n * 1e6, PostgresCPU: s.postgres / n * 1e6,
		WALBytes: float64(s.wal) / n, DiskBytes: float64(s.disk) / n,
	}
}

// replay measures how fast the loads are acknowledged and, with projections, how
// fast they have become facts.
func replay(ctx context.Context, db *database, authority *ca.Authority, l *loads, with parts) (result Ingest, err error) {
	s, err := serve(ctx, db, authority, with)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	agents, err := connectAll(ctx, s, l)
	defer func() {
		for _, a := range agents {
			_ = a.conn.Close() // all it had to say is acknowledged
		}
	}()
	if err != nil {
		return result, err
	}
	before, err := db.cluster.usage.read(ctx, db)
	if err != nil {
		return result, err
	}
	start := time.Now()
	if err := replayAll(ctx, agents); err != nil {
		return result, err
	}
	if with.projections {
		if err := s.catchUp(ctx); err != nil {
			return result, err
		}
	}
	took := time.Since(start)
	after, err := db.cluster.usage.read(ctx, db)
	if err != nil {
		return result, err
	}
	result = newIngest(l.events, took, after.since(before))
	result.AckP50, result.AckP99 = latencies(agents)
	return result, verify(ctx, db, l, with)
}

// connecting bounds the agents that connect at a time.
const connecting = 8

func connectAll(ctx context.Context, s *server, l *loads) ([]*agent, error) {
	made := make([]*agent, len(l.agents))
	group := errgroup.Group{}
	group.SetLimit(connecting)
	for i := range l.agents {
		group.Go(func() (err error) {
			made[i], err = newAgent(ctx, s, i, &l.agents[i])
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(made, func(a *agent) bool { return a == nil }), err
}

func replayAll(ctx context.Context, agents []*agent) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, a := range agents {
		group.Go(func() error { return a.replay(ctx) })
	}
	return group.Wait()
}

func latencies(agents []*agent) (p50, p99 time.Duration) {
	var all []time.Duration
	for _, a := range agents {
		all = append(all, a.latencies...)
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100]
}

// verify counts what is stored: a rate of events that were lost is none.
func verify(ctx context.Context, db *database, l *loads, with parts) error {
	batches, err := db.count(ctx, `SELECT count(*) FROM batch`)
	if err != nil {
		return err
	}
	if batches != int64(l.batches) {
		return fmt.Errorf("%d batches were acknowledged, %d are stored", l.batches, batches)
	}
	if !with.projections {
		return nil
	}
	var reason string
	err = db.pool.QueryRow(ctx, `SELECT coalesce(min(pass || ': ' || reason), '') FROM quarantine`).Scan(&reason)
	if err != nil {
		return fmt.Errorf("looking into quarantine: %w", err)
	}
	rows, err := typedRows(ctx, db)
	if err != nil {
		return err
	}
	if rows != int64(l.typed) || reason != "" {
		return fmt.Errorf("%d events have tables, %d rows are stored; in quarantine: %q", l.typed, rows, reason)
	}
	return nil
}

func typedRows(ctx context.Context, db *database) (rows int64, err error) {
	for _, table := range telemetry.Tables() {
		n, err := db.count(ctx, "SELECT count(*) FROM "+table.Name)
		if err != nil {
			return 0, err
		}
		rows += n
	}
	return rows, nil
}
