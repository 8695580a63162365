package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// session is the reading of one opened device.
type session struct {
	c        *Collector
	port     Port
	resume   pipeline.Resume
	emit     pipeline.Emit
	filters  *kernel.FilterBlob // that this agent put in force
	inFlight int
	resumed  bool // the driver was told to give again what was not acknowledged
	unsaid   bool // acknowledgements that no read has carried yet
	asked    bool // a read was asked to end for their sake
}

// answer is what a read brought.
type answer struct {
	batch kernel.Batch
	err   error
}

// run owns a goroutine that waits for answers; everything else is done here.
func (s *session) run(ctx context.Context) error {
	answers, done := make(chan answer), make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		s.wait(answers, stop)
	}()
	err := s.loop(ctx, answers)
	close(stop)
	err = errors.Join(err, s.port.Close()) // Next returns
	<-done
	return err
}

// wait decodes answers where they come in, before their memory is used again.
func (s *session) wait(answers chan<- answer, stop <-chan struct{}) {
	for {
		b, err := s.port.Next()
		a := answer{err: err}
		if err == nil {
			a.batch, a.err = kernel.DecodeBatch(b)
		}
		select {
		case answers <- a:
		case <-stop:
			return
		}
		if a.err != nil && !errors.Is(a.err, ErrCancelled) {
			return
		}
	}
}

func (s *session) loop(ctx context.Context, answers <-chan answer) error {
	look := time.NewTicker(s.c.cfg.LookEvery)
	defer look.Stop()
	for {
		for s.inFlight < InFlight {
			if err := s.submit(); err != nil {
				return err
			}
		}
		moved := s.resume.Moved()
		s.settle()
		if s.unsaid && !s.asked {
			// All reads wait, with acknowledgements of before: the driver may be full.
			s.asked = true
			s.port.Cancel()
		}
		select {
		case a := <-answers:
			s.inFlight--
			s.asked = false
			if errors.Is(a.err, ErrCancelled) {
				continue
			}
			if a.err != nil {
				return fmt.Errorf("reading the driver: %w", a.err)
			}
			if err := s.take(ctx, &a.batch); err != nil {
				return err
			}
		case <-moved:
		case <-look.C:
			if err := s.look(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// submit begins a read that carries all acknowledgements.
func (s *session) submit() error {
	s.settle()
	var through [kernel.Classes]uint64
	for i := range s.c.rings {
		through[i] = s.c.rings[i].acked
	}
	if err := s.port.Submit(kernel.ReadRequest(!s.resumed, s.c.load, through)); err != nil {
		return fmt.Errorf("reading the driver: %w", err)
	}
	s.inFlight++
	s.resumed, s.unsaid = true, false
	return nil
}

func (s *session) settle() {
	for i := range s.c.rings {
		if s.c.rings[i].settle(s.c.load, s.resume) {
			s.unsaid = true
		}
	}
}

// errReloaded: the device is another load's now.
var errReloaded = errors.New("the driver was loaded anew")

// take turns a batch into events. Starts of processes come first, so that the rest
// of the batch can name them, and ends of flows after their copies; within a class the
// order stays.
func (s *session) take(ctx context.Context, batch *kernel.Batch) error {
	if batch.Load != s.c.load || batch.Boot != s.c.boot {
		return errReloaded
	}
	slices.SortStableFunc(batch.Records, func(a, b kernel.Record) int { return cmp.Compare(order(a.Class), order(b.Class)) })
	for i := range batch.Records {
		if err := s.record(ctx, &batch.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

func order(c kernel.Class) int {
	switch c {
	case kernel.ClassProcess:
		return -1
	case kernel.ClassNetwork:
		return int(kernel.Classes)
	default: // as numbered
	}
	return int(c)
}

// record makes a record's events. One that was read before in this session, as
// after a read whose answer was lost, changes nothing.
func (s *session) record(ctx context.Context, r *kernel.Record) error {
	ring := &s.c.rings[r.Class]
	if r.N <= ring.seen() {
		return nil
	}
	if err := s.hole(ctx, ring, r); err != nil {
		return err
	}
	var events []*telemetryv1.Event
	if gap, ok := r.Body.(*kernel.Gap); ok {
		ring.meter.Lost(gap.Count)
		events = []*telemetryv1.Event{ring.gap(r, gap, r.N, "the driver had no room", s.c.ticks(), event.Ticks)}
	} else {
		if _, ok := r.Body.(*kernel.Volume); ok && s.c.cfg.Drives != nil {
			s.c.survey() // a letter may have come or gone with it
		}
		events = s.c.mapper.Events(r)
		ring.at = max(ring.at, r.SystemTime)
	}
	stored := false
	for i, ev := range events {
		p := position{epoch: ring.epoch, load: s.c.load, n: r.N, event: uint32(i) + 1}
		if i == len(events)-1 {
			p.event = last
		}
		filtered := ring.meter.Filtered()
		err := s.emit(ctx, pipeline.Item{Event: ev, Key: key(r.Class), Position: p.bytes(), Meter: ring.meter})
		if err != nil {
			return &emitError{err}
		}
		// Of what the policy leaves out nothing will become durable.
		stored = stored || ring.meter.Filtered() == filtered
	}
	if len(events) == 0 {
		ring.meter.Passed(1, r.N)
	}
	ring.pending = append(ring.pending, pending{n: r.N, stored: stored})
	return nil
}

// hole tells of numbers before r that no record and no gap of the driver stands for.
// Its position is that of the last of them, before all events of r.
func (s *session) hole(ctx context.Context, ring *ring, r *kernel.Record) error {
	missing, found := ring.hole(r)
	if !found {
		return nil
	}
	ring.meter.Lost(missing.Count)
	through := missing.First + missing.Count - 1
	ev := ring.gap(r, &missing, through, "its records never came: the driver skipped them, or another reader took them", s.c.ticks(), event.Ticks)
	p := position{epoch: ring.epoch, load: s.c.load, n: through, event: last}
	filtered := ring.meter.Filtered()
	if err := s.emit(ctx, pipeline.Item{Event: ev, Key: key(r.Class), Position: p.bytes(), Meter: ring.meter}); err != nil {
		return &emitError{err}
	}
	ring.pending = append(ring.pending, pending{n: through, stored: ring.meter.Filtered() == filtered})
	return nil
}

// look asks the driver how it stands, tells the meters and the boot guard, and
// brings the filters in line.
func (s *session) look(ctx context.Context) error {
	d, err := Describe(s.port)
	if err != nil {
		return fmt.Errorf("asking the driver how it stands: %w", err)
	}
	if d.Load != s.c.load {
		return errReloaded
	}
	if s.filter(ctx, &d) {
		if d, err = Describe(s.port); err != nil {
			return fmt.Errorf("asking the driver how it stands: %w", err)
		}
	}
	for i := range s.c.rings {
		r := &s.c.rings[i]
		state := standingOf(r.class, &d, s.filters)
		r.meter.Set(state.running, state.reason, state.capabilities)
		r.meter.SetFilters(filterDigest(&d, s.filters))
		r.meter.Excluded(d.Rings[i].Filtered - min(r.excluded, d.Rings[i].Filtered))
		r.excluded = d.Rings[i].Filtered
	}
	if !d.Passive { // the driver counts the minutes itself, by a clock that nobody sets
		if _, err := s.port.Control(kernel.ControlHealthy, kernel.LoadRequest(s.c.load), 0); err != nil {
			s.c.cfg.Log.WarnContext(ctx, "telling the driver's boot guard that all is well failed", "error", err)
		}
	}
	return nil
}

// filter puts the filters in force that the agent is told to; it reports whether
// anything was sent. The driver keeps the last good ones.
func (s *session) filter(ctx context.Context, d *kernel.Description) bool {
	if s.c.cfg.Filters == nil {
		return false
	}
	wanted, err := s.c.cfg.Filters(s.c.drives)
	if err != nil {
		s.c.cfg.Log.WarnContext(ctx, "filters for the driver are not taken over", "error", err)
		return false
	}
	if wanted == nil {
		return false
	}
	s.filters = wanted
	if d.FiltersGeneration == wanted.Generation {
		return false
	}
	if _, err := s.port.Control(kernel.ControlFilters, wanted.Bytes, 0); err != nil {
		s.c.cfg.Log.WarnContext(ctx, "the driver refuses its filters", "digest", wanted.Digest, "error", err)
		return false
	}
	s.c.cfg.Log.InfoContext(ctx, "the driver has its filters", "digest", wanted.Digest, "excludes", wanted.Excludes)
	return true
}
