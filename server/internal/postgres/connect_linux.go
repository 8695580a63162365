package postgres

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged gives a connection up once what was sent on it has not
// been taken in for deadPeerTimeout: keepalives alone ask only while nothing is
// under way.
func limitUnacknowledged(network, address string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeerTimeout/time.Millisecond))
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("limiting unacknowledged data to %s: %w", address, err)
	}
	return nil
}
