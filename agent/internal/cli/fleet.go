package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/fleet"
)

type fleetCommand struct {
	Dir       string            `help:"Folder of the fleet, with a state directory for each host. A second start goes on with it." default:"fleet" type:"path" placeholder:"DIR"`
	Server    string            `help:"The server's port for agents." placeholder:"HOST:PORT"`
	CAHash    string            `name:"ca-hash" help:"SHA-256 of the CA's root certificate, given to you beside the token." placeholder:"HEX"`
	TokenFile string            `help:"File that holds a token for all hosts, - for standard input; without it, the variable ASSAY_TOKEN is read." placeholder:"FILE"`
	RoleToken map[string]string `help:"Files with tokens for hosts of a role (DC, SRV, POS, WS), so that it has other tags." placeholder:"ROLE=FILE"`

	Hosts    int           `help:"How many hosts." default:"25"`
	Seed     uint64        `help:"Which world: the same seed makes the same hosts and events." default:"1"`
	Backfill time.Duration `help:"How much of the past is sent at the first start." default:"48h"`
	Rate     float64       `help:"Multiplies ordinary activity." default:"1"`
	Once     bool          `help:"End when all is committed, instead of going on in real time."`
	Events   int           `help:"Load: send this many generated events from each host as fast as possible, and nothing else. Needs --once." placeholder:"N"`
	Prepare  bool          `help:"Load: only write the events to the spools; a run without it then sends them."`
	Hold     bool          `help:"Load: when all hosts are connected, print \"ready\", and send from the first line of standard input on."`
	Pace     int           `help:"Load: events a second that all hosts together send; 0 for as many as they can." placeholder:"N"`

	CPUProfile string `name:"cpuprofile" help:"Load: write a CPU profile to this file." type:"path" placeholder:"FILE"`

	ApprovedDevices bool `help:"Print the removable devices that the organisation approved, and end."`
	Script          bool `help:"Print what goes wrong on which host, and end."`
}

// Help is the command's long help.
func (fleetCommand) Help() string {
	return `Runs an agent for each of many made-up hosts, marked as simulated: for demonstrations, drills and load. Each has its
own key, certificate, spools and connection. Standard output says "backfilled" when the past of all is committed.

A host that was being simulated when the command ended was shut down then, and starts with the next run; both are on
record. With --events, the number is the folder's: a run that was killed is completed by the next one.

Examples:
  assay-agent fleet --hosts 25 --server 127.0.0.1:8444 --ca-hash 9f86d0...0a08 --token-file token.txt
  assay-agent fleet --hosts 50 --events 20000 --once --dir /tmp/load --server ... --ca-hash ... --token-file token.txt
  assay-agent fleet --hosts 50 --events 20000 --once --prepare --dir /tmp/load --server ... --ca-hash ... --token-file token.txt
  assay-agent fleet --script`
}

func (c *fleetCommand) Run(e *env) error {
	switch {
	case c.ApprovedDevices:
		for _, id := range fleet.ApprovedDevices() {
			if _, err := fmt.Fprintln(e.stdout, id); err != nil {
				return err
			}
		}
		return nil
	case c.Script:
		return printScript(e)
	case c.Server == "" || c.CAHash == "":
		return errors.New("--server and --ca-hash are needed")
	case c.Events < 0 || c.Events > 0 && !c.Once:
		return errors.New("--events takes a positive number and needs --once")
	case c.Events == 0 && (c.Prepare || c.Hold || c.Pace != 0) || c.Pace < 0:
		return errors.New("--prepare, --hold and --pace N need --events")
	}
	cfg, err := c.config(e)
	if err != nil {
		return err
	}
	if c.Events == 0 {
		return fleet.Run(e.ctx, cfg)
	}
	stop, err := profileCPU(c.CPUProfile)
	if err != nil {
		return err
	}
	_, err = fleet.Load(e.ctx, cfg, c.loading(e))
	return errors.Join(err, stop())
}

func (c *fleetCommand) loading(e *env) fleet.Loading {
	l := fleet.Loading{
		Events: c.Events, Prepare: c.Prepare, PerSecond: c.Pace,
		Committed: func(r fleet.LoadResult) error { return json.NewEncoder(e.stdout).Encode(r) },
	}
	if c.Hold {
		l.Start = func(context.Context) error {
			if _, err := fmt.Fprintln(e.stdout, "ready"); err != nil {
				return err
			}
			if _, err := bufio.NewReader(e.stdin).ReadString('\n'); err != nil {
				return fmt.Errorf("waiting for the line that starts the load: %w", err)
			}
			return nil
		}
	}
	return l
}

func (c *fleetCommand) config(e *env) (fleet.Config, error) {
	cfg := fleet.Config{
		Dir: c.Dir, Server: c.Server, CAHash: c.CAHash, Token: os.Getenv(tokenVariable), Hosts: c.Hosts, Seed: c.Seed, Backfill: c.Backfill,
		Rate: c.Rate, Live: !c.Once, RoleTokens: map[fleet.Role]string{}, AgentVersion: e.version, Now: e.now,
		Log: slog.New(quiet{e.log.Handler()}), Progress: e.stderr,
		Backfilled: func(events uint64) { _, _ = fmt.Fprintf(e.stdout, "backfilled %d hosts, %d events\n", c.Hosts, events) },
	}
	var err error
	if c.TokenFile != "" {
		if cfg.Token, err = enrol.ReadToken(c.TokenFile); err != nil {
			return cfg, err
		}
	}
	for role, file := range c.RoleToken {
		switch r := fleet.Role(role); r {
		case fleet.DomainController, fleet.Server, fleet.PointOfSale, fleet.Workstation:
			if cfg.RoleTokens[r], err = enrol.ReadToken(file); err != nil {
				return cfg, err
			}
		default:
			return cfg, fmt.Errorf("--role-token: no role %q: DC, SRV, POS, WS", role)
		}
	}
	return cfg, nil
}

func printScript(e *env) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "HOST\tBEFORE THE START\tFAILS\tWHAT")
	for _, s := range fleet.Script() {
		check := s.Check
		if check == "" {
			check = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Host, s.Before, check, s.What)
	}
	return w.Flush()
}

// quiet leaves out what each of many agents would say of every connection,
// unless debugging is asked for.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, level) && (level >= slog.LevelWarn || q.Handler.Enabled(ctx, slog.LevelDebug))
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
