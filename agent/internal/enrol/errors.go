package enrol

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// ErrNotEnrolled: the directory holds no identity.
	ErrNotEnrolled = errors.New("this agent is not enrolled")
	// ErrEnrolled: the directory already holds a usable identity.
	ErrEnrolled = errors.New("this agent is enrolled already")
	// ErrToken: the server refused the enrolment token.
	ErrToken = errors.New("the server refused the token")
	// ErrRefused: the server refused to renew the certificate.
	ErrRefused = errors.New("the server refused")
	// ErrCAHash: the server's chain does not lead to the pinned root.
	ErrCAHash = errors.New("the server is not the one that the CA hash names")
	// ErrUnreachable: no answer from the server.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrExpired: too late even for renewal.
	ErrExpired = errors.New("the certificate can no longer be renewed")
	// ErrUnsafe: somebody else could have changed or read the state.
	ErrUnsafe = errors.New("unsafe permissions")
)

// renewalGrace is how long after its expiry a certificate can be renewed.
const renewalGrace = 90 * 24 * time.Hour

func expiredError(server string, caHash string, dir string, notAfter time.Time) error {
	return fmt.Errorf("%w: it expired on %s, more than 90 days ago; enrol again with: assay-agent enrol --server %s --ca-hash %s --token-file FILE --dir %s",
		ErrExpired, notAfter.UTC().Format(time.DateOnly), server, caHash, dir)
}

// callError makes one line of a failed call. handshake is what our own check of
// the server's certificate said, which gRPC reports as text only.
func callError(doing, server string, refusal, handshake, err error) error {
	if handshake != nil {
		return fmt.Errorf("%s at %s: %w", doing, server, handshake)
	}
	s := status.Convert(err)
	text := oneLine(s.Message())
	switch s.Code() {
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%s at %s: %w: %s", doing, server, refusal, text)
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("%s at %s: %w: %s", doing, server, ErrUnreachable, text)
	}
	return fmt.Errorf("%s at %s: %s: %s", doing, server, s.Code(), text)
}

const lineLimit = 300

// oneLine keeps what a server says from writing more than a line to a log.
func oneLine(s string) string {
	b := []rune(s)
	if len(b) > lineLimit {
		b = b[:lineLimit]
	}
	for i, r := range b {
		if r < ' ' || r == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}
