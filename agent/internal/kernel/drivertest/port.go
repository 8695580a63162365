package drivertest

import (
	"errors"
	"fmt"

	"github.com/assay-audit/assay/agent/internal/kernel/driver"
)

// port is an open device. Its fields are the driver's, under its mutex.
type port struct {
	driver    *Driver
	reads     int // under way
	cancelled int // of them, from the oldest on
	closed    bool
}

var errClosed = errors.New("the handle is invalid")

func (p *port) Control(code uint32, in []byte, out int) ([]byte, error) {
	p.driver.mu.Lock()
	defer p.driver.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	defer p.driver.wake()
	b, err := p.driver.control(code, in)
	if len(b) > out {
		return nil, errors.New("buffer too small")
	}
	return b, err
}

func (p *port) Submit(request []byte) error {
	p.driver.mu.Lock()
	defer p.driver.mu.Unlock()
	switch {
	case p.closed:
		return errClosed
	case p.reads >= driver.InFlight:
		return fmt.Errorf("%d reads are under way already", p.reads)
	}
	if err := p.driver.read(request); err != nil {
		return err
	}
	p.reads++
	p.driver.wake()
	return nil
}

func (p *port) Next() ([]byte, error) {
	for {
		b, over, changed, err := p.try()
		if over {
			return b, err
		}
		<-changed
	}
}

func (p *port) try() (b []byte, over bool, changed <-chan struct{}, err error) {
	d := p.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case p.closed:
		return nil, true, nil, errClosed
	case d.fail != nil:
		return nil, true, nil, d.fail
	case p.reads == 0:
		return nil, false, d.changed, nil
	}
	if b = d.fill(); b != nil { // also one that was asked to end, as may happen
		p.reads--
		p.cancelled = max(p.cancelled-1, 0)
		return b, true, nil, nil
	}
	if p.cancelled > 0 {
		p.reads, p.cancelled = p.reads-1, p.cancelled-1
		return nil, true, nil, driver.ErrCancelled
	}
	return nil, false, d.changed, nil
}

func (p *port) Cancel() {
	p.driver.mu.Lock()
	defer p.driver.mu.Unlock()
	if p.cancelled < p.reads {
		p.cancelled++
	}
	p.driver.wake()
}

// Close implements driver.Port. What was given and not acknowledged stays.
func (p *port) Close() error {
	d := p.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed, d.port = true, nil
	d.wake()
	return nil
}
