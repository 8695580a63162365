package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/assay-audit/assay/agent/internal/collect"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/service"
)

type importCommand struct {
	state
	Server string   `help:"The server's port for agents, where it has moved; kept from then on." placeholder:"HOST:PORT"`
	Paths  []string `arg:"" name:"path" help:"Files, or folders to be searched for .evtx and .xml at any depth."`
	NoWait bool     `help:"Return when everything is in the spool; assay-agent run sends it."`
	JSON   bool     `name:"json" help:"Print the summary as JSON, file by file."`
}

// Help is the command's long help.
func (importCommand) Help() string {
	return `Importing the same bytes again adds nothing, under whatever name. An import that is stopped or killed goes on where
it was when it is started again. Damaged files are imported as far as they can be read, named, and exit code 1 is returned
after all the rest is sent.

Examples:
  assay-agent import Security.evtx
  assay-agent import --dir ./state --json exported-logs/ > summary.json`
}

func (c *importCommand) Run(e *env) error {
	files, err := collect.Find(c.Paths)
	if err != nil {
		return err
	}
	agent, err := service.Open(service.Config{
		Dir: c.Dir, Server: c.Server, Holder: "assay-agent import", AgentVersion: e.version, Log: e.log, Now: e.now, BootID: service.BootID(),
	})
	if err != nil {
		return err
	}
	if !agent.Identity.May(service.RightImport) {
		return errors.Join(errors.New("this agent's enrolment does not grant the right to import: enrol with a token that does"), agent.Close())
	}
	began := e.now()
	run := &importRun{agent: agent, env: e, wait: !c.NoWait, began: began, progress: newProgress(e.stderr, e.now, len(files))}
	run.importer = collect.Importer{Files: files, Now: e.now, Progress: run.progress.records, Done: run.done}
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	run.stop = stop
	err = agent.Run(ctx, run)
	run.progress.end()
	if err != nil {
		return err
	}
	return c.report(e, run)
}

func (c *importCommand) report(e *env, run *importRun) error {
	totals := run.summary.Totals()
	if c.JSON {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(struct {
			collect.Totals
			Unsent   uint64  `json:"unsent_batches"`
			Complete bool    `json:"complete"`
			Seconds  float64 `json:"seconds"`
		}{totals, run.unsent, run.finished, e.now().Sub(run.began).Seconds()}); err != nil {
			return fmt.Errorf("writing summary: %w", err)
		}
	} else {
		for i := range totals.Results {
			if r := &totals.Results[i]; r.Failed() {
				_, _ = fmt.Fprintln(e.stdout, failureLine(r))
			}
		}
		_, _ = fmt.Fprintf(e.stdout, "%s; %.1f s\n", totals, e.now().Sub(run.began).Seconds())
	}
	switch {
	case !run.finished:
		return fmt.Errorf("stopped before the end; start the same import again to go on (%d batches wait in the spool)", run.unsent)
	case totals.Failed > 0:
		return exitCode(exitDamaged)
	}
	return nil
}

func failureLine(r *collect.Result) string {
	switch {
	case r.Error != "":
		return fmt.Sprintf("%s: not imported: %s", r.File, oneLine(r.Error))
	case len(r.Damage) == 0:
		return fmt.Sprintf("%s: imported before: %d records, %d damaged places", r.File, r.Records, r.Unreadable)
	}
	return fmt.Sprintf("%s: %d records; %d damaged places, the first: %s", r.File, r.Records, r.Unreadable, oneLine(r.Damage[0]))
}

// importRun is the importer as the one source of an agent that stops after it.
type importRun struct {
	importer collect.Importer
	agent    *service.Agent
	env      *env
	wait     bool
	stop     context.CancelFunc
	began    time.Time
	progress *progress
	summary  collect.Summary

	finished bool
	unsent   uint64
}

func (r *importRun) done(result collect.Result) {
	r.summary.Add(result)
	r.progress.file(result)
}

// Run implements pipeline.Source.
func (r *importRun) Run(ctx context.Context, resume pipeline.Resume, emit pipeline.Emit) error {
	defer r.stop()
	err := r.importer.Run(ctx, resume, emit)
	if err == nil {
		err = r.agent.Pipeline.Flush(ctx)
	}
	if err == nil {
		r.finished = true
		if r.wait {
			r.progress.sending(r.agent)
			err = r.agent.WaitCommitted(ctx)
			r.finished = err == nil
		}
	}
	r.unsent = r.agent.Unsent()
	return err
}

// progress keeps one line on a terminal or a log up to date.
type progress struct {
	w     io.Writer
	now   func() time.Time
	files int

	mu    sync.Mutex
	done  int
	total uint64 // of files that are done
	last  time.Time
	began time.Time
	shown bool
}

const progressEvery = time.Second

func newProgress(w io.Writer, now func() time.Time, files int) *progress {
	return &progress{w: w, now: now, files: files, began: now(), last: now()}
}

// show prints at most once a second. Under mu.
func (p *progress) show(what string, records uint64) {
	now := p.now()
	if now.Sub(p.last) < progressEvery {
		return
	}
	p.last, p.shown = now, true
	rate := float64(p.total+records) / max(now.Sub(p.began).Seconds(), 0.001)
	_, _ = fmt.Fprintf(p.w, "\r%d of %d files, %d records (%.0f/s) %-50.50s", p.done, p.files, p.total+records, rate, what)
}

func (p *progress) records(file string, n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show(filepath.Base(file), n)
}

func (p *progress) file(r collect.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.total += r.Records
	p.show(filepath.Base(r.File), 0)
}

func (p *progress) sending(a *service.Agent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if status := a.Uplink.Status(); !status.Connected && a.Unsent() > 0 {
		p.shown = true
		_, _ = fmt.Fprintf(p.w, "\nall is in the spool; waiting for the server to take %d batches (--no-wait to leave it to assay-agent run)", a.Unsent())
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		_, _ = fmt.Fprintln(p.w)
	}
}
