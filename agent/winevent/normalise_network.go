package winevent

import (
	"net/netip"
	"strings"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

const (
	providerDNSClient = "Microsoft-Windows-DNS-Client"
	providerBITS      = "Microsoft-Windows-Bits-Client"
)

// networkRows: connections, names and background transfers.
func networkRows() []row {
	return []row{
		{telemetry.SysmonProvider, []uint32{3}, sysmonConnection},
		{telemetry.SysmonProvider, []uint32{22}, sysmonDNS},
		{providerSecurity, []uint32{5150, 5151, 5152, 5153}, filtered("PACKET_BLOCKED")},
		{providerSecurity, []uint32{5154}, filtered("SOCKET_LISTEN")},
		{providerSecurity, []uint32{5155}, filtered("SOCKET_LISTEN_BLOCKED")},
		{providerSecurity, []uint32{5156}, filtered("SOCKET_CONNECT")},
		{providerSecurity, []uint32{5157}, filtered("SOCKET_CONNECT_BLOCKED")},
		{providerSecurity, []uint32{5158}, filtered("SOCKET_BIND")},
		{providerSecurity, []uint32{5159}, filtered("SOCKET_BIND_BLOCKED")},
		{providerDNSClient, []uint32{3006, 3009, 3010, 3019}, dnsQuery},
		{providerDNSClient, []uint32{3008, 3011, 3020}, dnsAnswer("DNS_RESPONSE")},
		{providerDNSClient, []uint32{3018}, dnsAnswer("DNS_CACHE")},
		{providerBITS, []uint32{3}, transfer("HTTP_JOB_CREATED")},
		{providerBITS, []uint32{4}, transfer("HTTP_JOB_COMPLETED")},
		{providerBITS, []uint32{59}, transfer("HTTP_TRANSFER_STARTED")},
		{providerBITS, []uint32{60}, transfer("HTTP_TRANSFER_STOPPED")},
		{providerBITS, []uint32{61}, transfer("HTTP_TRANSFER_FAILED")},
	}
}

// endpoint is one side of a connection.
type endpoint struct {
	address, host string
	port          *uint32
}

// place puts source and destination where they stand as seen from the host:
// the source is who began, so it is the other side of what came in.
func place(e *telemetryv1.SocketEvent, source, destination endpoint) {
	local, remote := source, destination
	if e.Direction == "in" {
		local, remote = destination, source
	}
	e.LocalAddress, e.LocalPort, e.LocalHostName = local.address, local.port, local.host
	e.RemoteAddress, e.RemotePort, e.RemoteHostName = remote.address, remote.port, remote.host
	e.Family = family(local.address, remote.address)
}

func family(addresses ...string) string {
	for _, s := range addresses {
		if a, err := netip.ParseAddr(s); err == nil {
			if a.Is4() {
				return "AF_INET"
			}
			return "AF_INET6"
		}
	}
	return ""
}

func sysmonConnection(m *mapper) {
	e := &telemetryv1.SocketEvent{
		Action:      "SOCKET_CONNECT",
		Direction:   "out",
		Pid:         m.u32("ProcessId"),
		ProcessGuid: m.guid("ProcessGuid"),
		ProcessName: m.path("Image"),
		UserName:    m.text("User"),
	}
	if initiated := m.boolean("Initiated"); initiated != nil && !*initiated {
		e.Action, e.Direction = "SOCKET_ACCEPT", "in"
	}
	switch strings.ToLower(m.text("Protocol")) {
	case "tcp":
		e.Protocol = proto.Int32(6)
	case "udp":
		e.Protocol = proto.Int32(17)
	}
	place(e,
		endpoint{m.address("SourceIp"), m.text("SourceHostname"), m.u32("SourcePort")},
		endpoint{m.address("DestinationIp"), m.text("DestinationHostname"), m.u32("DestinationPort")})
	m.event.Body = &telemetryv1.Event_Socket{Socket: e}
}

// filtered is what the Windows Filtering Platform allowed or refused.
func filtered(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.SocketEvent{
			Action:       action,
			Direction:    directions[m.text("Direction")],
			Pid:          m.process("Application", "ProcessID", "ProcessId"),
			ProcessName:  m.path("Application"),
			Protocol:     m.i32("Protocol"),
			FilterId:     m.u64("FilterRTID"),
			FilterOrigin: m.text("FilterOrigin"),
			Layer:        m.text("LayerName"),
		}
		if action == "SOCKET_CONNECT" && e.Direction == "in" {
			e.Action = "SOCKET_ACCEPT"
		}
		place(e,
			endpoint{address: m.address("SourceAddress"), port: m.u32("SourcePort")},
			endpoint{address: m.address("DestAddress"), port: m.u32("DestPort")})
		m.event.Body = &telemetryv1.Event_Socket{Socket: e}
	}
}

func domainName(s string) string { return strings.Trim(s, ".") }

// sysmonDNS holds question and answer in one; the table of answers has room for
// both.
func sysmonDNS(m *mapper) {
	e := &telemetryv1.DnsResponseEvent{
		Action:      "DNS_RESPONSE",
		DomainName:  domainName(m.text("QueryName")),
		Status:      m.u32("QueryStatus"),
		Pid:         m.u32("ProcessId"),
		ProcessGuid: m.guid("ProcessGuid"),
		ProcessName: m.path("Image"),
		UserName:    m.text("User"),
		ViaResolver: proto.Bool(false),
	}
	answers(e, m.text("QueryResults"))
	m.event.Body = &telemetryv1.Event_DnsResponse{DnsResponse: e}
}

// client is the process that a record of the DNS client is of. 3006 and 3008
// are written by the process that asks; the others by the resolver, which says
// on newer systems for whom.
func (m *mapper) client() (pid *uint32, viaResolver *bool) {
	if pid := m.u32("ClientPID"); pid != nil {
		return pid, proto.Bool(false)
	}
	if m.record.ProcessID == 0 {
		return nil, nil
	}
	return proto.Uint32(m.record.ProcessID), proto.Bool(m.record.EventID != 3006 && m.record.EventID != 3008)
}

func dnsQuery(m *mapper) {
	e := &telemetryv1.DnsEvent{
		Action:        "DNS_LOOKUP",
		DomainName:    domainName(m.text("QueryName")),
		RequestType:   m.u32("QueryType"),
		RemoteAddress: m.address("DnsServerIpAddress"),
		Interface:     m.text("InterfaceIndex", "NetworkIndex"),
	}
	e.Pid, e.ViaResolver = m.client()
	m.event.Body = &telemetryv1.Event_Dns{Dns: e}
}

func dnsAnswer(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.DnsResponseEvent{
			Action:        action,
			DomainName:    domainName(m.text("QueryName")),
			RequestType:   m.u32("QueryType"),
			Status:        m.u32("QueryStatus", "ResponseStatus", "Status"),
			RemoteAddress: m.address("DnsServerIpAddress"),
		}
		e.Pid, e.ViaResolver = m.client()
		answers(e, m.text("QueryResults"))
		m.event.Body = &telemetryv1.Event_DnsResponse{DnsResponse: e}
	}
}

// answers reads "type:  5 name;::ffff:192.0.2.1;".
func answers(e *telemetryv1.DnsResponseEvent, results string) {
	var addresses []string
	for part := range strings.SplitSeq(results, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		if a, err := netip.ParseAddr(words[0]); err == nil && len(words) == 1 {
			addresses = append(addresses, a.Unmap().String())
			e.Answers = append(e.Answers, a.Unmap().String())
			continue
		}
		words[0] = strings.TrimSuffix(words[0], ":")
		e.Answers = append(e.Answers, strings.Join(words, " "))
	}
	e.ResolvedIp = strings.Join(addresses, ";")
}

// transfer is a step of the background transfer service.
func transfer(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.HttpEvent{
			Action:           action,
			Client:           "bits",
			Url:              m.text("url", "RemoteName"),
			Pid:              m.u32("processId", "ProcessId"),
			ProcessName:      m.path("processPath", "string3"),
			UserName:         m.text("jobOwner", "User", "string2"),
			BytesTotal:       m.u64("bytesTotal"),
			BytesTransferred: m.u64("bytesTransferred"),
			JobId:            m.guid("jobId", "Id"),
			JobName:          m.text("jobTitle", "name", "string"),
			TransferId:       m.guid("transferId"),
			ErrorCode:        m.hex("hr"),
			Proxy:            m.text("proxy"),
			Peer:             m.text("peer"),
		}
		const unknown = 1<<64 - 1
		if e.BytesTotal != nil && *e.BytesTotal == unknown {
			e.BytesTotal = nil
		}
		m.event.Body = &telemetryv1.Event_Http{Http: e}
	}
}
