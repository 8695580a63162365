package cli

import "github.com/assay-audit/assay/agent/internal/evtxdump"

type evtxCommand struct {
	Dump evtxDumpCommand `cmd:"" help:"Print the records of event logs."`
}

type evtxDumpCommand struct {
	Files []string `arg:"" name:"file" help:"Event logs (.evtx) or event XML." type:"existingfile"`
	JSON  bool     `name:"json" help:"One JSON object a line."`
}

// Help is the command's long help.
func (evtxDumpCommand) Help() string {
	return `What is damaged goes to standard error, one line each; exit code 1 then.

Examples:
  assay-agent evtx dump Security.evtx
  assay-agent evtx dump --json *.evtx | jq .`
}

func (c *evtxDumpCommand) Run(e *env) error {
	if code := evtxdump.Dump(e.ctx, c.Files, e.stdout, e.stderr, c.JSON); code != exitDone {
		return exitCode(code)
	}
	return nil
}
