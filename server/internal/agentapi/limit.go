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

// maxBuckets bounds the callers that are remembered. Beyond it new ones share
// what is left: they wait, the server does not grow.
const maxBuckets = 65_536

// limiter limits each caller for itself.
type limiter[K comparable] struct {
	burst, perSecond float64

	mu      sync.Mutex
	buckets map[K]*bucket // under mu
	swept   time.Time     // under mu
}

func newLimiter[K comparable](burst, perMinute int) *limiter[K] {
	return &limiter[K]{burst: float64(burst), perSecond: float64(perMinute) / 60, buckets: map[K]*bucket{}}
}

// neighbourhood is what is limited as one address: one of IPv4, a /64 of IPv6.
func neighbourhood(address netip.Addr) netip.Addr {
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return address
}

func (l *limiter[K]) allow(key K, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			var shared K
			key = shared
			b = l.buckets[key]
		}
		if b == nil {
			b = &bucket{tokens: l.burst, at: now}
			l.buckets[key] = b
		}
	}
	return b.take(now, l.burst, l.perSecond)
}

// sweep forgets, at most once in the time that an empty bucket takes to fill,
// the callers whose buckets are full: forgetting changes nothing for them.
func (l *limiter[K]) sweep(now time.Time) {
	full := time.Duration(l.burst / l.perSecond * float64(time.Second))
	if now.Sub(l.swept) < full {
		return
	}
	l.swept = now
	for key, b := range l.buckets {
		if now.Sub(b.at) >= full {
			delete(l.buckets, key)
		}
	}
}
