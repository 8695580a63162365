// Command with-postgres runs a command beside a Postgres made for it: one
// server for all packages of a test run. It names the server to the command in
// ASSAY_TEST_DATABASE_URL and removes it afterwards. Where that variable is
// already set it only runs the command. Not for data that is to be kept: this
// Postgres does not wait for the disk.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/assay-audit/assay/deploy/pg"
)

const variable = "ASSAY_TEST_DATABASE_URL"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: with-postgres COMMAND [ARG]...")
		os.Exit(2)
	}
	// A ^C reaches the command too, as it is in our process group; we only wait
	// for it. A SIGTERM is passed on by cancelling.
	signal.Ignore(os.Interrupt)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "with-postgres:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run gives the exit code of the command.
func run(ctx context.Context, args []string) (code int, err error) {
	if os.Getenv(variable) != "" {
		return execute(ctx, args)
	}
	dir, err := pg.MkdirTemp()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := pg.Start(ctx, pg.Config{Dir: dir, Settings: pg.Throwaway()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	return execute(ctx, args, variable+"="+server.DSN("postgres"))
}

func execute(ctx context.Context, args []string, env ...string) (code int, err error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	err = cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		// A command that a signal ended has no code of its own.
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}
