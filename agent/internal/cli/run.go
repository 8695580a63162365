package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/assay-audit/assay/agent/internal/collect"
	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/driver"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/service"
)

type runCommand struct {
	state
	Server        string        `help:"The server's port for agents, where it has moved; kept from then on." placeholder:"HOST:PORT"`
	Watch         string        `help:"Import what is put into this folder (.evtx, .xml), once it no longer changes." placeholder:"DIR"`
	WatchInterval time.Duration `help:"How often the folder is looked at; a file must look the same twice." default:"10s"`
	HealthEvery   time.Duration `help:"Interval of source health." default:"1m" hidden:""`
}

// Help is the command's long help.
func (runCommand) Help() string {
	return `Runs until it is told to stop (Ctrl-C, SIGTERM), then flushes, signs and closes. What was not sent is sent after the
next start. Nothing is lost while the server cannot be reached.

On Windows the kernel driver is read where it is loaded, and waited for where it is not; see assay-agent kernel status.

Examples:
  assay-agent run
  assay-agent run --dir ./state --watch /srv/exported-logs`
}

func (c *runCommand) Run(e *env) error {
	if c.Watch != "" {
		info, err := os.Stat(c.Watch)
		if err != nil {
			return fmt.Errorf("--watch: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("--watch: %s is not a folder", c.Watch)
		}
	}
	agent, err := service.Open(service.Config{
		Dir: c.Dir, Server: c.Server, Holder: "assay-agent run", AgentVersion: e.version, Log: e.log, Now: e.now,
		HealthEvery: c.HealthEvery, BootID: service.BootID(),
	})
	if err != nil {
		return err
	}
	info := agent.Identity.Info()
	var sources []pipeline.Source
	if c.Watch != "" {
		if !agent.Identity.May(service.RightImport) {
			return errors.Join(errors.New("--watch: this agent's enrolment does not grant the right to import: enrol with a token that does"), agent.Close())
		}
		sources = append(sources, &collect.Watch{Dir: c.Watch, Interval: c.WatchInterval, Now: e.now, Log: e.log})
	}
	if runtime.GOOS == "windows" {
		sources = append(sources, kernelSource(e, agent, c.Dir))
	}
	e.log.Info("agent starts", "agent_id", info.AgentID.String(), "server", info.Server, "version", e.version)
	err = agent.Run(e.ctx, sources...)
	e.log.Info("agent stopped")
	return err
}

// kernelSource reads the kernel driver, whenever it is there.
func kernelSource(e *env, agent *service.Agent, dir string) pipeline.Source {
	return driver.New(driver.Config{
		Open: driver.Open, Host: agent.Identity.Info().HostID, Running: driver.Running, Drives: driver.Drives, Account: driver.Account,
		Meter:   func(class string) *pipeline.Meter { return agent.Pipeline.Meter(driver.Source, class) },
		Filters: func(drives []event.Drive) (*kernel.FilterBlob, error) { return stateFilters(dir, drives) },
		Now:     e.now, Log: e.log,
	})
}
