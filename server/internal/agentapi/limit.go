package agentapi

import (
	"net/netip"
	"sync"
	"time"
)

// bucket holds tokens that come back with time.
type bucket struct {
	tokens float64
	at     time.Time
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time, burst, perSecond float64) bool {
	if now.After(b.at) {
		b.tokens = min(burst, b.tokens+now.Sub(b.at).Seconds()*perSecond)
		b.at = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// maxBuckets bounds the addresses that are remembered. Beyond it new ones share
// what is left: they wait, the server does not grow.
const maxBuckets = 65_536

// limiter limits by address: one of IPv4, a /64 of IPv6.
type limiter struct {
	burst, perSecond float64

	mu      sync.Mutex
	buckets map[netip.Addr]*bucket // under mu
	swept   time.Time              // under mu
}

func newLimiter(burst, perSecond float64) *limiter {
	return &limiter{burst: burst, perSecond: perSecond, buckets: map[netip.Addr]*bucket{}}
}

func (l *limiter) allow(address netip.Addr, now time.Time) bool {
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			address = prefix.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b := l.buckets[address]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			address = netip.Addr{} // the one that is shared
			b = l.buckets[address]
		}
		if b == nil {
			b = &bucket{tokens: l.burst, at: now}
			l.buckets[address] = b
		}
	}
	return b.take(now, l.burst, l.perSecond)
}

// sweep forgets, at most once in the time that an empty bucket takes to fill,
// the addresses whose buckets are full: forgetting changes nothing for them.
func (l *limiter) sweep(now time.Time) {
	full := time.Duration(l.burst / l.perSecond * float64(time.Second))
	if now.Sub(l.swept) < full {
		return
	}
	l.swept = now
	for address, b := range l.buckets {
		if now.Sub(b.at) >= full {
			delete(l.buckets, address)
		}
	}
}
