package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/internal/service"
	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/agent/internal/uplink"
	"github.com/assay-audit/assay/proto/evidence"
)

// agent is the agent of one simulated host: the parts of a real one, fed by a
// machine.
type agent struct {
	fleet    *fleet
	host     *Host
	dir      string
	log      *slog.Logger
	identity *enrol.Identity
	lock     *spool.Lock
	spools   map[evidence.StreamKind]*spool.Spool
	pipe     *pipeline.Pipeline
	link     *uplink.Uplink
	acked    chan struct{} // receives after an acknowledgement
	pool     []pooled      // of a load that is about to be written

	// disconnect ends the running uplink and waits for it; nil: there is none.
	disconnect func() error
	broken     chan error // what ended an uplink for ever
}

var streams = []evidence.StreamKind{evidence.Control, evidence.Bulk}

// quietLinger is how long health waits alone for more. It is shorter than a
// real agent's, whose hosts nobody watches.
const quietLinger = 30 * time.Second

// open enrols the host where it is not, and opens its spools.
func (f *fleet) open(ctx context.Context, h *Host) (a *agent, err error) {
	a = &agent{
		fleet: f, host: h, dir: filepath.Join(f.cfg.Dir, h.Name), log: f.cfg.Log.With("host", h.Name),
		spools: map[evidence.StreamKind]*spool.Spool{}, acked: make(chan struct{}, 1), broken: make(chan error, 1),
	}
	if a.identity, err = a.enrol(ctx); err != nil {
		return nil, err
	}
	// Nobody runs this host's agent for itself meanwhile.
	if a.lock, err = spool.AcquireLock(a.dir, "assay-agent fleet"); err != nil {
		return nil, err
	}
	stores := map[evidence.StreamKind]pipeline.Store{}
	for _, kind := range streams {
		dir := service.SpoolDir(a.dir, kind)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("making spool: %w", err), a.release())
		}
		s, err := spool.Open(spool.Config{
			Dir: dir, Kind: kind, Limit: f.limit, SegmentSize: segmentSize, Sign: a.identity.Sign, Log: a.log,
		})
		if err != nil {
			return nil, errors.Join(err, a.release())
		}
		a.spools[kind], stores[kind] = s, s
	}
	info := a.identity.Info()
	link := uplink.Config{
		Server: info.Server, TLS: a.identity.TLS, Dial: f.cfg.Dial, Spools: a.spools, StateFile: service.UplinkFile(a.dir),
		AgentID: info.AgentID, LedgerKey: info.LedgerKey, Sign: a.identity.Sign, AgentVersion: f.cfg.AgentVersion, Log: a.log, Now: f.cfg.Now,
		Acked: a.wake,
		// The pipeline is made after the uplink, and before it runs.
		Welcomed: uplink.TellWelcome(
			func(maxRaw, events uint32) { a.pipe.SetLimits(maxRaw, events) }, func(skew time.Duration) { a.pipe.SetClockSkew(skew) }),
	}
	if f.pace != nil {
		link.Pace, link.Settled = f.pace.permit, f.pace.settled
	}
	if a.link, err = uplink.New(link); err != nil {
		return nil, errors.Join(err, a.release())
	}
	a.pipe, err = pipeline.New(pipeline.Config{
		Stores: stores, Encoder: f.encoder, Log: a.log, Now: f.cfg.Now, AgentVersion: f.cfg.AgentVersion, QuietLinger: quietLinger,
	})
	if err != nil {
		return nil, errors.Join(err, a.release())
	}
	return a, nil
}

// enrolPatience is how long a server may be away, or refuse for the moment,
// before enrolling is given up.
const enrolPatience = 3 * time.Minute

// enrol loads the identity of the host, or enrols it. A server that limits how
// fast hosts enrol is asked again.
func (a *agent) enrol(ctx context.Context) (*enrol.Identity, error) {
	cfg := &a.fleet.cfg
	identity, err := enrol.Load(a.dir, cfg.Now)
	if err == nil {
		if err := identity.Relocate(cfg.Server); err != nil {
			return nil, err
		}
		return identity, identity.Usable()
	}
	if !errors.Is(err, enrol.ErrNotEnrolled) && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for began := cfg.Now(); ; {
		identity, err = enrol.Enrol(ctx, enrol.Config{
			Dir: a.dir, Server: cfg.Server, CAHash: cfg.CAHash, Token: cfg.token(a.host.Role), AgentVersion: cfg.AgentVersion,
			Host: a.host.identity(), Now: cfg.Now, Dial: cfg.Dial,
		})
		forever := errors.Is(err, enrol.ErrToken) || errors.Is(err, enrol.ErrCAHash) || errors.Is(err, enrol.ErrUnsafe)
		if err == nil || forever || ctx.Err() != nil || cfg.Now().Sub(began) > enrolPatience {
			return identity, err
		}
		a.log.Warn("not enrolled yet", "error", err)
		if !sleep(ctx, time.Second+rand.N(3*time.Second)) {
			return nil, ctx.Err()
		}
	}
}

// identity is what a host says of itself when it enrols.
func (h *Host) identity() *enrol.Host {
	return &enrol.Host{
		Name: h.Name, Domain: h.Domain, OS: "windows", OSVersion: h.OSVersion, SMBIOSUUID: h.uuid(purposeHardware, 1),
		MachineID: h.uuid(purposeHardware, 2), KeyKind: "software", Simulated: true,
	}
}

func (a *agent) wake(evidence.StreamKind) {
	select {
	case a.acked <- struct{}{}:
	default:
	}
}

// connect starts the uplink, and what renews the certificate, unless they run.
func (a *agent) connect(ctx context.Context) {
	if a.disconnect != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	linked, renewed := make(chan error, 1), make(chan error, 1)
	go func() {
		err := a.link.Run(ctx)
		if err != nil {
			select {
			case a.broken <- err:
			default: // one is enough
			}
		}
		linked <- err
	}()
	go func() {
		err := (&enrol.Renewer{Identity: a.identity, Log: a.log, Dial: a.fleet.cfg.Dial}).Run(ctx)
		if err != nil {
			a.log.Error("the certificate cannot be renewed", "error", err)
		}
		renewed <- nil
	}()
	a.disconnect = func() error {
		cancel()
		a.disconnect = nil
		return errors.Join(<-linked, <-renewed)
	}
}

// committed waits until the server has acknowledged all that is durable.
func (a *agent) committed(ctx context.Context) error {
	// An acknowledgement wakes; the timer is for what comes without one, such as
	// a head that the server states when it is connected to.
	timer := time.NewTicker(250 * time.Millisecond)
	defer timer.Stop()
	for {
		unsent := uint64(0)
		for _, s := range a.spools {
			unsent += s.Stats().Unsent
		}
		if unsent == 0 {
			return nil
		}
		select {
		case <-a.acked:
		case <-timer.C:
		case err := <-a.broken:
			return err
		case <-a.pipe.Failed():
			return a.pipe.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// closePatience bounds the flush at the end: what is not stored by then is made
// again at the next start.
const closePatience = 10 * time.Second

func (a *agent) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	err := a.pipe.Close(ctx)
	if a.disconnect != nil {
		err = errors.Join(err, a.disconnect())
	}
	return errors.Join(err, a.release())
}

// release closes the spools and gives the directory back.
func (a *agent) release() error {
	var err error
	for _, s := range a.spools {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, a.lock.Release())
}

// positions are the least and the newest position that the spools hold of a
// key; nil for none.
func (a *agent) positions(key string) (least, newest []byte) {
	for _, s := range a.spools {
		if p := s.Position(key); bytes.Compare(p, newest) > 0 {
			newest = p
		}
	}
	return a.pipe.Position(key), newest
}

// sleep is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
