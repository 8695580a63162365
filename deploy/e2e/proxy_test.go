package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands on one leg between two programs and spoils it. What it spoils
// is armed beforehand by a number of bytes, so that it strikes in the middle of a
// message, wherever that happens to be.
type proxy struct {
	target   func() (net.Conn, error)
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	ended  bool
	pairs  map[*pair]bool // open connections
	left   int            // bytes until what is armed strikes; 0: nothing is armed
	armed  wireFault
	struck chan struct{}
	stall  chan struct{} // closed when the bytes may go on; nil: they may
	delay  time.Duration // of every read's bytes
}

// pair is a connection and the one that it was passed on by.
type pair struct {
	near, far net.Conn
	once      sync.Once
	gone      chan struct{}
}

func (p *pair) close() {
	p.once.Do(func() {
		close(p.gone)
		_ = p.near.Close() // it is gone, whatever that says
		_ = p.far.Close()
	})
}

// wireFault is what a proxy does once it strikes.
type wireFault uint8

const (
	cutAll   wireFault = iota // ends every connection, the one at hand in mid-write
	stallAll                  // takes all bytes in, and passes none on
)

// startProxy listens and passes on; it ends with the test.
func startProxy(t *testing.T, network, address string, target func() (net.Conn, error)) *proxy {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, listener: listener, pairs: map[*pair]bool{}}
	p.work.Go(func() { p.accept(t) })
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		p.goOn()
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) accept(t *testing.T) {
	for {
		near, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.Errorf("accepting: %v", err)
			return
		}
		far, err := p.target()
		if err != nil {
			_ = near.Close() // as one would see it without us
			continue
		}
		c := &pair{near: near, far: far, gone: make(chan struct{})}
		p.mu.Lock()
		if p.ended {
			c.close()
		}
		p.pairs[c] = true
		p.mu.Unlock()
		p.work.Go(func() { p.pass(c, near, far) })
		p.work.Go(func() { p.pass(c, far, near) })
	}
}

// pass carries bytes one way until either end is gone.
func (p *proxy) pass(c *pair, from, to net.Conn) {
	defer func() {
		c.close()
		p.mu.Lock()
		delete(p.pairs, c)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0; {
			take, strikes := p.count(len(rest))
			if !p.may(c) {
				return
			}
			if _, err := to.Write(rest[:take]); err != nil {
				return
			}
			if rest = rest[take:]; strikes {
				p.strike()
			}
		}
		if err != nil {
			return
		}
	}
}

// count takes bytes off what is left until the strike.
func (p *proxy) count(n int) (take int, strikes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 || n < p.left {
		p.left = max(0, p.left-n)
		return n, false
	}
	n, p.left = p.left, 0
	return n, true
}

// may waits while bytes must, and reports whether the connection is still there.
func (p *proxy) may(c *pair) bool {
	p.mu.Lock()
	stall, delay := p.stall, p.delay
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.gone:
		}
	}
	if stall != nil {
		select {
		case <-stall:
		case <-c.gone:
		}
	}
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// arm has the proxy strike after so many more bytes, either way.
func (p *proxy) arm(fault wireFault, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.left, p.struck = fault, bytes, make(chan struct{})
}

func (p *proxy) strike() {
	p.mu.Lock()
	if p.armed == stallAll {
		p.stall = make(chan struct{})
	}
	fault := p.armed
	close(p.struck)
	p.mu.Unlock()
	if fault == cutAll {
		p.cut()
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.close()
	}
}

// goOn lets the bytes go on that were held.
func (p *proxy) goOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stall != nil {
		close(p.stall)
		p.stall = nil
	}
}

// slow makes all bytes late from now on.
func (p *proxy) slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// awaitStruck waits until what was armed has struck.
func (p *proxy) awaitStruck(t *testing.T) {
	t.Helper()
	await(t, "the fault on the wire to strike", promptly, func(context.Context) (bool, string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		select {
		case <-p.struck:
			return true, ""
		default:
			return false, fmt.Sprintf("%d bytes are left until it does", p.left)
		}
	})
}
