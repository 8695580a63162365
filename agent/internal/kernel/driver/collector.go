package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/proto/evidence"
)

// Source is what the driver is called in health and gaps.
const Source = "kernel"

// Config is what a Collector works with.
type Config struct {
	// Open opens the device; ErrAbsent where there is none.
	Open func() (Port, error)
	// Host is the host's identity, which identities of processes are made of.
	Host [16]byte
	// Meter gives the meter of a class.
	Meter func(class string) *pipeline.Meter
	// Running lists the processes that run, and Drives where devices are mounted;
	// nil: unknown. Account names the account of a SID.
	Running func() []process.Process
	Drives  func() []event.Drive
	Account func(sid string) string
	// Filters loads the filters that the driver is to have, nil for its built-in
	// ones. It is asked at each start of a driver and at each look at it.
	Filters func(drives []event.Drive) (*kernel.FilterBlob, error)
	Now     func() time.Time
	Log     *slog.Logger

	// RetryEvery is how often a driver that is not there is looked for (10 s),
	// LookEvery how often one that is there is asked how it stands, and its boot
	// guard told that all is well (30 s; the guard wants it at least once a minute).
	RetryEvery, LookEvery time.Duration
}

// Collector reads the driver for as long as the agent runs.
type Collector struct {
	cfg    Config
	table  *process.Table
	mapper *event.Mapper
	drives []event.Drive
	rings  [kernel.Classes]ring
	boot   uint64
	load   uint64 // of the driver that was last read, 0 for none
	said   string // the last reason for not reading, so that it is logged once
}

// New returns a collector. Its table of processes serves other sources too.
func New(cfg Config) *Collector {
	for d, value := range map[*time.Duration]time.Duration{&cfg.RetryEvery: 10 * time.Second, &cfg.LookEvery: 30 * time.Second} {
		if *d <= 0 {
			*d = value
		}
	}
	c := &Collector{cfg: cfg, table: process.NewTable(cfg.Host)}
	c.mapper = event.New(event.Config{Processes: c.table, Drives: func() []event.Drive { return c.drives }, Account: cfg.Account})
	for i := range c.rings {
		c.rings[i] = ring{class: kernel.Class(i), meter: cfg.Meter(kernel.Class(i).String())}
	}
	return c
}

// Processes is the table of processes.
func (c *Collector) Processes() *process.Table { return c.table }

// Run implements pipeline.Source. Without a driver it waits for one: what it would
// see is then seen by other sources, at lower grade, and health says so.
func (c *Collector) Run(ctx context.Context, resume pipeline.Resume, emit pipeline.Emit) error {
	c.survey()
	for {
		err := c.serve(ctx, resume, emit)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var fatal *emitError
		if errors.As(err, &fatal) {
			return fatal.err
		}
		c.down(ctx, err)
		select {
		case <-time.After(c.cfg.RetryEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// emitError is of the pipeline: it is for ever.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// survey takes in what runs and what is mounted.
func (c *Collector) survey() {
	if c.cfg.Drives != nil {
		c.drives = c.cfg.Drives()
		// The longest device first, so that the nearest mount wins.
		slices.SortFunc(c.drives, func(a, b event.Drive) int { return len(b.Device) - len(a.Device) })
	}
	if c.cfg.Running != nil {
		for _, p := range c.cfg.Running() {
			c.table.Start(p)
		}
	}
}

func (c *Collector) down(ctx context.Context, err error) {
	reason := err.Error()
	for i := range c.rings {
		c.rings[i].meter.Set(false, reason, nil)
	}
	if c.said == reason {
		return
	}
	c.said = reason
	if errors.Is(err, ErrAbsent) {
		c.cfg.Log.InfoContext(ctx, "no kernel driver: other sources are read, at lower grade; it is taken up when it appears", "looked_every", c.cfg.RetryEvery)
		return
	}
	c.cfg.Log.WarnContext(ctx, "kernel driver is not read", "error", err)
}

// serve reads one opened device until it fails or ctx is done.
func (c *Collector) serve(ctx context.Context, resume pipeline.Resume, emit pipeline.Emit) (err error) {
	port, err := c.cfg.Open()
	if err != nil {
		return err
	}
	defer func() {
		if closed := port.Close(); err == nil {
			err = closed
		}
	}()
	d, err := Describe(port)
	if err != nil {
		return fmt.Errorf("asking the driver how it stands: %w", err)
	}
	c.survey()
	c.begin(&d, resume)
	c.said = ""
	c.cfg.Log.InfoContext(ctx, "kernel driver is read", "version", kernel.VersionText(d.DriverVersion), "load", d.Load, "passive", d.Passive)
	s := &session{c: c, port: port, resume: resume, emit: emit}
	if err := s.look(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// begin takes up a load of the driver. Of the load that was read before, what was
// taken up and is not yet durable is waited for as before, and passed over when the
// driver gives it again.
func (c *Collector) begin(d *kernel.Description, resume pipeline.Resume) {
	if c.load == d.Load && c.boot == d.Boot {
		return
	}
	for i := range c.rings {
		if c.load != 0 {
			c.rings[i].meter.Restart() // it counts from 1 again
			c.rings[i].epoch++
		}
		c.rings[i].begin(d.Load, resume)
	}
	c.boot, c.load = d.Boot, d.Load
}

// ticks is now as telemetry counts it.
func (c *Collector) ticks() int64 { return evidence.Ticks(c.cfg.Now()) }
