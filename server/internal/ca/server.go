package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	serverLife = 7 * 24 * time.Hour
	// serverRenewal is how long before it expires the server's certificate is
	// made anew: much longer than any connection takes to be set up.
	serverRenewal = serverLife / 2
)

// Server is the server's own certificate, made anew in time.
type Server struct {
	authority *Authority
	names     []string
	addresses []net.IP

	mu      sync.Mutex
	current *tls.Certificate // under mu
	made    time.Time        // under mu
	expires time.Time        // under mu
}

// NewServer makes the server's certificate for the DNS names and IP addresses
// that agents and browsers reach it by. Its key never leaves the process.
func (a *Authority) NewServer(hosts []string) (*Server, error) {
	if len(hosts) == 0 {
		return nil, errors.New("making server certificate: it needs a name or an address")
	}
	s := &Server{authority: a}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			s.addresses = append(s.addresses, address)
		} else {
			s.names = append(s.names, host)
		}
	}
	_, err := s.certificate()
	return s, err
}

// certificate returns the current certificate with its chain up to the root,
// from which an agent that knows only the root's hash can judge it.
func (s *Server) certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.authority.now().UTC().Truncate(time.Second)
	// A clock that was ahead when it was made, and is set right, leaves a certificate
	// of the future, which nobody takes.
	ahead := now.Before(s.made.Add(-backdate / 2))
	if s.current != nil && !ahead && now.Before(s.expires.Add(-serverRenewal)) {
		return s.current, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making server key: %w", err)
	}
	template := &x509.Certificate{
		NotBefore: now.Add(-backdate), NotAfter: now.Add(serverLife),
		Subject: pkix.Name{CommonName: "Assay server"}, DNSNames: s.names, IPAddresses: s.addresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, _, err := s.authority.sign(template, key.Public())
	if err != nil {
		return nil, fmt.Errorf("making server certificate: %w", err)
	}
	s.current = &tls.Certificate{Certificate: append([][]byte{der}, s.authority.Chain()...), PrivateKey: key}
	s.made, s.expires = now, template.NotAfter
	return s.current, nil
}

// TLS is the configuration of the agents' port: TLS 1.3, and a client
// certificate, where one is given, only of ours, of an agent's, and valid now.
func (s *Server) TLS() *tls.Config {
	a := s.authority
	clients := a.rootPool()
	clients.AddCert(a.issuing) // agents need not send it
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients, Time: a.now,
		// A resumed session would outlive a check of its certificate, and saves
		// next to nothing with P-256.
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificate()
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			_, err := a.VerifyAgent(state.PeerCertificates[0], a.now())
			return err
		},
	}
}
