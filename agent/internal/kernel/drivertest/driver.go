package drivertest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/driver"
)

// stored is a record in a ring.
type stored struct {
	n     uint64
	gap   bool
	bytes []byte
}

// ring is one class. What was given and not acknowledged stays in it.
type ring struct {
	records             []stored
	cursor              int // the next to give
	held, size          int
	n, lost, given      uint64
	gapFirst, gapCount  uint64
	delivered, filtered uint64
}

// Driver is a loaded driver.
type Driver struct {
	mu         sync.Mutex
	boot, load uint64
	rings      [kernel.Classes]ring
	port       *port
	changed    chan struct{}

	// Sources are what its sources' starts said, Passive why it records nothing.
	Sources    [kernel.Sources]int32
	Passive    uint32
	generation uint64
	refused    uint64
	filters    [][]byte // that it took
	healthy    int
	unload     bool  // was allowed
	fail       error // of reads
	badAcks    int   // of what was never given
}

// Load loads a driver whose rings have so many bytes each.
func Load(boot, load uint64, ringBytes int) *Driver {
	d := &Driver{boot: boot, load: load, changed: make(chan struct{})}
	for i := range d.rings {
		d.rings[i].size = ringBytes
	}
	return d
}

// wake is under mu.
func (d *Driver) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Post records something; false where there was no room.
func (d *Driver) Post(r Record) bool {
	b := r.encode()
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.wake()
	ring := &d.rings[r.Class]
	d.tellGap(r.Class, len(b))
	if ring.gapCount > 0 || ring.held+len(b) > ring.size {
		ring.n++
		ring.lost++
		if ring.gapCount == 0 {
			ring.gapFirst = ring.n
		}
		ring.gapCount++
		return false
	}
	ring.n++
	d.put(r.Class, b, ring.n, false)
	return true
}

// tellGap puts a gap in place of what was lost, if there is room for it and more.
func (d *Driver) tellGap(class kernel.Class, more int) {
	ring := &d.rings[class]
	if ring.gapCount == 0 || ring.held+headerSize+24+more > ring.size {
		return
	}
	gap := Record{Class: class, Kind: kernel.KindGap, Body: new(Builder).U64(ring.gapFirst, ring.gapCount).U32(uint32(class), 0)}
	ring.gapCount, ring.gapFirst = 0, ring.gapFirst+ring.gapCount-1
	d.put(class, gap.encode(), ring.gapFirst, true)
}

func (d *Driver) put(class kernel.Class, b []byte, n uint64, gap bool) {
	ring, le := &d.rings[class], binary.LittleEndian
	le.PutUint64(b[16:], d.boot)
	le.PutUint64(b[24:], d.load)
	le.PutUint64(b[32:], n)
	le.PutUint64(b[40:], ring.lost)
	ring.records = append(ring.records, stored{n, gap, b})
	ring.held += len(b)
}

// Exclude counts a record that a filter left out.
func (d *Driver) Exclude(class kernel.Class, n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rings[class].filtered += n
}

// Counts are a class's: what was posted, acknowledged, and lost.
func (d *Driver) Counts(class kernel.Class) kernel.RingCounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &d.rings[class]
	return kernel.RingCounts{Posted: r.n, Delivered: r.delivered, Queued: r.n - r.lost - r.delivered, Lost: r.lost, Filtered: r.filtered, Held: uint64(r.held), Size: uint64(r.size)}
}

// Wait returns once ok is true of the driver; it is asked after each change.
func (d *Driver) Wait(done <-chan struct{}, ok func() bool) error {
	for {
		d.mu.Lock()
		changed := d.changed
		d.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-done:
			return errors.New("it never came to that")
		}
	}
}

// ack frees through n; false where it was never given.
func (r *ring) ack(through uint64) bool {
	if through > r.given {
		return false
	}
	i := 0
	for ; i < len(r.records) && r.records[i].n <= through; i++ {
		r.held -= len(r.records[i].bytes)
		if !r.records[i].gap {
			r.delivered++
		}
	}
	r.records, r.cursor = r.records[i:], max(r.cursor-i, 0)
	return true
}

// read takes a read's request, as the driver does before it waits. Under mu.
func (d *Driver) read(request []byte) error {
	le := binary.LittleEndian
	if len(request) != 80 || le.Uint32(request) != 1 || le.Uint32(request[4:]) > 1 {
		return errors.New("invalid parameter")
	}
	if le.Uint64(request[8:]) == d.load {
		for i := range d.rings {
			if !d.rings[i].ack(le.Uint64(request[16+8*i:])) {
				d.badAcks++
				return errors.New("invalid parameter: acknowledges what was not given")
			}
			d.tellGap(kernel.Class(i), 0)
		}
	}
	if le.Uint32(request[4:]) == 1 {
		for i := range d.rings {
			d.rings[i].cursor = 0
		}
	}
	return nil
}

// fill answers a read with what there is, nil where there is nothing. Under mu.
func (d *Driver) fill() []byte {
	out, records := make([]byte, 32), 0
	for i := range d.rings {
		r := &d.rings[i]
		for r.cursor < len(r.records) && len(out)+len(r.records[r.cursor].bytes) <= kernel.ReadSize {
			next := r.records[r.cursor]
			out, r.cursor, r.given = append(out, next.bytes...), r.cursor+1, max(r.given, next.n)
			records++
		}
	}
	if records == 0 {
		return nil
	}
	d.wake()
	le := binary.LittleEndian
	le.PutUint32(out, 0x59535341)
	le.PutUint32(out[4:], 1)
	le.PutUint32(out[8:], uint32(len(out)))
	le.PutUint32(out[12:], uint32(records))
	le.PutUint64(out[16:], d.boot)
	le.PutUint64(out[24:], d.load)
	return out
}

func (d *Driver) describe() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0x59535341)
	passive := uint32(0)
	if d.Passive != 0 {
		passive = 1
	}
	for _, v := range []uint32{1, 0x00010000, passive} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint64(le.AppendUint64(b, d.boot), d.load)
	unload := uint32(0)
	if d.unload {
		unload = 1
	}
	for _, v := range []uint32{d.Passive, 1, unload, 0} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint64(le.AppendUint64(b, d.generation), d.refused)
	for _, status := range d.Sources {
		b = le.AppendUint64(b, uint64(uint32(status)))
		b = le.AppendUint64(b, 0)
	}
	for i := range d.rings {
		r := &d.rings[i]
		for _, v := range []uint64{r.n, r.delivered, r.n - r.lost - r.delivered, r.lost, r.filtered, uint64(r.held), uint64(r.size)} {
			b = le.AppendUint64(b, v)
		}
	}
	return b
}

// control is under mu.
func (d *Driver) control(code uint32, in []byte) ([]byte, error) {
	le := binary.LittleEndian
	switch code {
	case kernel.ControlDescribe:
		return d.describe(), nil
	case kernel.ControlFilters:
		if len(in) < 32 || le.Uint32(in) != 1 || int(le.Uint32(in[4:])) != len(in) || le.Uint64(in[8:]) == 0 {
			d.refused++
			return nil, errors.New("invalid parameter")
		}
		d.generation = le.Uint64(in[8:])
		d.filters = append(d.filters, append([]byte(nil), in...))
		return nil, nil
	case kernel.ControlHealthy, kernel.ControlUnload:
		if len(in) != 16 || le.Uint64(in[8:]) != d.load {
			return nil, errors.New("invalid parameter")
		}
		if code == kernel.ControlUnload {
			d.unload = true
		} else {
			d.healthy++
		}
		return nil, nil
	}
	return nil, fmt.Errorf("invalid request 0x%x", code)
}

// Open opens the device.
func (d *Driver) Open() (driver.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.port != nil {
		return nil, errors.New("sharing violation")
	}
	d.port = &port{driver: d}
	return d.port, nil
}

// Break makes reads fail from now on.
func (d *Driver) Break(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
	d.wake()
}

// Mend ends what Break began.
func (d *Driver) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = nil
	d.wake()
}

// Taken is how many sets of filters the driver took.
func (d *Driver) Taken() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.filters)
}

// Healthy is how often it was told that all is well.
func (d *Driver) Healthy() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.healthy
}

// BadAcks counts acknowledgements of what was never given.
func (d *Driver) BadAcks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.badAcks
}

// Given is the newest n of a class that a reader was given.
func (d *Driver) Given(class kernel.Class) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rings[class].given
}

// Bytes are the records that a class holds, one behind the other.
func (d *Driver) Bytes(class kernel.Class) (out []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rings[class].records {
		out = append(out, r.bytes...)
	}
	return out
}
