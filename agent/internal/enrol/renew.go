package enrol

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
)

// Renewer keeps an identity's certificate valid.
type Renewer struct {
	Identity *Identity
	Log      *slog.Logger
	// Dial connects; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// RetryMin and RetryMax bound the pause after a failure (1 min, 1 h).
	RetryMin, RetryMax time.Duration
}

// Due is when the certificate should be renewed: at half its life.
func (i *Identity) Due() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.leaf.NotBefore.Add(i.leaf.NotAfter.Sub(i.leaf.NotBefore) / 2)
}

// Renew exchanges the certificate for a new one of the same key, now. It works
// until 90 days after expiry (ErrExpired).
func (r *Renewer) Renew(ctx context.Context) error {
	i := r.Identity
	if err := i.Usable(); err != nil {
		return err
	}
	csr, err := newCSR(i.key)
	if err != nil {
		return err
	}
	i.mu.Lock()
	state := i.state
	i.mu.Unlock()
	// Without a client certificate: an expired one would end the handshake. The
	// CSR's signature proves the key.
	response, err := call(ctx, state.Server, i.serverTLS(), r.Dial, func(ctx context.Context, c agentv1.EnrolmentServiceClient) (*agentv1.RenewResponse, error) {
		return c.Renew(ctx, &agentv1.RenewRequest{Csr: csr, Certificate: state.Certificate})
	})
	if err != nil {
		return callError("renewing the certificate", state.Server, ErrRefused, nil, err)
	}
	state.Certificate = response.GetCertificate()
	if len(response.GetCaCertificates()) > 0 {
		state.CACertificates = response.GetCaCertificates()
	}
	if key := response.GetLedgerKey(); key != "" && key != state.LedgerKey {
		// A new ledger key is believed when the old one says so, with a checkpoint.
		r.Log.Info("the server names another ledger key than at enrolment, which is taken over only by the old one's word", "known", state.LedgerKey, "named", oneLine(key))
	}
	return i.save(state)
}

// Run renews at half life until ctx is done (nil) or it is too late
// (ErrExpired, with what to do).
func (r *Renewer) Run(ctx context.Context) error {
	least, most := r.RetryMin, r.RetryMax
	if least <= 0 {
		least = time.Minute
	}
	if most <= 0 {
		most = time.Hour
	}
	pause := least
	for {
		wait := max(r.Identity.Due().Sub(r.Identity.now()), 0)
		// Spread over a tenth of the rest, so that a fleet enrolled at once does
		// not renew at once.
		if wait > 0 {
			wait += rand.N(wait/10 + 1)
		}
		if !sleep(ctx, wait) {
			return nil
		}
		err := r.Renew(ctx)
		switch {
		case err == nil:
			pause = least
			r.Log.Info("certificate renewed", "valid_until", r.Identity.Info().NotAfter)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrExpired):
			return err
		}
		r.Log.Warn("certificate not renewed", "error", err, "valid_until", r.Identity.Info().NotAfter)
		if !sleep(ctx, pause/2+rand.N(pause/2+1)) {
			return nil
		}
		pause = min(2*pause, most)
	}
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
