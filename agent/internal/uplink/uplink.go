package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-audit/assay/agent/internal/spool"
	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// Config says to whom an uplink speaks and for which spools.
type Config struct {
	// Server is HOST:PORT.
	Server string
	// TLS is called for each connection.
	TLS func() *tls.Config
	// Dial connects; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	Spools map[evidence.StreamKind]*spool.Spool
	// StateFile keeps the newest verified checkpoint.
	StateFile string
	AgentID   evidence.ID
	// LedgerKey verifies checkpoints (note format), as given at enrolment; key
	// changes that it signed are followed.
	LedgerKey string
	// Sign signs a hash by the device key, to cosign checkpoints; nil: none are.
	Sign         func(evidence.Hash) ([]byte, error)
	AgentVersion string
	BootID       string

	Log *slog.Logger
	Now func() time.Time
	// Uptime runs evenly, whatever is done to Now's clock; nil: nothing is done to it.
	Uptime func() time.Duration

	// Welcomed is told the server's limits and its clock minus ours; nil: nobody.
	Welcomed func(limits *agentv1.Limits, skew time.Duration)
	// LedgerForked is told that the ledger contradicts itself, once but for a crash
	// meanwhile; nil: nobody.
	LedgerForked func(reason string)
	// LedgerSucceeded is told that the ledger was restored and has lost leaves, by
	// its own word; nil: nobody.
	LedgerSucceeded func(what string)
	// Refused is told that the server wants nothing of this agent, as when it is
	// revoked, and why; nil: nobody.
	Refused func(reason string)
	// Acked is told of each acknowledgement; nil: nobody. It must not block.
	Acked func(kind evidence.StreamKind)
	// Settled is told of each batch how many events it has and how long after it was
	// sent its acknowledgement came; nil: nobody. It must not block.
	Settled func(events uint32, took time.Duration)
	// Admit is called before each connection, and may wait. Pace is asked once
	// before each batch of so many events and bytes: nil sends it now, a channel
	// once it is closed; acknowledgements are taken meanwhile. Neither: no limit.
	// Many agents may share them.
	Admit func(ctx context.Context) error
	Pace  func(events uint32, bytes int) <-chan struct{}

	// BackoffMin and BackoffMax bound the pause before reconnecting (1 s, 60 s).
	BackoffMin, BackoffMax time.Duration
	// CheckpointMin and CheckpointMax bound the interval of checkpoints (10 min,
	// 30 min).
	CheckpointMin, CheckpointMax time.Duration
	// AckTimeout is how long an acknowledgement may take before the connection
	// is given up (2 min).
	AckTimeout time.Duration
	// Upkeep is the interval of reclaiming and of saving what acks said (10 s).
	Upkeep time.Duration
}

// TellWelcome makes a Config.Welcomed that hands on what a batch may have, in
// bytes and events (0: unsaid), and the server's clock minus ours.
func TellWelcome(limits func(maxRaw, events uint32), skew func(time.Duration)) func(*agentv1.Limits, time.Duration) {
	return func(l *agentv1.Limits, d time.Duration) {
		limits(l.GetMaxRawBytes(), l.GetMaxEvents())
		skew(d)
	}
}

// Uplink sends the spools of one agent.
type Uplink struct {
	cfg Config
	// trusted is the ledger's key; owned by the session's goroutine.
	trusted trustedKey

	mu     sync.Mutex
	state  State
	status Status
}

// Status is how the connection stands.
type Status struct {
	Connected bool
	Since     time.Time // of the present state
	LastError string
	NextTry   time.Time // zero while connected
}

// New reads the state of an uplink.
func New(cfg Config) (*Uplink, error) {
	setDefault(&cfg.BackoffMin, time.Second)
	setDefault(&cfg.BackoffMax, time.Minute)
	setDefault(&cfg.CheckpointMin, 10*time.Minute)
	setDefault(&cfg.CheckpointMax, 30*time.Minute)
	setDefault(&cfg.Upkeep, 10*time.Second)
	setDefault(&cfg.AckTimeout, 2*time.Minute)
	state, err := ReadState(cfg.StateFile)
	if err != nil {
		return nil, err
	}
	trusted, err := trust(cfg.LedgerKey, state.KeyChanges)
	if err != nil {
		return nil, err
	}
	return &Uplink{cfg: cfg, trusted: trusted, state: state}, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Status returns how the connection stands now.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// repeatAfter is how often a lasting failure is said again.
const repeatAfter = 10 * time.Minute

// Run keeps a session until ctx is done, which is nil; any other error is of
// the disk and for ever.
func (u *Uplink) Run(ctx context.Context) error {
	said, saidAt := "", time.Time{}
	for failures := 0; ctx.Err() == nil; {
		began := u.cfg.Now()
		welcomed, err := u.session(ctx)
		if ctx.Err() != nil {
			break
		}
		var drain *drainError
		pause := u.backoff(failures)
		switch {
		case errors.Is(err, spool.ErrClosed):
			return err
		case errors.As(err, &drain):
			pause, failures = drain.after+rand.N(u.cfg.BackoffMin), 0
		case welcomed && u.cfg.Now().Sub(began) > u.cfg.BackoffMax:
			failures, pause = 1, u.backoff(0)
		default:
			failures++
		}
		text := describe(err)
		if u.cfg.Refused != nil && status.Code(err) == codes.PermissionDenied {
			u.cfg.Refused(oneLine(status.Convert(err).Message()))
		}
		if now := u.cfg.Now(); text != said || now.Sub(saidAt) >= repeatAfter {
			u.cfg.Log.Warn("no connection to the server, events are kept",
				"server", u.cfg.Server, "reason", text, "next_try_in", pause.Round(100*time.Millisecond))
			said, saidAt = text, now
		}
		u.setStatus(Status{Since: u.cfg.Now(), LastError: text, NextTry: u.cfg.Now().Add(pause)})
		if !sleep(ctx, pause) {
			break
		}
	}
	return nil
}

// backoff is AWS's "full jitter": anything from the least pause up to a bound
// that doubles, so that a fleet does not come back as one.
func (u *Uplink) backoff(failures int) time.Duration {
	bound := u.cfg.BackoffMin << min(failures, 20)
	if bound <= 0 || bound > u.cfg.BackoffMax {
		bound = u.cfg.BackoffMax
	}
	return max(rand.N(bound+1), u.cfg.BackoffMin/2)
}

func (u *Uplink) setStatus(s Status) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status = s
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
