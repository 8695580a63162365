package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Networks says which addresses a target may have. An administrator names
// targets, but must not thereby reach what only this machine can: its own
// services, or the metadata service of a cloud.
type Networks struct {
	// Only, if any, are the networks that targets must be in. Without it, all
	// are good but this machine, its link, and what is no single host. Private
	// networks are good: mail and syslog servers live there.
	Only []netip.Prefix
}

// nat64 are IPv6 addresses that stand for IPv4 ones: the last 32 bits.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// check is asked for the very address that is connected to, after names were
// resolved: a name that changes its address meanwhile gains nothing.
func (n Networks) check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		raw := addr.As16()
		addr = netip.AddrFrom4([4]byte(raw[12:]))
	}
	if len(n.Only) > 0 {
		for _, network := range n.Only {
			if network.Contains(addr) {
				return nil
			}
		}
		return fmt.Errorf("the address %s is in none of the networks that notifications may go to (assay-server serve --notify-network)", addr)
	}
	broadcast := addr == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	thisNetwork := addr.Is4() && addr.As4()[0] == 0
	if addr.IsLoopback() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLinkLocalUnicast() || broadcast || thisNetwork {
		return fmt.Errorf("notifications do not go to %s: it is this machine, its link, or no single host (allow it with assay-server serve --notify-network)", addr)
	}
	return nil
}

// dialTime bounds resolving and connecting.
const dialTime = 5 * time.Second

func (n Networks) dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("reading address %q: %w", address, err)
		}
		return n.check(at.Addr())
	}}
}

// dial connects; the connection ends by itself when ctx does.
func (n Networks) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := n.dialer().DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// tlsConfig believes the target's own CA, or the system's trust.
func tlsConfig(ca, host string) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if ca != "" {
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("the target's CA holds no certificate in PEM")
		}
	}
	return settings, nil
}
