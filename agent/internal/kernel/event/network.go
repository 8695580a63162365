package event

import (
	"container/list"
	"net/netip"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/kernel"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// address reads an address of a record.
func address(family uint8, raw [16]byte) string {
	switch family {
	case 4:
		return netip.AddrFrom4([4]byte(raw[:4])).String()
	case 6:
		return netip.AddrFrom16(raw).Unmap().String()
	}
	return ""
}

var families = map[uint8]string{4: "AF_INET", 6: "AF_INET6"}

// protocols are IP protocols as Sysmon writes them.
var protocols = map[uint8]string{1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}

// flowKinds say what a flow's record is: the raw id and the table's action.
var flowKinds = map[kernel.Kind]struct {
	id     uint32
	action string
}{
	kernel.KindFlowConnected: {3, "SOCKET_CONNECT"}, kernel.KindFlowAccepted: {3, "SOCKET_ACCEPT"}, kernel.KindFlowListening: {1010, "SOCKET_LISTEN"},
	kernel.KindFlowRefused: {1011, "SOCKET_CONNECT_BLOCKED"}, kernel.KindFlowEnded: {1012, "SOCKET_CLOSE"},
}

func (m *Mapper) flow(r *kernel.Record, b *kernel.Flow) []*telemetryv1.Event {
	kind := flowKinds[r.Kind]
	p, unnamed := m.namedActor(r, b.Image)
	body := &telemetryv1.SocketEvent{
		Action: kind.action, Pid: pid(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image, UserName: p.User,
		Family: families[b.Family], Protocol: proto.Int32(int32(b.Protocol)), Direction: direction(b.Inbound != 0),
		LocalAddress: address(b.Family, b.Local), LocalPort: proto.Uint32(uint32(b.LocalPort)),
	}
	switch r.Kind {
	case kernel.KindFlowListening:
		body.Direction = "in"
	case kernel.KindFlowRefused:
		switch kernel.Kind(b.Refused) {
		case kernel.KindFlowAccepted:
			body.Direction = "in"
		case kernel.KindFlowListening:
			body.Action, body.Direction = "SOCKET_LISTEN_BLOCKED", "in"
		default: // a connection out
		}
	default: // as the flow itself says
	}
	e := m.begin(r, kind.id)
	e.acted(p)
	e.field("Protocol", protocols[b.Protocol])
	e.truncated(unnamed)
	if body.Action == "SOCKET_LISTEN" || body.Action == "SOCKET_LISTEN_BLOCKED" {
		e.field("SourceIp", body.LocalAddress)
		e.number("SourcePort", uint64(b.LocalPort))
		e.event.Body = &telemetryv1.Event_Socket{Socket: body}
		return e.events()
	}
	body.RemoteAddress, body.RemotePort = address(b.Family, b.Remote), proto.Uint32(uint32(b.RemotePort))
	e.ends(body.Direction == "in", b.Family, body.LocalAddress, body.RemoteAddress, b.LocalPort, b.RemotePort)
	if b.Loopback != 0 {
		e.field("Loopback", "true")
	}
	if r.Kind == kernel.KindFlowEnded {
		if b.BytesKnown != 0 {
			body.BytesSent, body.BytesReceived = proto.Uint64(b.BytesOut), proto.Uint64(b.BytesIn)
			e.number("BytesSent", b.BytesOut)
			e.number("BytesReceived", b.BytesIn)
		}
	}
	e.event.Body = &telemetryv1.Event_Socket{Socket: body}
	if r.Kind != kernel.KindFlowEnded {
		m.flows.begin(b.Flow)
		return e.events()
	}
	return numbered(append(e.events(), m.ended(r, b.Flow)...))
}

// ended tells what is held of a flow of which nothing more comes. What the driver
// copied may still be on its way: copies and ends are of different classes.
func (m *Mapper) ended(r *kernel.Record, id uint64) (events []*telemetryv1.Event) {
	flow := m.flows.of(id)
	flow.ended = true
	for i := range flow.sides {
		events = append(events, m.flush(r, &flow.sides[i])...)
	}
	return append(events, m.evicted(r)...)
}

func direction(in bool) string {
	if in {
		return "in"
	}
	return "out"
}

// ends adds both ends as Sysmon does: the source is who began.
func (d *draft) ends(in bool, family uint8, local, remote string, localPort, remotePort uint16) {
	source, destination, sourcePort, destinationPort := local, remote, localPort, remotePort
	if in {
		source, destination, sourcePort, destinationPort = remote, local, remotePort, localPort
	}
	six := strconv.FormatBool(family == 6)
	d.field("Initiated", strconv.FormatBool(!in))
	d.field("SourceIsIpv6", six)
	d.field("SourceIp", source)
	d.number("SourcePort", uint64(sourcePort))
	d.field("DestinationIsIpv6", six)
	d.field("DestinationIp", destination)
	d.number("DestinationPort", uint64(destinationPort))
}

// asked is what one side of a flow asked of the other, for the answer's sake, and
// what is held of both, of this side first.
type asked struct {
	flow              uint64
	ended             bool
	sides             [2]join
	url, method, host string
}

// flows remembers a bounded number of flows, the newest ones. out are those that it
// forgot.
type flows struct {
	out  []*asked
	byID map[uint64]*list.Element
	all  *list.List // of *asked, oldest first
}

func newFlows() *flows { return &flows{byID: map[uint64]*list.Element{}, all: list.New()} }

// of is what is known of a flow, made where nothing is.
func (f *flows) of(flow uint64) *asked {
	if at := f.byID[flow]; at != nil {
		return at.Value.(*asked)
	}
	a := &asked{flow: flow}
	if flow == 0 {
		return a // no flow: nothing to remember
	}
	f.byID[flow] = f.all.PushBack(a)
	if f.all.Len() > maxFlows {
		oldest := f.all.Front().Value.(*asked)
		f.out = append(f.out, oldest)
		f.end(oldest.flow)
	}
	return a
}

// begin forgets an ended flow by that number. Of one that has not ended copies may
// have come before: they are of another class.
func (f *flows) begin(flow uint64) {
	if at := f.byID[flow]; at != nil && at.Value.(*asked).ended {
		f.end(flow)
	}
}

func (f *flows) end(flow uint64) {
	if at := f.byID[flow]; at != nil {
		f.all.Remove(at)
		delete(f.byID, flow)
	}
}
