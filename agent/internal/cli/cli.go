package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/assay-audit/assay/agent/internal/enrol"
)

// Exit codes.
const (
	exitDone    = 0
	exitDamaged = 1
	exitUsage   = 2
	exitFailed  = 3
)

// Main runs one command and returns its exit code. version is what the program
// states of itself. It ends early, in order, when ctx is done.
func Main(ctx context.Context, version string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("assay-agent"),
		kong.Description("Turns what this host does, or exported Windows logs, into evidence and sends it to an Assay server."),
		kong.Writers(stdout, stderr), kong.UsageOnError(), kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Vars{"state_dir": stateDir()})
	if err != nil {
		fmt.Fprintf(stderr, "assay-agent: %v\n", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help was given and printed
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "assay-agent: %v (see assay-agent --help)\n", err)
		return exitUsage
	}
	e := &env{ctx: ctx, version: version, stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now}
	e.log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	err = parsed.Run(e)
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	if err != nil {
		fmt.Fprintf(stderr, "assay-agent %s: %s\n", parsed.Selected().Name, oneLine(explain(err)))
		return exitFailed
	}
	return exitDone
}

// exitCode ends a command that has said everything itself.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// env is what every command gets.
type env struct {
	ctx     context.Context
	version string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	log     *slog.Logger
	now     func() time.Time
}

type commands struct {
	LogLevel slog.Level `help:"Least level of log lines: debug, info, warn, error." default:"info" env:"ASSAY_LOG_LEVEL" placeholder:"LEVEL"`

	Enrol   enrolCommand   `cmd:"" help:"Exchange a token for a certificate."`
	Import  importCommand  `cmd:"" help:"Import exported Windows logs (.evtx, .xml)."`
	Run     runCommand     `cmd:"" help:"Run the agent."`
	Fleet   fleetCommand   `cmd:"" help:"Simulate many hosts, for demonstrations and load."`
	Status  statusCommand  `cmd:"" help:"Show identity, spools and the last exchange with the server."`
	EVTX    evtxCommand    `cmd:"" name:"evtx" help:"Look into event log files, without a server."`
	Kernel  kernelCommand  `cmd:"" help:"Look at the kernel driver and its records."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// state is the flag that most commands share.
type state struct {
	Dir string `help:"State directory: identity and spool." default:"${state_dir}" env:"ASSAY_AGENT_DIR" placeholder:"DIR"`
}

// explain adds what to do where the error alone does not say it.
func explain(err error) string {
	if errors.Is(err, enrol.ErrNotEnrolled) {
		return err.Error() + ": run assay-agent enrol --server HOST:PORT --ca-hash HEX --token-file FILE first"
	}
	return err.Error()
}

const lineLimit = 500

func oneLine(s string) string {
	s = strings.Join(strings.Split(s, "\n"), "; ")
	if len(s) > lineLimit {
		s = strings.ToValidUTF8(s[:lineLimit], "") + " ..."
	}
	return s
}

type versionCommand struct{}

func (versionCommand) Run(e *env) error {
	_, err := fmt.Fprintf(e.stdout, "assay-agent %s\n", e.version)
	return err
}
