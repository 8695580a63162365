package ledger

import (
	"crypto/ecdsa"
	"crypto/x509"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// signers remembers the certificates that batches came by: an agent sends
// thousands under one.
type signers struct {
	certificates CertificateVerifier
	known        map[string]*signer // by serial and DER
}

// maxSigners bounds those in memory, about 2 KiB each.
const maxSigners = 20_000

// signer is a certificate with what it says. A certificate that is believed at
// two times is believed at all between: its life and its issuers' are spans.
type signer struct {
	certificate *x509.Certificate
	key         *ecdsa.PublicKey // nil: it is of another kind
	unreadable  error
	agent       assay.AgentID
	from, to    time.Time
}

// judged is a signer at a time.
type judged struct {
	*signer
	err error // why it is not believed then
}

func newSigners(certificates CertificateVerifier) *signers {
	return &signers{certificates: certificates, known: map[string]*signer{}}
}

func (s *signers) of(serial string, der []byte, at time.Time) judged {
	name := serial + string(der)
	known := s.known[name]
	if known == nil {
		if len(s.known) >= maxSigners {
			clear(s.known)
		}
		known = &signer{}
		known.certificate, known.unreadable = x509.ParseCertificate(der)
		if known.unreadable == nil {
			known.key, _ = known.certificate.PublicKey.(*ecdsa.PublicKey)
		}
		s.known[name] = known
	}
	if known.unreadable != nil {
		return judged{known, known.unreadable}
	}
	if !known.from.IsZero() && !at.Before(known.from) && !at.After(known.to) {
		return judged{known, nil}
	}
	agent, err := s.certificates.VerifyAgent(known.certificate, at)
	if err != nil {
		return judged{known, err} // what is known of other times stays
	}
	known.agent, known.from, known.to = agent, at, at
	// Most likely it is believed until its end: then this was all there is to ask.
	if _, err := s.certificates.VerifyAgent(known.certificate, known.certificate.NotAfter); err == nil {
		known.to = known.certificate.NotAfter
	}
	return judged{known, nil}
}
