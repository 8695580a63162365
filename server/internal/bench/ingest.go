package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/project"
)

// IngestConfig says how much of the way in to measure.
type IngestConfig struct {
	Config
	Agents int // that send at a time
	Events int // of each
	Rounds int // of which medians are printed
	// Agent is the program that sends, Self the one that serves (see Serve).
	Agent, Self string
	// Spools is a folder in which agents keep their spools while they send; "": where
	// all else is, so that they sync the disk that Postgres syncs.
	Spools string
	// Profiles is where servers and agents write CPU profiles; "": none.
	Profiles string
}

// Ingest is what one measurement of the way in found. CPU seconds are per million
// events, of each part in processes of its own.
type Ingest struct {
	EventsPerSecond float64 `json:"events_per_s"`
	ClientCPU       float64 `json:"client_cpu_s_per_m"`
	AckCPU          float64 `json:"ack_cpu_s_per_m"`
	ProjectCPU      float64 `json:"project_cpu_s_per_m"`
	PostgresCPU     float64 `json:"postgres_cpu_s_per_m"`
	WALBytes        float64 `json:"wal_b_per_event"`
	DiskBytes       float64 `json:"disk_b_per_event"`
	AckP50          float64 `json:"ack_p50_ms"`
	AckP99          float64 `json:"ack_p99_ms"`
	RSS             float64 `json:"rss_mb"` // the most that the servers' processes held
}

func newIngest(events int, s spent) Ingest {
	n := float64(events)
	return Ingest{EventsPerSecond: n / s.took.Seconds(), PostgresCPU: s.postgres / n * 1e6, WALBytes: float64(s.wal) / n, DiskBytes: float64(s.disk) / n}
}

// loadResult is what assay-agent fleet prints.
type loadResult struct {
	Events   int     `json:"events"`
	Batches  int     `json:"batches"`
	Bytes    int64   `json:"bytes"`
	AckP50Ms float64 `json:"ack_p50_ms"`
	AckP99Ms float64 `json:"ack_p99_ms"`
}

// ingestRun is a benchmark of the way in under way.
type ingestRun struct {
	*stage
	cfg    IngestConfig
	spools string // the prepared ones
	base   int64  // events that the template holds already
	rows   *rows
	sent   loadResult // of all that is prepared
	n      int
}

// ingestRound is what one round measured.
type ingestRound struct{ copied, burst, sustained, ruled, half Ingest }

// RunIngest measures, interleaved, so that what else the machine does falls on all
// measurements alike.
func RunIngest(ctx context.Context, cfg IngestConfig) (report *IngestReport, err error) {
	if cfg.Agents < 1 || cfg.Events < 2 || cfg.Rounds < 1 {
		return nil, errors.New("at least one agent, two events of each and one round are needed")
	}
	s, err := open(ctx, cfg.Config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	r := &ingestRun{stage: s, cfg: cfg, spools: filepath.Join(cfg.Dir, "spools")}
	if err := r.prepareSpools(ctx); err != nil {
		return nil, err
	}
	rounds := make([]ingestRound, cfg.Rounds)
	for i := range rounds {
		if err := r.round(ctx, i+1, &rounds[i]); err != nil {
			return nil, err
		}
	}
	return r.report(rounds), nil
}

// prepareSpools has the agents enrol and write what they will replay, makes the
// database in which they are known the template, and replays once to warm up and
// to learn which rows the yardstick is to copy.
func (r *ingestRun) prepareSpools(ctx context.Context) error {
	r.say("preparing: %d agents enrol and write %d events each", r.cfg.Agents, r.cfg.Events)
	db, err := r.cluster.fresh(ctx)
	if err != nil {
		return err
	}
	if err := r.enrolAndWrite(ctx, db); err != nil {
		return errors.Join(err, db.drop(context.WithoutCancel(ctx)))
	}
	r.base, err = db.count(ctx, `SELECT coalesce(sum(next_sequence), 0)::bigint FROM stream`)
	db.closePools()
	if err != nil {
		return err
	}
	r.cluster.template = db.name
	r.say("preparing: replaying once")
	if db, err = r.cluster.fresh(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.drop(context.WithoutCancel(ctx))) }()
	if _, r.sent, err = r.replay(ctx, db, replay{}); err != nil {
		return err
	}
	r.rows, err = rowsOf(ctx, db)
	return err
}

func (r *ingestRun) enrolAndWrite(ctx context.Context, db *database) (err error) {
	secret, hash := assay.NewTokenSecret()
	now := r.Now()
	token := assay.Token{Name: "bench", SecretHash: hash, Rights: []assay.Right{assay.RightEnrol}, UsesLeft: r.cfg.Agents,
		CreatedAt: now, CreatedBy: "bench", ExpiresAt: now.Add(time.Hour)}
	token.ID[0] = 1
	if err := db.CreateToken(ctx, token); err != nil {
		return err
	}
	server, address, err := r.serve(ctx, db, "enrol", "--listen", "127.0.0.1:0", "--enrol")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	// One event of each agent opens its streams: nothing need be chained anew later.
	env := []string{"ASSAY_TOKEN=" + secret}
	if err := r.prepareAgents(ctx, env, address, 1); err != nil {
		return err
	}
	return r.prepareAgents(ctx, env, address, r.cfg.Events, "--prepare")
}

func (r *ingestRun) prepareAgents(ctx context.Context, env []string, address string, events int, args ...string) error {
	fleet, err := r.fleet(ctx, r.spools, address, events, env, args...)
	if err != nil {
		return err
	}
	var done loadResult
	return errors.Join(fleet.result(&done), fleet.close())
}

// serve starts a server process and returns the address that it listens on.
func (r *ingestRun) serve(ctx context.Context, db *database, name string, args ...string) (*process, string, error) {
	args = append([]string{"serve", "--dsn", r.cluster.dsn(db.name), "--keys", r.keys}, args...)
	args = append(args, r.profile(name)...)
	p, err := start(ctx, "server ("+name+")", r.cfg.Self, nil, args...)
	if err != nil {
		return nil, "", err
	}
	text, err := p.line()
	if err != nil {
		return nil, "", err
	}
	var address string
	if _, err := fmt.Sscanf(text, "ready %s", &address); err != nil {
		return nil, "", errors.Join(fmt.Errorf("starting server (%s): it said %q", name, text), p.close())
	}
	return p, address, nil
}

// profile is what makes a process write its profile, in order of their starts.
func (r *ingestRun) profile(name string) []string {
	if r.cfg.Profiles == "" {
		return nil
	}
	r.n++
	return []string{"--cpuprofile", filepath.Join(r.cfg.Profiles, fmt.Sprintf("%02d-%s.prof", r.n, name))}
}

func (r *ingestRun) fleet(ctx context.Context, dir, address string, events int, env []string, args ...string) (*process, error) {
	args = append([]string{"fleet", "--dir", dir, "--server", address, "--ca-hash", r.authority.Hash(), "--hosts", strconv.Itoa(r.cfg.Agents),
		"--events", strconv.Itoa(events), "--once"}, args...)
	args = append(args, r.profile("agents")...)
	return start(ctx, "agents", r.cfg.Agent, env, args...)
}

func (r *ingestRun) round(ctx context.Context, number int, out *ingestRound) error {
	for _, part := range []struct {
		name string
		to   *Ingest
		how  replay
	}{
		{"COPY", &out.copied, replay{}},
		{"burst", &out.burst, replay{}},
		{"sustained, without rules", &out.sustained, replay{project: true}},
		{"sustained, with rules", &out.ruled, replay{project: true, rules: true}},
		{"half load", &out.half, replay{project: true, rules: true}},
	} {
		r.say("round %d of %d: %s", number, r.cfg.Rounds, part.name)
		if part.to == &out.half {
			part.how.pace = max(1, int(out.ruled.EventsPerSecond/2))
		}
		if err := r.measure(ctx, part.to == &out.copied, part.how, part.to); err != nil {
			return fmt.Errorf("measuring %s: %w", part.name, err)
		}
	}
	return nil
}

// measure measures one part on a database of its own.
func (r *ingestRun) measure(ctx context.Context, plain bool, how replay, to *Ingest) (err error) {
	db, err := r.cluster.fresh(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.drop(context.WithoutCancel(ctx))) }()
	// What earlier parts left is not to be collected in this one's time.
	runtime.GC()
	if plain {
		*to, err = rawCopy(ctx, db, r.rows)
		return err
	}
	*to, _, err = r.replay(ctx, db, how)
	return err
}

// replay says what runs while the agents send, and how fast they may.
type replay struct {
	project, rules bool
	pace           int // events a second that are sent; 0: as many as they can
}

// replay measures how fast the spools are acknowledged and, with projections, how
// fast they have become facts.
func (r *ingestRun) replay(ctx context.Context, db *database, how replay) (out Ingest, sent loadResult, err error) {
	spools, err := os.MkdirTemp(cmp.Or(r.cfg.Spools, r.Dir), "replayed")
	if err != nil {
		return out, sent, fmt.Errorf("making a folder for spools: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(spools)) }()
	spools = filepath.Join(spools, "fleet")
	if err := copyPrivate(spools, r.spools); err != nil {
		return out, sent, err
	}
	a, err := r.enter(ctx, db, spools, how)
	defer func() { err = errors.Join(err, a.close()) }()
	if err != nil {
		return out, sent, err
	}
	before, err := a.read(ctx, db)
	if err != nil {
		return out, sent, err
	}
	if err := a.agents.begin(); err != nil {
		return out, sent, err
	}
	if err := a.agents.result(&sent); err != nil {
		return out, sent, err
	}
	clientDone, err := a.agents.cpu()
	if err != nil {
		return out, sent, err
	}
	if how.project {
		if err := catchUp(ctx, db, how.rules); err != nil {
			return out, sent, err
		}
	}
	after, err := a.read(ctx, db)
	if err != nil {
		return out, sent, err
	}
	after.agents = clientDone
	out = after.since(before, sent.Events)
	out.AckP50, out.AckP99 = sent.AckP50Ms, sent.AckP99Ms
	if out.RSS, err = a.held(); err != nil {
		return out, sent, err
	}
	return out, sent, r.verify(ctx, db, sent, how.project)
}

// enter starts the servers and the agents, which then wait connected.
func (r *ingestRun) enter(ctx context.Context, db *database, spools string, how replay) (a *actors, err error) {
	a = &actors{}
	var address string
	if a.ack, address, err = r.serve(ctx, db, "ack", "--listen", "127.0.0.1:0"); err != nil {
		return a, err
	}
	if how.project {
		args := []string{"--project"}
		name := "project"
		if how.rules {
			args, name = append(args, "--rules"), "project-rules"
		}
		if a.project, _, err = r.serve(ctx, db, name, args...); err != nil {
			return a, err
		}
	}
	args := []string{"--hold"}
	if how.pace > 0 {
		args = append(args, "--pace", strconv.Itoa(how.pace))
	}
	if a.agents, err = r.fleet(ctx, spools, address, r.cfg.Events, nil, args...); err != nil {
		return a, err
	}
	text, err := a.agents.line()
	if err == nil && text != "ready" {
		err = fmt.Errorf("starting agents: they said %q", text)
	}
	return a, err
}

// pollCaughtUp is how often the cursors are looked at.
const pollCaughtUp = 10 * time.Millisecond

// catchUp waits until all that is in the ledger now is projected.
func catchUp(ctx context.Context, db *database, rules bool) error {
	passes, err := passes(db.Store, rules)
	if err != nil {
		return err
	}
	size, err := db.LedgerSize(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(pollCaughtUp)
	defer ticker.Stop()
	for {
		if done, err := project.CaughtUp(ctx, db.Store, passes, size); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// verify counts what is stored: a rate of events that were lost is none.
func (r *ingestRun) verify(ctx context.Context, db *database, sent loadResult, projected bool) error {
	stored, err := db.count(ctx, `SELECT coalesce(sum(next_sequence), 0)::bigint FROM stream`)
	if err != nil {
		return err
	}
	written := r.cfg.Agents * (r.cfg.Events - 1)
	if stored -= r.base; stored != int64(sent.Events) || sent.Events < written {
		return fmt.Errorf("%d events were written and %d acknowledged, %d are stored", written, sent.Events, stored)
	}
	if !projected {
		return nil
	}
	var reason string
	err = db.pool.QueryRow(ctx, `SELECT coalesce(min(pass || ': ' || reason), '') FROM quarantine`).Scan(&reason)
	if err != nil {
		return fmt.Errorf("looking into quarantine: %w", err)
	}
	counted, err := typedRows(ctx, db)
	if err != nil {
		return err
	}
	if reason != "" || counted < int64(r.rows.n) || r.rows.n < maxCopied && counted != int64(r.rows.n) {
		return fmt.Errorf("%d rows of typed events are stored, %d were expected; in quarantine: %q", counted, r.rows.n, reason)
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
