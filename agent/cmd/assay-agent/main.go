// Command assay-agent turns what a host does, or exported Windows logs, into
// evidence and sends it to an Assay server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/assay-audit/assay/agent/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
