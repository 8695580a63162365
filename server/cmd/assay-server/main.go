// Command assay-server takes evidence from agents, keeps it in Postgres and
// answers how the controls stand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/assay-audit/assay/server/internal/assay"
)

// version is set by the linker.
var version = "dev"

// app is the command line; its help is the manual.
type app struct {
	LogLevel string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"ASSAY_LOG_LEVEL"`
	LogJSON  bool   `name:"log-json" help:"Log JSON lines." env:"ASSAY_LOG_JSON"`

	Init    initCmd    `cmd:"" help:"Make the certificate authority and the ledger's key."`
	Keys    keysCmd    `cmd:"" help:"Show and rotate the ledger's key."`
	Recover recoverCmd `cmd:"" help:"After an older backup was restored: see what others hold, and begin a ledger that says what is lost."`
	Migrate migrateCmd `cmd:"" help:"Bring the database to the newest schema."`
	User    userCmd    `cmd:"" help:"Create a console user, or set a password."`
	Serve   serveCmd   `cmd:"" help:"Serve agents and the console."`
	Project projectCmd `cmd:"" help:"Rebuild projections from the evidence."`
	Demo    demoCmd    `cmd:"" help:"Run everything here with a simulated fleet, to look around."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// env is what commands run in.
type env struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger
	level  slog.Level
	now    func() time.Time
}

const manual = `Keeps evidence of what Windows hosts did, and says which controls hold.

First start:
  assay-server init --keys /etc/assay/keys
  assay-server migrate --database postgres:///assay
  assay-server user create admin --role admin --password-file FILE --database postgres:///assay
  assay-server serve --keys /etc/assay/keys --database postgres:///assay --host assay.example

To look around: assay-server demo`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var a app
	parsed := kong.Parse(&a, kong.Name("assay-server"), kong.Description(manual), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	e := &env{ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, now: time.Now}
	if err := e.level.UnmarshalText([]byte(a.LogLevel)); err != nil {
		fmt.Fprintln(os.Stderr, "assay-server:", err)
		os.Exit(2)
	}
	e.log = newLogger(os.Stderr, a.LogJSON, e.level)
	if err := parsed.Run(e); err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
		fmt.Fprintln(os.Stderr, "assay-server:", explain(err))
		os.Exit(1)
	}
}

func newLogger(w io.Writer, json bool, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if json {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// explain is one line; what is internal is told in full here, to the operator.
func explain(err error) string {
	if cause := assay.Cause(err); cause != nil && cause.Error() != err.Error() {
		return err.Error() + ": " + cause.Error()
	}
	return err.Error()
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, "assay-server", version)
	return err
}
