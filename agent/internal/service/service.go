package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/agent/internal/uplink"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// Config says which agent to run and within what bounds.
type Config struct {
	// Server, where it is given, takes the place of the one enrolled at, for
	// good: the server has moved.
	Server string
	// Dir is the state directory of an enrolled agent.
	Dir string
	// Holder names the program for whoever finds the directory in use.
	Holder       string
	AgentVersion string
	Log          *slog.Logger
	Now          func() time.Time

	// Limits bound the spools in bytes; a missing one takes its default.
	Limits map[evidence.StreamKind]int64
	// HealthEvery is the interval of SourceHealth; 0: none.
	HealthEvery time.Duration
	Filter      pipeline.Filter
	BootID      string

	// Encoder, Admit, Pace and Dial may be shared by many agents; nil: own, none.
	Encoder *zstd.Encoder
	Admit   func(ctx context.Context) error
	Pace    func(events uint32, bytes int) <-chan struct{}
	Dial    func(ctx context.Context, address string) (net.Conn, error)

	// DrainFor is how long a stopping agent goes on sending (3 s).
	DrainFor time.Duration
}

// DefaultLimits are the spools' bounds in bytes. An import is read as fast as it
// is sent once its spool is full, so that one is for a slow or distant server.
func DefaultLimits() map[evidence.StreamKind]int64 {
	return map[evidence.StreamKind]int64{evidence.Control: 64 << 20, evidence.Bulk: 512 << 20, evidence.Import: 4 << 30}
}

// RightImport is what an enrolment must grant for an import stream.
const RightImport = "import"

// Agent is one agent, open.
type Agent struct {
	cfg      Config
	lock     *spool.Lock
	Identity *enrol.Identity
	Spools   map[evidence.StreamKind]*spool.Spool
	Pipeline *pipeline.Pipeline
	Uplink   *uplink.Uplink

	mu      sync.Mutex
	acked   chan struct{} // closed and made anew at each ack and refusal
	refused string        // why the server wants nothing of this agent; "" while it does
}

// ErrRefused: the server wants nothing of this agent.
var ErrRefused = errors.New("the server refuses this agent")

// SpoolDir is where the spool of a kind lies in a state directory.
func SpoolDir(dir string, kind evidence.StreamKind) string {
	return filepath.Join(dir, "spool", kind.String())
}

// UplinkFile is where the uplink's state lies in a state directory.
func UplinkFile(dir string) string { return filepath.Join(dir, "uplink.json") }

// Open takes the directory and everything in it. The caller must Run or Close.
func Open(cfg Config) (_ *Agent, err error) {
	if cfg.DrainFor <= 0 {
		cfg.DrainFor = 3 * time.Second
	}
	if _, err := os.Lstat(cfg.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, enrol.ErrNotEnrolled
	}
	if err := enrol.PrepareDir(cfg.Dir); err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, Spools: map[evidence.StreamKind]*spool.Spool{}, acked: make(chan struct{})}
	if a.Identity, err = enrol.Load(cfg.Dir, cfg.Now); err == nil && cfg.Server != "" {
		err = a.Identity.Relocate(cfg.Server)
	}
	if err != nil {
		return nil, err
	}
	if err := a.Identity.Usable(); err != nil {
		return nil, err
	}
	if a.lock, err = spool.AcquireLock(cfg.Dir, cfg.Holder); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.release())
		}
	}()
	if err := a.openSpools(); err != nil {
		return nil, err
	}
	if err := a.openPipeline(); err != nil {
		return nil, err
	}
	a.Uplink, err = uplink.New(a.uplinkConfig())
	if err != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.Pipeline.Close(ctx)
	}
	return a, err
}

func (a *Agent) openSpools() error {
	limits := DefaultLimits()
	for kind, limit := range a.cfg.Limits {
		limits[kind] = limit
	}
	for kind, limit := range limits {
		if kind == evidence.Import && !a.Identity.May(RightImport) {
			continue // the server would refuse the stream
		}
		dir := SpoolDir(a.cfg.Dir, kind)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making spool directory: %w", err)
		}
		s, err := spool.Open(spool.Config{Dir: dir, Kind: kind, Limit: limit, Sign: a.Identity.Sign, Log: a.cfg.Log})
		if err != nil {
			return err
		}
		a.Spools[kind] = s
	}
	return nil
}

func (a *Agent) openPipeline() error {
	stores := map[evidence.StreamKind]pipeline.Store{}
	for kind, s := range a.Spools {
		stores[kind] = s
	}
	var err error
	a.Pipeline, err = pipeline.New(pipeline.Config{
		Stores: stores, Encoder: a.cfg.Encoder, Filter: a.cfg.Filter, Log: a.cfg.Log, Now: a.cfg.Now,
		AgentVersion: a.cfg.AgentVersion, HealthEvery: a.cfg.HealthEvery, BootID: a.cfg.BootID, Uptime: Uptime,
	})
	return err
}

func (a *Agent) uplinkConfig() uplink.Config {
	info := a.Identity.Info()
	return uplink.Config{
		Server: info.Server, TLS: a.Identity.TLS, Dial: a.cfg.Dial, Spools: a.Spools, StateFile: UplinkFile(a.cfg.Dir),
		AgentID: info.AgentID, LedgerKey: info.LedgerKey, Sign: a.Identity.Sign, AgentVersion: a.cfg.AgentVersion, BootID: a.cfg.BootID,
		Log: a.cfg.Log, Now: a.cfg.Now, Uptime: Uptime, Admit: a.cfg.Admit, Pace: a.cfg.Pace,
		Welcomed: uplink.TellWelcome(a.Pipeline.SetLimits, a.Pipeline.SetClockSkew),
		LedgerForked: func(reason string) {
			a.tell("ledger_fork", "the server's ledger contradicts itself: "+reason, "Nothing is deleted here any more. Tell whoever audits the server.")
		},
		LedgerSucceeded: func(what string) { a.tell("ledger_succeeded", what, "Tell whoever audits the server.") },
		Refused:         a.setRefused,
		Acked:           func(evidence.StreamKind) { a.setRefused("") },
	}
}

// tell raises what somebody must see even if the server hides it: in this host's
// own log, and as an event.
func (a *Agent) tell(action, reason, what string) {
	if err := alarm(a.cfg.Dir, a.cfg.Now(), action+": "+reason+". "+what); err != nil {
		a.cfg.Log.Error("writing an alarm to the system's log failed", "action", action, "error", err)
	}
	if err := a.Pipeline.ReportNow(&telemetryv1.AgentEvent{Action: action, Reason: reason}); err != nil {
		a.cfg.Log.Error("recording an alarm as an event failed", "action", action, "error", err)
	}
}

// setRefused takes a refusal, or with "" an ack, and wakes whoever waits.
func (a *Agent) setRefused(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = reason
	close(a.acked)
	a.acked = make(chan struct{})
}

func (a *Agent) refusal() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused
}

func (a *Agent) nextAck() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acked
}

// Unsent is how many batches the server has not acknowledged.
func (a *Agent) Unsent() uint64 {
	var n uint64
	for _, s := range a.Spools {
		n += s.Stats().Unsent
	}
	return n
}

// WaitCommitted returns when the server has acknowledged all that is spooled.
// ErrRefused: it will not take it from this agent, so that waiting is of no use.
func (a *Agent) WaitCommitted(ctx context.Context) error {
	for {
		acked := a.nextAck()
		unsent := a.Unsent()
		if unsent == 0 {
			return nil
		}
		if reason := a.refusal(); reason != "" {
			return fmt.Errorf("%w: %s; %d batches stay in the spool: enrol it anew with assay-agent enrol --replace, and start this again", ErrRefused, reason, unsent)
		}
		select {
		case <-acked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run works until ctx is done, a source fails, or nothing can be stored or
// sent any more; then it flushes, signs, sends for a moment, and closes. Every
// source gets the pipeline's Resume and Emit; one that ends is not started
// again. reason is stated by the stop event.
func (a *Agent) Run(ctx context.Context, sources ...pipeline.Source) error {
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var below errgroup.Group
	renewer := enrol.Renewer{Identity: a.Identity, Log: a.cfg.Log, Dial: a.cfg.Dial}
	group, running := errgroup.WithContext(ctx)
	below.Go(func() error { return a.Uplink.Run(background) })
	renewed := make(chan error, 1)
	below.Go(func() error { renewed <- renewer.Run(background); return nil })
	group.Go(func() error {
		select {
		case err := <-renewed:
			return err
		case <-a.Pipeline.Failed():
			return a.Pipeline.Err()
		case <-running.Done():
			return nil
		}
	})
	err := a.Pipeline.Report(running, &telemetryv1.AgentEvent{Action: "start"})
	for _, source := range sources {
		group.Go(func() error { return ignoreCancel(running, a.Pipeline.Run(running, source)) })
	}
	if err == nil {
		<-running.Done()
	}
	err = errors.Join(ignoreCancel(ctx, err), group.Wait())
	err = errors.Join(err, a.shutDown(context.WithoutCancel(ctx), stopReason(err)))
	stopBackground()
	return errors.Join(err, below.Wait(), a.release())
}

func stopReason(err error) string {
	if err != nil {
		return "failure: " + err.Error()
	}
	return "stopped"
}

func ignoreCancel(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// shutDown flushes with signed heads and sends what it can in a moment.
func (a *Agent) shutDown(ctx context.Context, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.DrainFor)
	defer cancel()
	err := ignoreCancel(ctx, a.Pipeline.Report(ctx, &telemetryv1.AgentEvent{Action: "stop", Reason: reason}))
	closed := a.Pipeline.Close(ctx)
	if errors.Is(closed, context.DeadlineExceeded) {
		// Their positions are not stored either: sources give them again.
		a.cfg.Log.Warn("stopping with events that found no room in the spool", "error", closed)
		closed = nil
	}
	if a.Uplink.Status().Connected {
		_ = a.WaitCommitted(ctx) // what is left is sent after the next start
	}
	return errors.Join(err, closed)
}

// release closes spools and gives the directory back.
func (a *Agent) release() error {
	var errs []error
	for _, s := range a.Spools {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, a.lock.Release())...)
}

// Close closes an agent that was never Run.
func (a *Agent) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.DrainFor)
	defer cancel()
	return errors.Join(a.Pipeline.Close(ctx), a.release())
}
