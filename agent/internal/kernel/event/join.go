package event

import (
	"bytes"
	"encoding/binary"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/payload"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// Bounds of a join: of one direction of a flow, as the driver copies it, and how much
// is waited for before it is plain that it is neither HTTP nor TLS.
const (
	maxJoin = 2048
	least   = 64
)

// join is one direction of a flow as its copies come: what is sent in pieces is read
// once it is whole, or once no more of it can come.
type join struct {
	record *kernel.Record  // of the first copy that is held
	copied *kernel.Payload // its body
	held   []byte
	next   uint64 // the offset that comes next
	done   bool   // nothing more is read
}

// stream takes up a copy of a flow. A copy that is missing, or an answer from the
// other side, ends what is held of a head or hello.
func (m *Mapper) stream(r *kernel.Record, b *kernel.Payload, data []byte) []*telemetryv1.Event {
	flow := m.flows.of(b.Flow)
	side, other := &flow.sides[b.Inbound&1], &flow.sides[1-b.Inbound&1]
	events := m.evicted(r)
	if b.Hint != hintDNS {
		events = append(events, m.flush(r, other)...)
	}
	if b.Offset == 0 && side.next > 0 {
		events = append(events, m.flush(r, side)...)
		*side = join{} // another flow by that number
	}
	if b.Offset != side.next {
		events = append(events, m.flush(r, side)...)
		side.done = true
	}
	if side.done {
		return events
	}
	if len(side.held) == 0 {
		side.record, side.copied = r, b
	}
	side.next += uint64(len(data))
	side.held = append(side.held, data...)
	final := b.Flow == 0 || flow.ended || b.Whole > uint64(len(data)) || side.next >= maxJoin
	return append(events, m.read(r, side, final)...)
}

// flush reads what is held as all that there is.
func (m *Mapper) flush(r *kernel.Record, side *join) []*telemetryv1.Event {
	if side.done || len(side.held) == 0 {
		return nil
	}
	first := *side.record
	first.Class, first.N = r.Class, r.N // where it is told
	return m.read(&first, side, true)
}

// evicted reads what is held of flows that are no longer remembered.
func (m *Mapper) evicted(r *kernel.Record) (events []*telemetryv1.Event) {
	for _, flow := range m.flows.out {
		for i := range flow.sides {
			events = append(events, m.flush(r, &flow.sides[i])...)
		}
	}
	m.flows.out = nil
	return events
}

// read tells what is whole, and keeps the rest unless it is final.
func (m *Mapper) read(r *kernel.Record, side *join, final bool) (events []*telemetryv1.Event) {
	b, data := side.copied, side.held
	switch {
	case b.Hint == hintDNS:
		for len(data) >= 2 {
			size := 2 + int(binary.BigEndian.Uint16(data))
			if size > len(data) {
				break
			}
			events, data = append(events, m.dns(r, b, data[:size])...), data[size:]
		}
		if final && len(data) > 0 {
			events = append(events, m.dns(r, b, data)...)
		}
		side.done = final
	case data[0] == 22: // by content, whatever the port: what listens where is a choice of both sides
		hello, err := payload.ParseTLS(data)
		if side.done = final || err == nil && !hello.Early || err != nil && len(data) >= least; side.done && err == nil {
			events = m.tls(r, b, &hello)
		}
	default:
		head, err := payload.ParseHTTP(data)
		plain := len(data) >= least || bytes.IndexByte(data, '\n') >= 0
		if side.done = final || err == nil && !head.Early || err != nil && plain; side.done && err == nil {
			events = m.http(r, b, &head)
		}
	}
	if side.held = bytes.Clone(data); side.done {
		*side = join{next: side.next, done: true}
	}
	return events
}
