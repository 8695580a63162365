package enrol

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
)

// Config says where and as what to enrol.
type Config struct {
	// Dir is the state directory; it is made where it is missing.
	Dir string
	// Server is HOST:PORT of the agents' port.
	Server string
	// CAHash is the SHA-256 of the root certificate's DER in hex, given to the
	// operator out of band (see ParseCAHash).
	CAHash string
	Token  string
	Host   *Host
	// AgentVersion is stated to the server.
	AgentVersion string
	// Replace enrols anew although there is a usable identity.
	Replace bool
	Now     func() time.Time
	// Dial connects; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// callTimeout bounds one call to the server.
const callTimeout = 30 * time.Second

// Enrol exchanges a token for a certificate and stores it. When it fails,
// nothing but perhaps a fresh key is left behind.
func Enrol(ctx context.Context, cfg Config) (*Identity, error) {
	if err := PrepareDir(cfg.Dir); err != nil {
		return nil, err
	}
	if known, err := Load(cfg.Dir, cfg.Now); err == nil && known.Usable() == nil && !cfg.Replace {
		info := known.Info()
		return nil, fmt.Errorf("%w as %s at %s; to enrol it anew, add --replace", ErrEnrolled, info.AgentID, info.Server)
	}
	caHash, err := ParseCAHash(cfg.CAHash)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("server %q is not HOST:PORT", cfg.Server)
	}
	key, err := ensureKey(cfg.Dir)
	if err != nil {
		return nil, err
	}
	csr, err := newCSR(key)
	if err != nil {
		return nil, err
	}
	pin := &pinCheck{caHash: caHash, host: host, now: cfg.Now}
	response, err := call(ctx, cfg.Server, pin.tls(), cfg.Dial, func(ctx context.Context, c agentv1.EnrolmentServiceClient) (*agentv1.EnrolResponse, error) {
		return c.Enrol(ctx, &agentv1.EnrolRequest{Token: cfg.Token, Csr: csr, Host: cfg.Host.message(), AgentVersion: cfg.AgentVersion})
	})
	if err != nil {
		return nil, callError("enrolling", cfg.Server, ErrToken, pin.failed(), err)
	}
	if len(response.GetAgentId()) != 16 || len(response.GetHostId()) != 16 || response.GetLedgerKey() == "" {
		return nil, fmt.Errorf("enrolling at %s: the server's answer lacks an id or the ledger key", cfg.Server)
	}
	i := &Identity{dir: cfg.Dir, key: key, now: cfg.Now}
	return i, i.save(stored{
		Server: cfg.Server, CAHash: caHash,
		AgentID: hex.EncodeToString(response.GetAgentId()), HostID: hex.EncodeToString(response.GetHostId()),
		Certificate: response.GetCertificate(), CACertificates: response.GetCaCertificates(),
		LedgerKey: response.GetLedgerKey(), Rights: response.GetRights(),
		EnrolledAt: cfg.Now().UTC().Format(time.RFC3339),
	})
}

func newCSR(key *ecdsa.PrivateKey) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA256}, key)
	if err != nil {
		return nil, fmt.Errorf("making certificate request: %w", err)
	}
	return csr, nil
}

// call makes one call on a connection of its own.
func call[T any](ctx context.Context, server string, config *tls.Config, dial func(context.Context, string) (net.Conn, error),
	do func(context.Context, agentv1.EnrolmentServiceClient) (T, error),
) (T, error) {
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}
	if dial != nil {
		options = append(options, grpc.WithContextDialer(dial))
	}
	var none T
	conn, err := grpc.NewClient("passthrough:///"+server, options...)
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := do(ctx, agentv1.NewEnrolmentServiceClient(conn))
	if closing := conn.Close(); err == nil {
		err = closing
	}
	return response, err
}

// pinCheck authenticates a server whose root is known by its hash alone.
type pinCheck struct {
	caHash string
	host   string
	now    func() time.Time
	err    chan error
}

func (p *pinCheck) tls() *tls.Config {
	p.err = make(chan error, 1)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: p.host,
		// The chain is verified below, up to the root with the pinned hash, which
		// the server sends along. No other root counts.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			err := p.verify(state.PeerCertificates)
			if err != nil {
				select {
				case p.err <- err:
				default:
				}
			}
			return err
		},
	}
}

func (p *pinCheck) verify(chain []*x509.Certificate) error {
	der := make([][]byte, 0, len(chain))
	intermediates := x509.NewCertPool()
	for _, c := range chain {
		der = append(der, c.Raw)
		intermediates.AddCert(c)
	}
	roots, err := pinnedPool(p.caHash, der)
	if err != nil {
		return err
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, DNSName: p.host, CurrentTime: p.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("the server's certificate is not valid at this host's time, %s: check the clock", p.now().UTC().Format(time.RFC3339))
	}
	if err != nil {
		return fmt.Errorf("the server's certificate is not accepted: %w", err)
	}
	return nil
}

// failed returns what verify said, nil where it was content or never called.
func (p *pinCheck) failed() error {
	select {
	case err := <-p.err:
		return err
	default:
		return nil
	}
}
