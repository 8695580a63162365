package bench

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/deploy/pg"
	"github.com/assay-audit/assay/server/internal/assay"
)

// StreamsConfig says how many agents are connected, and for how long.
type StreamsConfig struct {
	Config
	Streams int
	// Beats is for how many minutes every agent sends a batch a minute before the
	// restart, and again after it.
	Beats int
	// Beat is from one batch of an agent to its next; 0: a minute.
	Beat time.Duration
	// Kill restarts the server by kill -9, so that nobody is asked to come back in
	// an orderly way.
	Kill bool
	// Self is the program that serves (see Serve).
	Self string
}

// StreamsReport is what was found. Its JSON is the last line.
type StreamsReport struct {
	Streams      int     `json:"streams"`
	KiBPerStream float64 `json:"kib_per_stream"`
	ReconnectS   float64 `json:"reconnect_s"`

	ConnectS          float64 `json:"connect_s"`
	ConnectCPUMs      float64 `json:"connect_cpu_ms_per_stream"`
	RSS               float64 `json:"rss_mb"`
	Batches           int64   `json:"batches"`
	Late              int64   `json:"late_batches"`
	Lost              int64   `json:"lost_batches"`
	FailedAttempts    int64   `json:"failed_attempts"`
	ReconnectConns    int64   `json:"reconnect_postgres_connections"`
	ReconnectPerAgent float64 `json:"reconnect_statements_per_stream"`
	ReconnectCPUMs    float64 `json:"reconnect_cpu_ms_per_stream"`
	BeatCPU           float64 `json:"server_cpu_s_per_minute"`
	Killed            bool    `json:"killed"`
}

// Print writes a table for people and, as the last line, BENCH and the JSON.
func (r *StreamsReport) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d agents connected, a batch a minute each\n\n", r.Streams)
	fmt.Fprintf(t, "server memory\t%.1f KiB a stream\t(%.0f MB in all)\n", r.KiBPerStream, r.RSS)
	fmt.Fprintf(t, "connecting\t%.1f s\t%.2f ms of server CPU a stream\n", r.ConnectS, r.ConnectCPUMs)
	fmt.Fprintf(t, "heartbeats\t%d acknowledged\t%d late, %d lost, %.2f CPU s of the server a minute\n", r.Batches, r.Late, r.Lost, r.BeatCPU)
	fmt.Fprintf(t, "restart\t%.1f s until all were back\t%d attempts failed; at most %d connections to Postgres, %.1f statements and %.2f ms of server CPU a stream\n",
		r.ReconnectS, r.FailedAttempts, r.ReconnectConns, r.ReconnectPerAgent, r.ReconnectCPUMs)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing report: %w", err)
	}
	return printLast(w, r)
}

// streamsRun is a benchmark of many streams under way.
type streamsRun struct {
	*stage
	cfg    StreamsConfig
	db     *database
	agents []*lightAgent
	crew   *crew
	server *process
	report StreamsReport
}

// RunStreams measures. An error also says that something was lost or late: then
// there is nothing to report.
func RunStreams(ctx context.Context, cfg StreamsConfig) (report *StreamsReport, err error) {
	if cfg.Streams < 1 || cfg.Beats < 1 {
		return nil, errors.New("at least one stream and one minute are needed")
	}
	if cfg.Beat == 0 {
		cfg.Beat = time.Minute
	}
	if err := raiseFiles(cfg.Streams); err != nil {
		return nil, err
	}
	s, err := openWith(ctx, cfg.Config, map[string]string{"shared_preload_libraries": "pg_stat_statements"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	r := &streamsRun{stage: s, cfg: cfg, agents: make([]*lightAgent, cfg.Streams), crew: &crew{roots: x509.NewCertPool(), beat: cfg.Beat},
		report: StreamsReport{Streams: cfg.Streams, Killed: cfg.Kill}}
	if err := r.prepareStreams(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.db.drop(context.WithoutCancel(ctx))) }()
	defer func() { err = errors.Join(err, r.server.close()) }()
	if err := r.measure(ctx); err != nil {
		return nil, err
	}
	return &r.report, nil
}

// spareFiles is what this process and its server need beside their streams.
const spareFiles = 200

// raiseFiles lets this process, and those it starts, have enough files open.
func raiseFiles(streams int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	need := uint64(streams + spareFiles)
	if limit.Cur >= need {
		return nil
	}
	if limit.Max < need {
		return fmt.Errorf("%d files may be open, %d are needed: run ulimit -Hn %d, or ask for fewer --streams", limit.Max, need, need)
	}
	limit.Cur = need
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	return nil
}

// openWith is open with settings of Postgres.
func openWith(ctx context.Context, cfg Config, settings map[string]string) (s *stage, err error) {
	s = &stage{Config: cfg, keys: filepath.Join(cfg.Dir, "keys")}
	if s.postgres, err = pg.Start(ctx, pg.Config{Dir: filepath.Join(cfg.Dir, "postgres"), Settings: settings}); err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// enrolling is how many agents enrol at a time.
const enrolling = 8

// prepareStreams enrols the agents by the store and starts the server.
func (r *streamsRun) prepareStreams(ctx context.Context) (err error) {
	if r.db, err = r.cluster.fresh(ctx); err != nil {
		return err
	}
	if _, err := r.db.pool.Exec(ctx, "CREATE EXTENSION pg_stat_statements"); err != nil {
		return fmt.Errorf("counting statements: %w", err)
	}
	root, err := x509.ParseCertificate(r.authority.Chain()[1])
	if err != nil {
		return fmt.Errorf("reading root certificate: %w", err)
	}
	r.crew.roots.AddCert(root)
	if r.crew.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(32<<10), zstd.WithEncoderCRC(false)); err != nil {
		return fmt.Errorf("making compressor: %w", err)
	}
	_, hash := assay.NewTokenSecret()
	now := r.Now()
	token := assay.Token{Name: "bench", SecretHash: hash, Rights: []assay.Right{assay.RightEnrol}, UsesLeft: r.cfg.Streams,
		CreatedAt: now, CreatedBy: "bench", ExpiresAt: now.Add(time.Hour)}
	token.ID[0] = 1
	if err := r.db.CreateToken(ctx, token); err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(enrolling)
	var done atomic.Int64
	for i := range r.agents {
		group.Go(func() (err error) {
			if r.agents[i], err = r.enrolLight(running, r.db, i, hash); err != nil {
				return err
			}
			r.agents[i].phase = time.Duration(i) * r.cfg.Beat / time.Duration(r.cfg.Streams)
			if n := done.Add(1); n%1000 == 0 {
				r.say("preparing: %d of %d agents are enrolled", n, r.cfg.Streams)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return r.serveAt(ctx, "127.0.0.1:0")
}

func (r *streamsRun) serveAt(ctx context.Context, listen string) error {
	p, err := start(ctx, "server", r.cfg.Self, nil, "serve", "--dsn", r.cluster.dsn(r.db.name), "--keys", r.keys, "--listen", listen)
	if err != nil {
		return err
	}
	text, err := p.line()
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(text, "ready %s", &r.crew.address); err != nil {
		return errors.Join(fmt.Errorf("starting server: it said %q", text), p.close())
	}
	r.server = p
	return nil
}

// collected is the server's memory once garbage is collected, in bytes.
func (r *streamsRun) collected() (int64, error) {
	if err := r.server.begin(); err != nil {
		return 0, err
	}
	if _, err := r.server.line(); err != nil {
		return 0, err
	}
	now, _, err := r.server.memory()
	return now, err
}

func (r *streamsRun) measure(ctx context.Context) error {
	empty, err := r.collected()
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()
	began := time.Now()
	for i, a := range r.agents {
		wait.Go(func() {
			// Hosts are not all switched on in one second.
			select {
			case <-time.After(time.Duration(i) * time.Millisecond * 2):
				a.run(running, r.crew)
			case <-running.Done():
			}
		})
	}
	if err := r.settled(ctx, "connected"); err != nil {
		return err
	}
	r.report.ConnectS = time.Since(began).Seconds()
	perStream := 1e3 / float64(r.cfg.Streams)
	spent, err := r.server.cpu()
	if err != nil {
		return err
	}
	r.report.ConnectCPUMs = spent * perStream
	full, err := r.collected()
	if err != nil {
		return err
	}
	r.report.KiBPerStream = math.Round(10*float64(full-empty)/1024/float64(r.cfg.Streams)) / 10
	r.report.RSS = float64(full) / 1e6
	if err := r.beats(ctx, "before the restart"); err != nil {
		return err
	}
	after, err := r.server.cpu()
	if err != nil {
		return err
	}
	r.report.BeatCPU = (after - spent) / float64(r.cfg.Beats)
	if err := r.restart(ctx); err != nil {
		return err
	}
	if err := r.beats(ctx, "after the restart"); err != nil {
		return err
	}
	return r.count(ctx)
}

// settled waits until all agents are connected.
func (r *streamsRun) settled(ctx context.Context, what string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for said := time.Now(); ; {
		n := r.crew.connected.Load()
		if n == int64(r.cfg.Streams) {
			return nil
		}
		if time.Since(said) > 5*time.Second {
			r.say("%d of %d agents are %s", n, r.cfg.Streams, what)
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// beats has every agent send its batch in each of so many minutes.
func (r *streamsRun) beats(ctx context.Context, when string) error {
	r.say("a batch a minute of each agent, %s", when)
	before := r.crew.batches.Load()
	r.crew.beating.Store(true)
	select {
	case <-time.After(time.Duration(r.cfg.Beats) * r.cfg.Beat):
	case <-ctx.Done():
		return ctx.Err()
	}
	r.crew.beating.Store(false)
	// The last ones' acks may still be under way.
	want := before + int64(r.cfg.Streams*r.cfg.Beats)
	for deadline := time.Now().Add(r.cfg.Beat); r.crew.batches.Load() < want; {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d batches were due and %d are acknowledged", want-before, r.crew.batches.Load()-before)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if late, lost := r.crew.late.Load(), r.crew.lost.Load(); late+lost > 0 {
		return fmt.Errorf("%d heartbeats were missed and %d batches lost, %s", late, lost, when)
	}
	return nil
}

// restart ends the server and starts another, and watches what all who come back
// ask of Postgres.
func (r *streamsRun) restart(ctx context.Context) error {
	r.say("restarting the server")
	failed := r.crew.failed.Load()
	if r.cfg.Kill {
		_ = r.server.cmd.Process.Kill()
		_ = r.server.wait() // it was killed: that it did not end well is meant
	} else if err := r.server.close(); err != nil {
		return err
	}
	if _, err := r.db.pool.Exec(ctx, "SELECT pg_stat_statements_reset()"); err != nil {
		return fmt.Errorf("counting statements: %w", err)
	}
	began := time.Now()
	watching, stop := context.WithCancel(ctx)
	var most atomic.Int64
	var wait sync.WaitGroup
	wait.Go(func() { r.watchConnections(watching, &most) })
	err := r.serveAt(ctx, r.crew.address)
	if err == nil {
		err = r.settled(ctx, "back")
	}
	r.report.ReconnectS = math.Round(10*time.Since(began).Seconds()) / 10
	stop()
	wait.Wait()
	if err != nil {
		return err
	}
	calls, err := r.db.count(ctx, `SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_activity%'`)
	if err != nil {
		return err
	}
	spent, err := r.server.cpu()
	if err != nil {
		return err
	}
	r.report.FailedAttempts = r.crew.failed.Load() - failed
	r.report.ReconnectConns, r.report.ReconnectPerAgent = most.Load(), float64(calls)/float64(r.cfg.Streams)
	r.report.ReconnectCPUMs = spent * 1e3 / float64(r.cfg.Streams)
	return nil
}

// watchConnections keeps the most connections that the server had to Postgres.
func (r *streamsRun) watchConnections(ctx context.Context, most *atomic.Int64) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		n, err := r.db.count(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'assay-server'
			AND pid <> pg_backend_pid()`)
		if err == nil {
			most.Store(max(most.Load(), n))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// count compares what was acknowledged with what is stored.
func (r *streamsRun) count(ctx context.Context) error {
	stored, err := r.db.count(ctx, `SELECT count(*) FROM batch`)
	if err != nil {
		return err
	}
	r.report.Batches, r.report.Late, r.report.Lost = r.crew.batches.Load(), r.crew.late.Load(), r.crew.lost.Load()
	if stored != r.report.Batches {
		return fmt.Errorf("%d batches are acknowledged and %d stored", r.report.Batches, stored)
	}
	return nil
}
