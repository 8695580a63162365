package assess

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evaluate"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// Config is what New needs.
type Config struct {
	Store   *postgres.Store
	Library *framework.Library
	Now     func() time.Time
	Logger  *slog.Logger
}

// Assessor answers how hosts stand. It is safe for concurrent use.
type Assessor struct {
	cfg Config

	mu     sync.Mutex
	newest *Snapshot // of run newestRun
	run    uint64
	past   []pastSnapshot // newest asked last; bounded by maxPast
}

type pastSnapshot struct {
	instant time.Time
	size    uint64
	of      uint64 // ledger size that it was computed at: late data restates
	*Snapshot
}

// maxPast bounds the snapshots of past moments that are kept.
const maxPast = 4

// New returns an Assessor.
func New(cfg Config) *Assessor { return &Assessor{cfg: cfg} }

// Snapshot is how everything stands at an instant. It is shared: read only.
type Snapshot struct {
	Instant   time.Time
	Watermark time.Time
	// Size is the ledger size whose facts were known.
	Size     uint64
	Hosts    []assay.Host // by name
	Activity map[assay.HostID]postgres.HostActivity
	// Heard is when each host last stated its health, by the instant.
	Heard    map[assay.HostID]time.Time
	Verdicts map[assay.HostID][]assay.Verdict // by check
	Findings []postgres.StoredFinding         // newest first
	Library  *framework.Library
	// Policy are the digests of the lists and parameters that it was judged by;
	// only of a snapshot that Evaluate made.
	Policy map[string][32]byte
}

// Newest is what the newest evaluation run found; NotFound before the first.
func (a *Assessor) Newest(ctx context.Context) (*Snapshot, error) {
	run, position, err := a.cfg.Store.LatestRun(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	if a.newest != nil && a.run == position {
		defer a.mu.Unlock()
		return a.newest, nil
	}
	a.mu.Unlock()
	s := &Snapshot{Instant: run.Instant, Watermark: run.Watermark, Size: run.Size, Library: a.cfg.Library}
	if err := a.loadHosts(ctx, s); err != nil {
		return nil, err
	}
	verdicts, err := a.cfg.Store.Verdicts(ctx)
	if err != nil {
		return nil, err
	}
	s.Verdicts = make(map[assay.HostID][]assay.Verdict, len(s.Hosts))
	for _, v := range verdicts {
		s.Verdicts[v.Host] = append(s.Verdicts[v.Host], v)
	}
	if s.Findings, err = a.cfg.Store.Findings(ctx); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if position > a.run {
		a.newest, a.run = s, position
	}
	return s, nil
}

func (a *Assessor) loadHosts(ctx context.Context, s *Snapshot) (err error) {
	if s.Hosts, err = a.cfg.Store.Hosts(ctx); err != nil {
		return err
	}
	if s.Activity, err = a.cfg.Store.Activities(ctx); err != nil {
		return err
	}
	s.Heard = make(map[assay.HostID]time.Time, len(s.Activity))
	for host, activity := range s.Activity {
		s.Heard[host] = activity.LastHealth
	}
	return nil
}

// At evaluates the fleet as it stood at instant, by what was known at a ledger
// size; size 0 means all that is known now, a zero instant the time of the
// newest leaf below size.
func (a *Assessor) At(ctx context.Context, instant time.Time, size uint64) (*Snapshot, error) {
	now, err := a.cfg.Store.LedgerSize(ctx)
	if err != nil {
		return nil, err
	}
	if size > now {
		return nil, assay.Errorf(assay.Invalid, "the ledger has %d leaves: there is no tree size %d yet", now, size)
	}
	if instant.After(a.cfg.Now()) {
		return nil, assay.Errorf(assay.Invalid, "%s is in the future", instant.UTC().Format(time.RFC3339))
	}
	if instant.IsZero() {
		if instant, err = a.cfg.Store.LeafTime(ctx, size-1); err != nil {
			return nil, err
		}
	}
	if s := a.recall(instant, size, now); s != nil {
		return s, nil
	}
	s, err := a.Evaluate(ctx, instant, size)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.past = append(a.past, pastSnapshot{instant, size, now, s})
	if len(a.past) > maxPast {
		a.past = a.past[1:]
	}
	return s, nil
}

func (a *Assessor) recall(instant time.Time, size, now uint64) *Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.past {
		// With a stated size nothing can change any more.
		if p.instant.Equal(instant) && p.size == size && (size > 0 || p.of == now) {
			return p.Snapshot
		}
	}
	return nil
}

// Evaluate loads the facts of all hosts and evaluates each. size 0: all facts.
func (a *Assessor) Evaluate(ctx context.Context, instant time.Time, size uint64) (*Snapshot, error) {
	watermark, err := a.cfg.Store.Watermark(ctx, project.PassNames(), project.Lanes)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		if size, err = a.cfg.Store.LedgerSize(ctx); err != nil {
			return nil, err
		}
	}
	s := &Snapshot{Instant: instant, Watermark: watermark, Size: size, Library: a.cfg.Library, Verdicts: map[assay.HostID][]assay.Verdict{}}
	if err := a.loadHosts(ctx, s); err != nil {
		return nil, err
	}
	common, err := a.common(ctx, s)
	if err != nil {
		return nil, err
	}
	if s.Policy, err = common.digests(); err != nil {
		return nil, err
	}
	hosts := s.Hosts
	s.Hosts = s.Hosts[:0:0]
	for start := 0; start < len(hosts); start += chunkHosts {
		chunk := hosts[start:min(start+chunkHosts, len(hosts))]
		inputs, err := a.inputs(ctx, s, common, chunk)
		if err != nil {
			return nil, err
		}
		for i := range inputs {
			if inputs[i].Host.FirstSeen.After(instant) && !chunk[i].CreatedAt.Before(instant) {
				continue // not known yet at that moment
			}
			s.Hosts = append(s.Hosts, chunk[i])
			s.Heard[chunk[i].ID] = inputs[i].Health.At
			result := evaluate.Evaluate(inputs[i], size, instant)
			s.Verdicts[chunk[i].ID] = result.Verdicts
			for _, f := range result.Findings {
				s.Findings = append(s.Findings, postgres.StoredFinding{Finding: f})
			}
		}
	}
	sortFindings(s.Findings)
	return s, nil
}
