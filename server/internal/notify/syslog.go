package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

const (
	// syslogFacility is "log alert" (RFC 5424, 6.2.1).
	syslogFacility = 14
	// structuredID: 32473 is the number that RFC 5612 keeps for those without one.
	structuredID = "assay@32473"
	// maxSyslog is what every receiver should take (RFC 5425, 4.3.1), in bytes.
	maxSyslog = 8192
	// syslogFarewell is how long the receiver has to close after us.
	syslogFarewell = 2 * time.Second
)

var syslogSeverities = map[string]int{"critical": 2, "high": 3, "medium": 4, "low": 5, "informational": 6}

// sendSyslog writes one message over TLS. Syslog knows no receipt: what counts
// is that the receiver closed the connection in order after us, and so had read
// all of it.
func (n *Notifier) sendSyslog(ctx context.Context, m *message) (detail string, err error) {
	host, _, err := net.SplitHostPort(m.Target.Address)
	if err != nil {
		return "", fmt.Errorf("reading the syslog server's address: %w", err)
	}
	settings, err := tlsConfig(m.Target.Settings.CA, host)
	if err != nil {
		return "", err
	}
	raw, err := n.cfg.Networks.dial(ctx, m.Target.Address)
	if err != nil {
		return "", err
	}
	conn := tls.Client(raw, settings)
	defer func() { _ = conn.Close() }() // what matters was written, or its error tells more
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("securing the connection: %w", err)
	}
	text := m.syslog()
	if _, err := fmt.Fprintf(conn, "%d %s", len(text), text); err != nil {
		return "", fmt.Errorf("writing: %w", err)
	}
	if err := conn.CloseWrite(); err != nil {
		return "", fmt.Errorf("ending the connection: %w", err)
	}
	farewell := time.Now().Add(syslogFarewell)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(farewell) {
		farewell = deadline
	}
	if err := conn.SetReadDeadline(farewell); err != nil {
		return "", fmt.Errorf("ending the connection: %w", err)
	}
	switch _, err := conn.Read(make([]byte, 1)); {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		return "written; the receiver did not confirm by closing", nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "written, and the receiver closed in order", nil
	default:
		return "", fmt.Errorf("the receiver broke the connection off: %w", err)
	}
}

// syslog is the message of RFC 5424, without its length.
func (m *message) syslog() string {
	severity, known := syslogSeverities[m.Delivery.Level]
	if !known {
		severity = syslogSeverities["informational"]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s assay - %s [%s", syslogFacility*8+severity, m.now.UTC().Format("2006-01-02T15:04:05.000000Z"),
		syslogName(m.host, 255), syslogName(string(m.Kind), 32), structuredID)
	parameter := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=\"%s\"", name, parameterValue(value))
		}
	}
	parameter("delivery", m.ID.String())
	parameter("level", m.Delivery.Level)
	parameter("detail", m.Detail)
	if m.Kind != assay.NotifyTest {
		a := &m.Alert
		parameter("alert", m.Delivery.Alert.String())
		parameter("title", a.Title)
		parameter("pack", a.Pack)
		parameter("rule", a.Rule)
		parameter("host", a.HostName)
		parameter("host_id", a.Host.String())
		parameter("state", a.State)
		parameter("count", fmt.Sprint(a.Count))
	}
	parameter("link", m.link)
	b.WriteString("] \ufeff" + m.summary())
	text := b.String()
	if len(text) > maxSyslog {
		text = strings.ToValidUTF8(text[:maxSyslog], "")
	}
	return text
}

// parameterValue escapes what would end a value (RFC 5424, 6.3.3), after what
// plain does to line ends and the like.
func parameterValue(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(plain(text))
}

// syslogName is printable ASCII without spaces, or the nil value.
func syslogName(text string, limit int) string {
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, text)
	if name == "" {
		return "-"
	}
	return name[:min(len(name), limit)]
}
