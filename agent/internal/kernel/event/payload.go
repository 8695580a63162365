package event

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/payload"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// The hints of enum assay_hint, and protocols.
const (
	hintDNS = 1
	udp     = 17
)

// payload reads a copy of what was sent. What is neither DNS nor the beginning of
// HTTP or TLS is nothing to tell: that there was a connection is told elsewhere.
func (m *Mapper) payload(r *kernel.Record, b *kernel.Payload) []*telemetryv1.Event {
	data := []byte(b.Data.Value)
	var events []*telemetryv1.Event
	switch {
	case len(data) == 0:
	case b.Protocol == udp:
		events = m.dns(r, b, data)
	default:
		events = m.stream(r, b, data)
	}
	return numbered(events)
}

// numbered are the events of one record.
func numbered(events []*telemetryv1.Event) []*telemetryv1.Event {
	for i, ev := range events {
		ev.Position.Ordinal = uint32(i)
	}
	return events
}

func (m *Mapper) dns(r *kernel.Record, b *kernel.Payload, data []byte) []*telemetryv1.Event {
	message, err := payload.ParseDNS(data, b.Protocol != udp)
	if err != nil || message.Response != (b.Inbound != 0) {
		return nil // what others ask of this host, and what it answers, is not its own doing
	}
	if message.Response {
		return m.answer(r, b, &message)
	}
	p := m.actor(r)
	var events []*telemetryv1.Event
	for _, q := range message.Questions {
		e := m.begin(r, 1013)
		e.acted(p)
		e.field("QueryName", domainName(q.Name))
		e.number("QueryType", uint64(q.Type))
		e.field("DestinationIp", address(b.Family, b.Remote))
		e.number("DestinationPort", uint64(b.RemotePort))
		e.truncated(message.CutByServer || message.CutByCopy)
		e.event.Body = &telemetryv1.Event_Dns{Dns: &telemetryv1.DnsEvent{
			Action: "DNS_LOOKUP", DomainName: domainName(q.Name), RequestType: proto.Uint32(uint32(q.Type)), RequestClass: proto.Uint32(uint32(q.Class)),
			Pid: pid(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image, ViaResolver: viaResolver(p), UserName: p.User,
			RemoteAddress: address(b.Family, b.Remote), RemotePort: proto.Uint32(uint32(b.RemotePort)),
		}}
		events = append(events, e.event)
	}
	return events
}

// domainName is without a closing dot, and the root's is a dot.
func domainName(name string) string {
	if trimmed := strings.TrimSuffix(name, "."); trimmed != "" {
		return trimmed
	}
	return "."
}

// viaResolver: the system's resolver asks for others, and the packet is its own.
// nil where the process is not known.
func viaResolver(p who) *bool {
	if p.Image == "" {
		return nil
	}
	image := strings.ToLower(p.Image)
	return proto.Bool(strings.HasSuffix(image, `\svchost.exe`))
}

// answer: Windows writes a failed answer's code as 9000 and more.
func (m *Mapper) answer(r *kernel.Record, b *kernel.Payload, message *payload.DNS) []*telemetryv1.Event {
	p := m.actor(r)
	status := uint32(message.Code)
	if status != 0 {
		status += 9000
	}
	body := &telemetryv1.DnsResponseEvent{
		Action: "DNS_RESPONSE", Status: proto.Uint32(status), Pid: pid(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image,
		ViaResolver: viaResolver(p), UserName: p.User, RemoteAddress: address(b.Family, b.Remote), RemotePort: proto.Uint32(uint32(b.RemotePort)),
	}
	switch {
	case len(message.Questions) > 0:
		q := message.Questions[0]
		body.DomainName, body.RequestType, body.RequestClass = domainName(q.Name), proto.Uint32(uint32(q.Type)), proto.Uint32(uint32(q.Class))
	case len(message.Answers) > 0: // multicast answers repeat no question
		a := message.Answers[0]
		body.DomainName, body.RequestType = domainName(a.Name), proto.Uint32(uint32(a.Type))
	}
	var addresses []string
	var results strings.Builder // as Sysmon writes them
	for _, a := range message.Answers {
		if a.Address.IsValid() {
			addresses = append(addresses, a.Value)
			body.Answers = append(body.Answers, a.Value)
			if a.Address.Is4() {
				results.WriteString("::ffff:")
			}
			results.WriteString(a.Value + ";")
			continue
		}
		body.Answers = append(body.Answers, fmt.Sprintf("type %d %s", a.Type, a.Value))
		fmt.Fprintf(&results, "type:  %d %s;", a.Type, a.Value)
	}
	body.ResolvedIp = strings.Join(addresses, ";")
	e := m.begin(r, 22)
	e.acted(p)
	e.field("QueryName", body.DomainName)
	e.number("QueryStatus", uint64(status))
	e.field("QueryResults", results.String())
	e.truncated(message.CutByServer || message.CutByCopy)
	e.event.Body = &telemetryv1.Event_DnsResponse{DnsResponse: body}
	return e.events()
}

func (m *Mapper) http(r *kernel.Record, b *kernel.Payload, head *payload.HTTP) []*telemetryv1.Event {
	p, flow := m.actor(r), m.flows.of(b.Flow)
	client := (b.Inbound != 0) == head.Response
	body := &telemetryv1.HttpEvent{
		Action: "HTTP_REQUEST", Pid: pid(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image, UserName: p.User,
		RemoteAddress: address(b.Family, b.Remote), RemotePort: proto.Uint32(uint32(b.RemotePort)), LocalPort: proto.Uint32(uint32(b.LocalPort)),
		UserAgent: head.UserAgent, Referer: head.Referer, ContentType: head.ContentType, ServerName: head.Server, HostName: head.Host,
		Direction: direction(!client), ProtocolVersion: head.Version, Cut: proto.Bool(head.Cut),
	}
	if head.ContentLength >= 0 {
		body.ContentLength = proto.Uint64(uint64(head.ContentLength))
	}
	if head.Response {
		body.Action, body.StatusCode = "HTTP_RESPONSE", proto.Int32(int32(head.Status))
		body.Url, body.Method, body.HostName = flow.url, flow.method, flow.host
	} else {
		body.Url, body.Method = head.URL(), head.Method
		flow.url, flow.method, flow.host = body.Url, body.Method, body.HostName
	}
	e := m.begin(r, 1003)
	e.acted(p)
	e.ends(!client, b.Family, address(b.Family, b.Local), body.RemoteAddress, b.LocalPort, b.RemotePort)
	for _, f := range [][2]string{
		{"Url", body.Url}, {"Method", body.Method}, {"Host", body.HostName}, {"UserAgent", body.UserAgent}, {"Referer", body.Referer},
		{"ContentType", body.ContentType}, {"Server", body.ServerName}, {"Location", head.Location}, {"Version", head.Version},
	} {
		e.field(f[0], f[1])
	}
	if head.Response {
		e.number("StatusCode", uint64(head.Status))
	}
	if head.ContentLength >= 0 {
		e.number("ContentLength", uint64(head.ContentLength))
	}
	e.truncated(head.Cut)
	e.event.Body = &telemetryv1.Event_Http{Http: body}
	return e.events()
}

// tlsVersions are versions as people write them.
var tlsVersions = map[uint16]string{0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}

func tlsVersion(v uint16) string {
	if name, ok := tlsVersions[v]; ok {
		return name
	}
	return fmt.Sprintf("0x%04x", v)
}

func (m *Mapper) tls(r *kernel.Record, b *kernel.Payload, hello *payload.TLS) []*telemetryv1.Event {
	p, flow := m.actor(r), m.flows.of(b.Flow)
	client := (b.Inbound != 0) == hello.Server
	body := &telemetryv1.SslEvent{
		Action: "TLS_CLIENT_HELLO", Pid: pid(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image, UserName: p.User, Direction: direction(!client),
		LocalAddress: address(b.Family, b.Local), LocalPort: proto.Uint32(uint32(b.LocalPort)), RemoteAddress: address(b.Family, b.Remote),
		RemotePort: proto.Uint32(uint32(b.RemotePort)), ServerName: hello.SNI, TlsVersion: tlsVersion(hello.Newest()), Alpn: hello.ALPN,
		Ciphers: hexWords(hello.Ciphers), Extensions: words(hello.Extensions), Groups: hexWords(hello.Groups), SignatureAlgorithms: hexWords(hello.SignatureAlgorithms),
		Ja4: hello.JA4(), SubjectName: hello.Subject, IssuerName: hello.Issuer, Cut: proto.Bool(hello.Cut),
	}
	if hello.Server {
		body.Action, body.ServerName = "TLS_SERVER_HELLO", flow.host
	} else {
		body.TlsVersions, flow.host = hexWords(hello.Versions), hello.SNI
	}
	// A fingerprint of a part would be another program's.
	switch {
	case hello.HelloCut:
	case hello.Server:
		body.Ja3, body.Ja3Hash = hello.JA3S()
	default:
		body.Ja3, body.Ja3Hash = hello.JA3()
	}
	e := m.begin(r, 1002)
	e.acted(p)
	e.ends(!client, b.Family, body.LocalAddress, body.RemoteAddress, b.LocalPort, b.RemotePort)
	for _, f := range [][2]string{
		{"Hello", strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(body.Action, "TLS_"), "_HELLO"))}, {"ServerName", body.ServerName},
		{"TlsVersion", body.TlsVersion}, {"Alpn", strings.Join(body.Alpn, ",")}, {"Ja3", body.Ja3}, {"Ja3Hash", body.Ja3Hash}, {"Ja4", body.Ja4},
		{"Subject", body.SubjectName}, {"Issuer", body.IssuerName},
	} {
		e.field(f[0], f[1])
	}
	e.truncated(hello.Cut)
	e.event.Body = &telemetryv1.Event_Ssl{Ssl: body}
	return e.events()
}

func words(list []uint16) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = strconv.Itoa(int(v))
	}
	return out
}

func hexWords(list []uint16) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = hexText(uint64(v))
	}
	return out
}
