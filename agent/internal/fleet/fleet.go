package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/spool"
)

// Config says which fleet to run and where it reports.
type Config struct {
	// Dir holds the fleet: fleet.json and a state directory for each host. It is
	// made where it is missing; a second start goes on with what it holds.
	Dir string
	// Server is HOST:PORT of the agents' port, CAHash the pin of its root.
	Server, CAHash string
	// Token enrols the hosts; TokenFile is read where it is empty ("-" is
	// standard input). RoleTokens take their place for hosts of a role, so that
	// roles can carry other tags.
	Token, TokenFile string
	RoleTokens       map[Role]string
	// Hosts is how many there are.
	Hosts int
	// Seed chooses the world.
	Seed uint64
	// Backfill is how much of the past is sent at the first start (48 h).
	Backfill time.Duration
	// Rate multiplies ordinary activity (1).
	Rate float64
	// Live goes on in real time when the past is sent; without it Run returns as
	// soon as all of it is committed.
	Live bool

	AgentVersion string
	Now          func() time.Time
	Log          *slog.Logger
	// Progress gets a line for people now and then; nil: nobody.
	Progress io.Writer
	// Backfilled is told once that the past of all hosts is committed, and how
	// many events it had; nil: nobody.
	Backfilled func(events uint64)
	// Dial connects to the server; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// spoolLimit bounds each of a host's spools, in bytes, for each busy two days of
// its past, which take about a hundredth of it: the past must fit, since the
// server may say a day later that it can be deleted.
const (
	spoolLimit  = 64 << 20
	segmentSize = 1 << 20
)

func (t *timeline) spoolLimit() int64 {
	return spoolLimit * int64(1+t.Rate*t.Backfill.Hours()/48)
}

// fleet is what its hosts share.
type fleet struct {
	cfg      Config
	timeline timeline
	encoder  *zstd.Encoder
	// slots bound how many hosts enrol and write their past at a time.
	slots *semaphore.Weighted
	limit int64 // of each spool
	pace  *pace // of a load; nil: none

	progress progress
}

// Run runs a fleet until ctx is done, which is nil, or, without Live, until all
// of the past is committed. It returns early where a host cannot go on: enrol.ErrToken,
// enrol.ErrCAHash, a disk that fails. A folder that another process uses is a
// *spool.InUseError.
func Run(ctx context.Context, cfg Config) error {
	f, release, err := prepare(ctx, cfg)
	if err != nil {
		return err
	}
	defer release()
	g, gctx := errgroup.WithContext(ctx)
	for _, h := range Hosts(f.timeline.Seed, f.cfg.Hosts) {
		g.Go(func() error {
			if err := f.host(gctx, h); err != nil {
				return fmt.Errorf("running host %s: %w", h.Name, err)
			}
			return nil
		})
	}
	err = g.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// prepare checks a configuration and opens the fleet's folder.
func prepare(ctx context.Context, cfg Config) (*fleet, func(), error) {
	if err := cfg.check(); err != nil {
		return nil, nil, err
	}
	if err := enrol.PrepareDir(cfg.Dir); err != nil {
		return nil, nil, err
	}
	lock, err := spool.AcquireLock(cfg.Dir, "assay-agent fleet")
	if err != nil {
		return nil, nil, err
	}
	f := &fleet{
		cfg: cfg, slots: semaphore.NewWeighted(int64(2 * runtime.GOMAXPROCS(0))),
		progress: progress{to: cfg.Progress, hosts: cfg.Hosts, backfilled: cfg.Backfilled},
	}
	release := func() { _ = lock.Release() }
	if f.timeline, err = loadTimeline(filepath.Join(cfg.Dir, "fleet.json"), cfg); err != nil {
		release()
		return nil, nil, err
	}
	f.limit = f.timeline.spoolLimit()
	if f.encoder, err = pipeline.NewEncoder(runtime.GOMAXPROCS(0)); err != nil {
		release()
		return nil, nil, err
	}
	return f, func() { _ = f.encoder.Close(); release() }, ctx.Err()
}

// check fills defaults in and refuses what cannot work, before anything is
// written.
func (c *Config) check() error {
	if c.Backfill <= 0 {
		c.Backfill = 48 * time.Hour
	}
	if c.Rate <= 0 {
		c.Rate = 1
	}
	if c.Hosts < 1 || c.Hosts > maxHosts {
		return fmt.Errorf("a fleet has 1 to %d hosts, not %d", maxHosts, c.Hosts)
	}
	if _, _, err := net.SplitHostPort(c.Server); err != nil {
		return fmt.Errorf("server %q is not HOST:PORT", c.Server)
	}
	if _, err := enrol.ParseCAHash(c.CAHash); err != nil {
		return err
	}
	if c.Token == "" && c.TokenFile != "" {
		token, err := enrol.ReadToken(c.TokenFile)
		if err != nil {
			return err
		}
		c.Token = token
	}
	return nil
}

// maxHosts is what the address plan has room for.
const maxHosts = 50_000

// token is what a host enrols by.
func (c *Config) token(role Role) string {
	if t := c.RoleTokens[role]; t != "" {
		return t
	}
	return c.Token
}

// progress tells people how far a fleet is. Its methods may be called by any
// goroutine.
type progress struct {
	to         io.Writer
	hosts      int
	backfilled func(events uint64)

	mu     sync.Mutex
	done   int
	events uint64
	said   time.Time
}

const progressEvery = time.Second

func (p *progress) sent(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events += n
}

func (p *progress) finished(now time.Time) {
	p.mu.Lock()
	p.done++
	all, events := p.done == p.hosts, p.events
	p.mu.Unlock()
	p.say(now, all)
	if all && p.backfilled != nil {
		p.backfilled(events)
	}
}

// say writes a line unless one was written a moment ago.
func (p *progress) say(now time.Time, always bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to == nil || !always && now.Sub(p.said) < progressEvery {
		return
	}
	p.said = now
	_, _ = fmt.Fprintf(p.to, "fleet: %d of %d hosts sent their backfill, %s events\n", p.done, p.hosts, grouped(p.events))
}

// grouped writes 143210 as 143,210.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
