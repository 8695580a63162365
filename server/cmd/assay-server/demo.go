package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/deploy/pg"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/cli"
	"github.com/assay-audit/assay/server/internal/consoleapi"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type demoCmd struct {
	Data    string   `help:"Folder that holds all of it; a second start on it goes on (default: /var/tmp/assay-demo for root, else ~/.local/share/assay-demo)." type:"path" placeholder:"DIR"`
	Hosts   int      `help:"Simulated hosts." default:"25"`
	Evtx    []string `help:"Also import these exported logs or folders of them." type:"existingpath" placeholder:"PATH"`
	Once    bool     `help:"Wait until all is evaluated, print the summary and end."`
	JSON    bool     `name:"json" help:"Print the summary as JSON."`
	Console string   `help:"Address of the console." default:"127.0.0.1:8443"`
	Agents  string   `help:"Address for the agents." default:"127.0.0.1:8444"`
	Metrics string   `help:"Address for metrics and health." default:"127.0.0.1:9464"`
}

// demo is a running demonstration.
type demo struct {
	*demoCmd
	env       *env
	storage   storage
	log       *slog.Logger
	db        *postgres.Database
	server    *server
	password  string
	tokenFile string
}

// demoUser is who signs in to the demonstration.
const demoUser = "admin"

// Run starts Postgres, the server and the fleet, each with data under one folder.
func (c *demoCmd) Run(e *env) (err error) {
	d := &demo{demoCmd: c, env: e}
	if err := d.prepareFolder(); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(c.Data, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	d.log = newLogger(logFile, false, e.level)
	d.say("starting Postgres in %s", filepath.Join(c.Data, "postgres"))
	database, err := pg.Start(e.ctx, pg.Config{Dir: filepath.Join(c.Data, "postgres"), Logger: d.log})
	if err != nil {
		return fmt.Errorf("starting Postgres: %w", err)
	}
	defer func() { err = errors.Join(err, database.Stop(context.WithoutCancel(e.ctx))) }()
	if err := postgres.CreateDatabase(e.ctx, database.DSN("postgres"), "assay"); err != nil {
		return err
	}
	rest, err := d.prepareKeys()
	if err != nil {
		return err
	}
	defer func() { err = rest.closeWith(err) }()
	if d.db, err = rest.connect(e, database.DSN("assay")); err != nil {
		return err
	}
	defer d.db.Close()
	if err := d.db.Migrate(e.ctx); err != nil {
		return err
	}
	if err := d.prepare(rest); err != nil {
		return err
	}
	return d.run()
}

// say tells progress on standard error; standard output holds the result alone.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.env.stderr, "demo: "+format+"\n", args...)
}

func (d *demo) prepareFolder() error {
	if d.Data == "" {
		d.Data = "/var/tmp/assay-demo"
		if os.Geteuid() != 0 {
			home, err := os.UserHomeDir()
			if err != nil {
				return fmt.Errorf("finding a folder for the demonstration: %w (name one with --data)", err)
			}
			d.Data = filepath.Join(home, ".local", "share", "assay-demo")
		}
	}
	// Postgres runs as another user when started by root, so the folder can be
	// entered by all; what is secret in it has modes of its own.
	if err := os.MkdirAll(d.Data, 0o755); err != nil {
		return fmt.Errorf("making the demonstration's folder: %w", err)
	}
	return nil
}

// prepareKeys makes the keys at a first start, and opens what rests under them.
func (d *demo) prepareKeys() (*rest, error) {
	d.storage = storage{Keys: filepath.Join(d.Data, "keys"), Archive: "file://" + filepath.Join(d.Data, "archive")}
	if _, err := os.Stat(d.storage.Keys); errors.Is(err, os.ErrNotExist) {
		if err := ca.Create(d.storage.Keys, ca.CreateConfig{Origin: "assay/demo", Now: d.env.now}); err != nil {
			return nil, err
		}
	}
	return d.storage.open(d.env)
}

// prepare makes what a first start needs: a user, a token, the policy.
func (d *demo) prepare(rest *rest) error {
	if err := d.prepareUser(); err != nil {
		return err
	}
	var err error
	d.server, err = newServer(d.env.ctx, serverConfig{
		serveCmd: &serveCmd{
			storage: d.storage, Host: []string{"127.0.0.1", "localhost"}, Agents: d.Agents, Console: d.Console, Metrics: d.Metrics,
			SafeAfter: 24 * time.Hour, EvaluateEvery: 5 * time.Second, VerifyEvery: time.Hour, ShutdownWithin: 5 * time.Second,
		},
		db: d.db, rest: rest, log: d.log, now: d.env.now,
	})
	if err != nil {
		return err
	}
	return d.prepareToken()
}

func (d *demo) prepareUser() error {
	file := filepath.Join(d.Data, "admin.password")
	users, err := d.db.CountUsers(d.env.ctx)
	if err != nil {
		return err
	}
	if text, err := os.ReadFile(file); err == nil && users > 0 {
		d.password = strings.TrimSpace(string(text))
		return nil
	}
	d.password = rand.Text()[:16]
	hash, err := consoleapi.HashPassword(d.password)
	if err != nil {
		return err
	}
	if users > 0 {
		err = d.db.SetPassword(d.env.ctx, demoUser, hash, operator)
	} else {
		err = d.db.CreateUser(d.env.ctx, assay.User{ID: uuid.New(), Name: demoUser, Role: assay.Admin, PasswordHash: hash}, operator)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(d.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the password: %w", err)
	}
	return nil
}

// prepareToken makes a token for this start's enrolments.
func (d *demo) prepareToken() error {
	secret, hash := assay.NewTokenSecret()
	now := d.env.now().UTC().Truncate(time.Microsecond)
	token := assay.Token{
		ID: assay.TokenID(uuid.New()), Name: "demonstration", SecretHash: hash, Rights: []assay.Right{assay.RightEnrol, assay.RightImport},
		Tags: []string{"cde", "ephi"}, UsesLeft: d.Hosts + 1, CreatedAt: now, CreatedBy: operator, ExpiresAt: now.Add(24 * time.Hour),
	}
	if err := d.db.CreateToken(d.env.ctx, token); err != nil {
		return err
	}
	d.tokenFile = filepath.Join(d.Data, "token")
	if err := os.WriteFile(d.tokenFile, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the token: %w", err)
	}
	return nil
}

// run runs the server beside the fleet until the result is told, or for ever.
func (d *demo) run() error {
	ctx, cancel := context.WithCancel(d.env.ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.server.run(ctx) })
	group.Go(func() error {
		// Whatever ends the story ends the server too.
		defer cancel()
		return d.story(ctx)
	})
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// story is what happens on stage.
func (d *demo) story(ctx context.Context) error {
	fleet, err := d.startFleet(ctx)
	if err != nil {
		return err
	}
	if err := fleet.backfilled(ctx); err != nil {
		return err
	}
	if len(d.Evtx) > 0 {
		if err := d.importLogs(ctx); err != nil {
			return err
		}
	}
	d.say("waiting for projections, evaluation and a verification of the ledger")
	if err := d.settle(ctx); err != nil {
		return err
	}
	if err := d.tell(ctx); err != nil || d.Once {
		return errors.Join(err, fleet.stop())
	}
	return fleet.wait(ctx)
}

// settle waits until all that is committed now is projected and evaluated, and
// verifies the ledger.
func (d *demo) settle(ctx context.Context) error {
	size, err := d.db.LedgerSize(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		caught, err := d.server.caughtUp(ctx, size)
		if err != nil {
			return err
		}
		if caught {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	report, err := d.server.verify.Verify(ctx, false, func(uint64, uint64) {})
	if err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return fmt.Errorf("the ledger does not verify: %s", strings.Join(report.Problems[:min(3, len(report.Problems))], "; "))
	}
	return d.server.evaluateNow(ctx)
}

// tell prints where to look and how the controls stand.
func (d *demo) tell(ctx context.Context) error {
	root, err := os.ReadFile(filepath.Join(d.Data, "keys", "root.crt"))
	if err != nil {
		return fmt.Errorf("reading the CA certificate: %w", err)
	}
	url := "https://" + d.Console
	client, err := cli.SignIn(ctx, url, string(root), demoUser, d.password)
	if err != nil {
		return fmt.Errorf("signing in to the demonstration: %w", err)
	}
	summary, err := cli.Summarise(ctx, client, nil, "", nil)
	if err != nil {
		return fmt.Errorf("reading the summary: %w", err)
	}
	if d.JSON {
		return summary.PrintJSON(d.env.stdout)
	}
	if err := summary.Print(d.env.stdout); err != nil {
		return err
	}
	if d.Once {
		return nil
	}
	fmt.Fprintf(d.env.stdout, `
Console   %s   (its certificate is from the demonstration's own CA: %s)
Sign in   %s / %s
CLI       assayctl login --server %s --user %s --ca %s --password-file %s

The fleet now sends live. Ctrl-C ends everything; the same command goes on from here.
`, url, filepath.Join(d.Data, "keys", "root.crt"), demoUser, d.password, url, demoUser, filepath.Join(d.Data, "keys", "root.crt"), filepath.Join(d.Data, "admin.password"))
	return nil
}
