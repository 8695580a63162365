package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/consoleapi"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/lease"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/notify"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
	"github.com/assay-audit/assay/server/internal/rule/pack"
	"github.com/assay-audit/assay/server/internal/ruleimport"
	"github.com/assay-audit/assay/server/internal/upkeep"
	"github.com/assay-audit/assay/web"
)

type serveCmd struct {
	database
	storage
	outsiders
	Name    string   `help:"Name of this server among those on the database; default: this machine's." env:"ASSAY_NAME"`
	Host    []string `help:"Names and addresses that agents and browsers reach this server by." default:"localhost,127.0.0.1" env:"ASSAY_HOST"`
	Agents  string   `help:"Address for agents." default:":8444" env:"ASSAY_AGENTS"`
	Console string   `help:"Address for the console and assayctl." default:":8443" env:"ASSAY_CONSOLE"`
	Metrics string   `help:"Address for metrics and health, in clear: keep it local." default:"127.0.0.1:9464" env:"ASSAY_METRICS"`
	Migrate bool     `help:"Migrate the database first." env:"ASSAY_MIGRATE"`

	ConsoleURL    string         `name:"console-url" help:"Where people reach the console, for links in notifications (default: the first --host and the console's port)." env:"ASSAY_CONSOLE_URL" placeholder:"URL"`
	NotifyNetwork []netip.Prefix `name:"notify-network" help:"Networks that notifications may go to, e.g. 10.0.0.0/8; without it, anywhere but this machine and its link." env:"ASSAY_NOTIFY_NETWORK" placeholder:"CIDR"`

	SafeAfter      time.Duration `help:"Stated retention: agents keep what is committed this long, against a restored backup." default:"24h" env:"ASSAY_SAFE_AFTER"`
	EvaluateEvery  time.Duration `help:"How often all hosts are evaluated." default:"1m" env:"ASSAY_EVALUATE_EVERY"`
	VerifyEvery    time.Duration `help:"How often the whole ledger is verified." default:"12h" env:"ASSAY_VERIFY_EVERY"`
	HotFor         time.Duration `help:"How long events are in their tables; older ones are brought back by project rebuild. 0: for ever." default:"2160h" env:"ASSAY_HOT_FOR"`
	ArchiveAfter   time.Duration `help:"How old a segment of the ledger is when it goes to the archive." default:"720h" env:"ASSAY_ARCHIVE_AFTER"`
	BackupHorizon  time.Duration `help:"How old the oldest backup is that may be restored: payloads leave the database that long after they were archived." default:"336h" env:"ASSAY_BACKUP_HORIZON"`
	KeepFor        time.Duration `help:"Statutory retention: nothing younger is erased or deleted." default:"52704h" env:"ASSAY_KEEP_FOR"`
	DeleteAfter    time.Duration `help:"When segments are deleted from the archive, not before the statutory retention. 0: never." default:"0s" env:"ASSAY_DELETE_AFTER"`
	ShutdownWithin time.Duration `help:"How long an orderly end may take." default:"20s" env:"ASSAY_SHUTDOWN_WITHIN"`
}

// Run serves until the process is told to end.
func (c *serveCmd) Run(e *env) (err error) {
	rest, err := c.storage.open(e)
	if err != nil {
		return err
	}
	defer func() { err = rest.closeWith(err) }()
	db, err := rest.connect(e, c.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	if c.Migrate {
		if err := db.Migrate(e.ctx); err != nil {
			return err
		}
	}
	if err := db.CheckSchema(e.ctx); err != nil {
		return err
	}
	s, err := newServer(e.ctx, serverConfig{serveCmd: c, db: db, rest: rest, log: e.log, now: e.now})
	if err != nil {
		return err
	}
	e.log.InfoContext(e.ctx, "serving", "agents", s.agents.Addr().String(), "console", s.console.Addr().String(), "metrics", c.Metrics, "ca_hash", s.authority.Hash())
	return s.run(e.ctx)
}

// Tasks that one server at a time is enough for, besides the lanes.
const (
	growTask      = "grow"
	evaluateTask  = "evaluate"
	verifyTask    = "verify"
	retainTask    = "retain"
	correlateTask = "correlate"
	backfillTask  = "backfill"
	alertTask     = "alert"
	witnessTask   = "witness"
)

// identity is this run of the program among the servers on the database.
func (c *serveCmd) identity() assay.Server {
	name := c.Name
	if name == "" {
		name, _ = os.Hostname() // a server without a name is as good
	}
	return assay.Server{ID: assay.ServerID(uuid.New()), Name: name, Version: version}
}

type serverConfig struct {
	*serveCmd
	db   *postgres.Database
	rest *rest
	log  *slog.Logger
	now  func() time.Time
}

// server is all parts of the program, built and listening.
type server struct {
	cfg       serverConfig
	authority *ca.Authority
	library   *framework.Library
	passes    []project.Pass
	selectors [32]byte // digest of what picks events for checks
	agents    net.Listener
	console   net.Listener
	metrics   net.Listener

	api        *agentapi.Server
	growing    *ledger.Growing
	leases     *lease.Leases
	runner     *project.Runner
	correlate  *project.Correlation
	backfill   *project.Backfill
	evaluation *upkeep.Evaluation
	alerts     *upkeep.Alert
	retention  *upkeep.Retention
	witnessing *upkeep.Witnessing
	verify     *verification
	notifier   *notify.Notifier
	queue      *postgres.Queue
	pages      *http.Server
	health     *http.Server
}

// newServer builds every part. Nothing runs yet, but the ports are taken, so
// that what is in the way is told before anything starts.
func newServer(ctx context.Context, cfg serverConfig) (*server, error) {
	warnings, err := cfg.db.Check(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		cfg.log.WarnContext(ctx, "database setting", "warning", w)
	}
	if err := importRules(ctx, cfg); err != nil {
		return nil, err
	}
	s := &server{cfg: cfg}
	if s.authority, err = ca.Load(cfg.Keys, cfg.now); err != nil {
		return nil, fmt.Errorf("%w (assay-server init makes the keys)", err)
	}
	certificate, err := s.authority.NewServer(cfg.Host)
	if err != nil {
		return nil, err
	}
	if err := s.listen(certificate); err != nil {
		return nil, err
	}
	standby, err := cfg.db.HasSynchronousStandby(ctx)
	if err != nil {
		s.closeListeners()
		return nil, err
	}
	if err := s.build(certificate, standby); err != nil {
		s.closeListeners()
		return nil, err
	}
	if err := s.takeIntoUse(ctx); err != nil {
		s.closeListeners()
		return nil, err
	}
	return s, nil
}

// importRules puts the rules that came with this program in force, once.
func importRules(ctx context.Context, cfg serverConfig) error {
	sources, err := pack.Builtin()
	if err != nil {
		return err
	}
	imported, err := ruleimport.ImportBuiltin(ctx, cfg.db.Store, sources, "assay-server "+version)
	if err != nil {
		return fmt.Errorf("importing the built-in rules: %w", err)
	}
	if imported != nil {
		cfg.log.InfoContext(ctx, "built-in rules imported", "version", imported.Version, "rules", len(imported.Rules), "refused", len(imported.Problems))
	}
	return nil
}

func (s *server) listen(certificate *ca.Server) (err error) {
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	if s.agents, err = net.Listen("tcp", s.cfg.Agents); err != nil {
		return fmt.Errorf("listening for agents: %w (is another server running? choose another address with --agents)", err)
	}
	console, err := net.Listen("tcp", s.cfg.Console)
	if err != nil {
		return fmt.Errorf("listening for the console: %w (is another server running? choose another address with --console)", err)
	}
	settings := certificate.TLS()
	settings.ClientAuth, settings.ClientCAs, settings.VerifyConnection = tls.NoClientCert, nil, nil
	settings.NextProtos = []string{"h2", "http/1.1"}
	s.console = tls.NewListener(console, settings)
	if s.metrics, err = net.Listen("tcp", s.cfg.Metrics); err != nil {
		return fmt.Errorf("listening for metrics: %w (choose another address with --metrics)", err)
	}
	return nil
}

func (s *server) closeListeners() {
	for _, l := range []net.Listener{s.agents, s.console, s.metrics} {
		if l != nil {
			_ = l.Close() // nothing was served on it
		}
	}
}

func (s *server) build(certificate *ca.Server, standby bool) (err error) {
	cfg, store := s.cfg, s.cfg.db.Store
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.library, err = framework.Load(); err != nil {
		return err
	}
	hits, err := project.NewHits(selectors(s.library))
	if err != nil {
		return err
	}
	rules := project.NewRules(project.RulesConfig{Store: store, Logger: cfg.log, Metrics: registry})
	s.passes, s.selectors = project.Passes(hits, rules), hits.Digest()
	prover := &ledger.Prover{Store: store}
	s.api, err = agentapi.New(agentapi.Config{
		Store: store, Authority: s.authority, Certificate: certificate, Prover: prover, Registry: registry, Log: cfg.log, Now: cfg.now,
		SafeAfter: cfg.SafeAfter, CommitIsSafe: standby,
	})
	if err != nil {
		return err
	}
	s.growing = ledger.NewGrowing(ledger.GrowConfig{Store: store, Keys: s.authority, Log: cfg.log})
	s.leases = lease.New(lease.Config{Store: store, Server: s.cfg.identity(), Tasks: append(project.Tasks(), growTask, evaluateTask, verifyTask, retainTask, correlateTask, backfillTask, alertTask, witnessTask),
		Now: cfg.now, Log: cfg.log, Metrics: registry})
	s.runner = project.NewRunner(project.Config{Store: store, Passes: s.passes, Now: cfg.now, Logger: cfg.log, Hold: s.leases.Hold, Metrics: registry})
	s.correlate = project.NewCorrelation(project.CorrelationConfig{Store: store, Rules: rules, Now: cfg.now, Logger: cfg.log, Metrics: registry})
	s.backfill = project.NewBackfill(project.BackfillConfig{Store: store, Server: s.cfg.identity().ID.String(), Alerts: store, Now: cfg.now, Logger: cfg.log})
	s.alerts = upkeep.NewAlert(upkeep.AlertConfig{Store: store, Now: cfg.now, Logger: cfg.log, Metrics: registry})
	assessor := assess.New(assess.Config{Store: store, Library: s.library, Now: cfg.now, Logger: cfg.log})
	s.evaluation = upkeep.NewEvaluation(upkeep.EvaluationConfig{
		Store: store, Assessor: assessor, Library: s.library, Interval: cfg.EvaluateEvery, Now: cfg.now, Logger: cfg.log, Metrics: registry,
	})
	s.retention = upkeep.NewRetention(upkeep.RetentionConfig{
		Store: store, Archive: cfg.rest.archive, Vault: cfg.rest.vault, HotFor: cfg.HotFor, ArchiveAfter: cfg.ArchiveAfter,
		BackupHorizon: cfg.BackupHorizon, KeepFor: cfg.KeepFor, DeleteAfter: cfg.DeleteAfter, Now: cfg.now, Log: cfg.log, Metrics: registry,
	})
	witnesses, authority, err := cfg.outsiders.open()
	if err != nil {
		return err
	}
	s.witnessing = upkeep.NewWitnessing(upkeep.WitnessingConfig{
		Store: store, Prover: prover, Witnesses: witnesses, Authority: authority, Client: &http.Client{Timeout: askWithin}, Interval: cfg.WitnessEvery,
		Now: cfg.now, Log: cfg.log, Metrics: registry,
	})
	if s.verify, err = newVerification(s, authority); err != nil {
		return err
	}
	if err := s.buildNotifier(registry); err != nil {
		return err
	}
	files, built := web.Files()
	if !built {
		cfg.log.Warn("the console's pages are not built into this program: make web build")
	}
	console := consoleapi.New(consoleapi.Config{
		Store: store, Assessor: assessor, Library: s.library, Prover: prover, Verifier: s.verify, Witnesses: witnesses, Notifier: s.notifier, CAHash: s.authority.Hash(), KeepFor: cfg.KeepFor,
		AgentAddress: reachedBy(cfg.Host, s.agents.Addr()), Version: version, Web: files, Now: cfg.now, Logger: cfg.log,
	})
	errors := slog.NewLogLogger(cfg.log.Handler(), slog.LevelDebug)
	s.pages = &http.Server{Handler: console.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: errors}
	s.health = &http.Server{Handler: healthHandler(s.cfg.db, registry), ReadHeaderTimeout: 10 * time.Second, ErrorLog: errors}
	return nil
}

// reachedBy is what others dial: the first name and the port listened on.
func reachedBy(hosts []string, listening net.Addr) string {
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil || len(hosts) == 0 {
		return listening.String()
	}
	return net.JoinHostPort(hosts[0], port)
}

func selectors(library *framework.Library) []project.Selector {
	var list []project.Selector
	for _, s := range library.Selectors() {
		list = append(list, project.Selector{Check: s.Check, Name: s.Selector, YAML: s.SigmaYAML, Keep: s.Keep})
	}
	return list
}

// healthHandler says whether the process lives, and whether it can work.
func healthHandler(db *postgres.Database, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := db.Ping(ctx); err != nil {
			http.Error(w, "the database cannot be reached", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// run runs all parts until ctx ends or one fails.
func (s *server) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.api.Run(ctx, s.agents) })
	group.Go(func() error { return s.leases.Run(ctx) })
	group.Go(func() error { return s.runner.Run(ctx) })
	group.Go(func() error { return s.leases.Hold(ctx, growTask, s.growing.Run) })
	group.Go(func() error { return s.leases.Hold(ctx, evaluateTask, s.evaluation.Run) })
	group.Go(func() error { return s.leases.Hold(ctx, verifyTask, s.verify.Run) })
	group.Go(func() error { return s.leases.Hold(ctx, retainTask, s.retention.Run) })
	group.Go(func() error { return s.leases.Hold(ctx, correlateTask, s.correlate.Run) })
	group.Go(func() error { return s.leases.Hold(ctx, backfillTask, s.backfill.Run) })
	group.Go(func() error { return s.leases.Hold(ctx, alertTask, s.alerts.Run) })
	group.Go(func() error { return s.leases.Hold(ctx, witnessTask, s.witnessing.Run) })
	group.Go(func() error { return s.notifier.Run(ctx) })
	group.Go(func() error { return s.queue.Run(ctx) })
	group.Go(func() error { return s.serveHTTP(ctx, s.pages, s.console) })
	group.Go(func() error { return s.serveHTTP(ctx, s.health, s.metrics) })
	return group.Wait()
}

// serveHTTP serves until ctx ends, then lets what is under way finish.
func (s *server) serveHTTP(ctx context.Context, h *http.Server, l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownWithin)
	defer cancel()
	if err := h.Shutdown(patience); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ending HTTP: %w", err)
	}
	return nil
}
