package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"
)

// Exit codes of the program.
const (
	ExitDone  = 0
	ExitBad   = 1
	ExitError = 2
)

// App is the command line. The struct is the manual: kong prints it.
type App struct {
	Config string `help:"File that holds the session." type:"path" env:"ASSAYCTL_CONFIG" placeholder:"FILE"`

	Login        loginCmd        `cmd:"" help:"Sign in to a server and keep the session."`
	Logout       logoutCmd       `cmd:"" help:"End the session."`
	Status       statusCmd       `cmd:"" help:"Show how the controls stand, now or at a past moment."`
	Hosts        hostsCmd        `cmd:"" help:"List hosts with their states and coverage."`
	Events       eventsCmd       `cmd:"" help:"Read an event table, or one event in full."`
	Coverage     coverageCmd     `cmd:"" help:"Show what the sources of a host could see, and when not."`
	Findings     findingsCmd     `cmd:"" help:"List violations; close one with a cause."`
	Alerts       alertsCmd       `cmd:"" help:"List what detection rules found; acknowledge, assign and close it."`
	Rules        rulesCmd        `cmd:"" help:"Import detection rules, turn them on and off, run them over the past."`
	Suppressions suppressionsCmd `cmd:"" help:"List what is kept from alerting; add and end it."`
	Streams      streamsCmd      `cmd:"" help:"List the chains of evidence with their heads."`
	Ledger       ledgerCmd       `cmd:"" help:"Show and verify the evidence log."`
	Witness      witnessCmd      `cmd:"" help:"Watch a ledger as an outsider: verify that it only grows, remember, and sign."`
	Agents       agentsCmd       `cmd:"" help:"List agents; revoke one."`
	Tokens       tokensCmd       `cmd:"" help:"List, make and revoke enrolment tokens."`
	Segments     segmentsCmd     `cmd:"" help:"List what is in the archive."`
	Holds        holdsCmd        `cmd:"" help:"List, place and release holds."`
	Erasures     erasuresCmd     `cmd:"" help:"List and request erasures."`
	Policy       policyCmd       `cmd:"" help:"Show and change lists, parameters and change windows."`
	Version      versionCmd      `cmd:"" help:"Print the version."`

	Notifications notificationsCmd `cmd:"" help:"Say where alerts are told to, test it, and see what was delivered."`
}

// env is what commands run in.
type env struct {
	ctx     context.Context
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	config  string
	version string
	now     func() time.Time
	code    int
}

// Config is what Main needs.
type Config struct {
	Args    []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string
	Now     func() time.Time
}

const examples = `
Examples:
  assayctl login --server https://assay.example:8443 --user admin --ca ca.pem
  assayctl status
  assayctl status --framework pci-dss --at 2026-03-01T12:00:00Z --json
  assayctl findings --status open
  assayctl alerts --overdue
  assayctl ledger verify

Exit codes: 0 done, 1 bad news (a failed verification), 2 the call was wrong or failed.`

// Main runs one command and returns the exit code.
func Main(ctx context.Context, cfg Config) int {
	var app App
	exit := -1
	parser, err := kong.New(&app, kong.Name("assayctl"), kong.Description("Ask an Assay server what was observed, how well, and prove it."+"\n"+examples),
		kong.Writers(cfg.Stdout, cfg.Stderr), kong.Exit(func(code int) { exit = code }), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(cfg.Stderr, "assayctl:", err)
		return ExitError
	}
	parsed, err := parser.Parse(cfg.Args)
	if exit >= 0 {
		return exit // help was printed
	}
	if err != nil {
		fmt.Fprintf(cfg.Stderr, "assayctl: %v (see assayctl --help)\n", err)
		return ExitError
	}
	e := &env{ctx: ctx, stdin: cfg.Stdin, stdout: cfg.Stdout, stderr: cfg.Stderr, config: app.Config, version: cfg.Version, now: cfg.Now}
	if err := parsed.Run(e); err != nil {
		fmt.Fprintln(cfg.Stderr, "assayctl:", explain(err))
		return ExitError
	}
	return e.code
}

// explain is one line that says what went wrong and what to do.
func explain(err error) string {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return err.Error()
	}
	switch remote.Code() {
	case connect.CodeUnauthenticated:
		if strings.Contains(remote.Message(), "sign in") {
			return remote.Message() + " (assayctl login)"
		}
		return remote.Message()
	case connect.CodeUnavailable:
		return "the server cannot be reached or is not ready: " + remote.Message() + " (is it running, and is the address right?)"
	default:
		return remote.Message()
	}
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, "assayctl", e.version)
	return err
}

// parseTime reads RFC 3339, or a date as its first moment in UTC. An empty text
// is the zero time.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2026-03-01T12:00:00Z or 2026-03-01", text)
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
