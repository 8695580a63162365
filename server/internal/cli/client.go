package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
)

// session is what login keeps. The file is readable by its owner alone.
type session struct {
	Server string `json:"server"`
	// CA is the PEM that the server's certificate must come from; empty: the
	// system's own trust.
	CA    string `json:"ca"`
	Token string `json:"token"`
	User  string `json:"user"`
}

func (e *env) configFile() (string, error) {
	if e.config != "" {
		return e.config, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for the session file: %w (name one with --config)", err)
	}
	return filepath.Join(dir, "assay", "session.json"), nil
}

func (e *env) loadSession() (session, error) {
	var s session
	name, err := e.configFile()
	if err != nil {
		return s, err
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return s, errors.New("not signed in: assayctl login --server https://HOST:PORT --user NAME")
	}
	if err != nil {
		return s, fmt.Errorf("reading the session file: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s is no session file: %w (sign in again)", name, err)
	}
	return s, nil
}

func (e *env) saveSession(s session) error {
	name, err := e.configFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("making the session folder: %w", err)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding session: %w", err)
	}
	// Written aside and renamed: a crash leaves the old session or the new one.
	aside := name + ".new"
	if err := os.WriteFile(aside, text, 0o600); err != nil {
		return fmt.Errorf("writing the session file: %w", err)
	}
	if err := os.Rename(aside, name); err != nil {
		return fmt.Errorf("writing the session file: %w", err)
	}
	return nil
}

// Client holds the console API's clients.
type Client struct {
	Session consolev1connect.SessionServiceClient
	Status  consolev1connect.StatusServiceClient
	Finding consolev1connect.FindingServiceClient
	Host    consolev1connect.HostServiceClient
	Event   consolev1connect.EventServiceClient
	Ledger  consolev1connect.LedgerServiceClient
	Agent   consolev1connect.AgentServiceClient
	Policy  consolev1connect.PolicyServiceClient
	Hold    consolev1connect.HoldServiceClient
	Erasure consolev1connect.ErasureServiceClient
	Segment consolev1connect.SegmentServiceClient
	Alert   consolev1connect.AlertServiceClient
	Rule    consolev1connect.RuleServiceClient

	Suppression  consolev1connect.SuppressionServiceClient
	Notification consolev1connect.NotificationServiceClient
}

// NewClient speaks to server (https://HOST:PORT). ca is PEM, empty for the
// system's trust; token may be empty before signing in.
func NewClient(server, ca, token string) (*Client, error) {
	transport, err := newTransport(ca)
	if err != nil {
		return nil, err
	}
	httpClient := &http.Client{Transport: transport}
	base := server + "/api"
	options := connect.WithInterceptors(bearer(token))
	return &Client{
		Session: consolev1connect.NewSessionServiceClient(httpClient, base, options),
		Status:  consolev1connect.NewStatusServiceClient(httpClient, base, options),
		Finding: consolev1connect.NewFindingServiceClient(httpClient, base, options),
		Host:    consolev1connect.NewHostServiceClient(httpClient, base, options),
		Event:   consolev1connect.NewEventServiceClient(httpClient, base, options),
		Ledger:  consolev1connect.NewLedgerServiceClient(httpClient, base, options),
		Agent:   consolev1connect.NewAgentServiceClient(httpClient, base, options),
		Policy:  consolev1connect.NewPolicyServiceClient(httpClient, base, options),
		Hold:    consolev1connect.NewHoldServiceClient(httpClient, base, options),
		Erasure: consolev1connect.NewErasureServiceClient(httpClient, base, options),
		Segment: consolev1connect.NewSegmentServiceClient(httpClient, base, options),
		Alert:   consolev1connect.NewAlertServiceClient(httpClient, base, options),
		Rule:    consolev1connect.NewRuleServiceClient(httpClient, base, options),

		Suppression:  consolev1connect.NewSuppressionServiceClient(httpClient, base, options),
		Notification: consolev1connect.NewNotificationServiceClient(httpClient, base, options),
	}, nil
}

func newTransport(ca string) (*http.Transport, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS13}
	if ca != "" {
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("the CA file holds no certificate in PEM")
		}
	}
	return &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true, ResponseHeaderTimeout: 2 * time.Minute}, nil
}

// client returns clients for the kept session.
func (e *env) client() (*Client, error) {
	s, err := e.loadSession()
	if err != nil {
		return nil, err
	}
	return NewClient(s.Server, s.CA, s.Token)
}

// bearer sends the session's token with every call.
type bearer string

// WrapUnary implements connect.Interceptor.
func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		b.sign(req.Header())
		return next(ctx, req)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		b.sign(conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor; a client handles nothing.
func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// signing is a transport that sends the session's token.
type signing struct {
	bearer
	http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	s.sign(r.Header)
	return s.RoundTripper.RoundTrip(r)
}

func (b bearer) sign(header http.Header) {
	if b != "" {
		header.Set("Authorization", "Bearer "+string(b))
	}
}
