package enrol_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(t *testing.T, s *servertest.Server) enrol.Config {
	return enrol.Config{
		Dir: filepath.Join(t.TempDir(), "state"), Server: s.Address, CAHash: s.CAHash, Token: servertest.Token,
		Host: &enrol.Host{Name: "h"}, Now: s.Now,
	}
}

func TestEnrolStoresAnIdentityThatTheServerTakes(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	cfg := config(t, s)
	i, err := enrol.Enrol(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := enrol.Load(cfg.Dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Info().AgentID != i.Info().AgentID || loaded.Info().LedgerKey != s.LedgerKey || !loaded.May("import") || loaded.May("fly") {
		t.Fatalf("loaded %+v", loaded.Info())
	}
	conn, err := tls.Dial("tcp", s.Address, withALPN(loaded.TLS()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// The signature is by the key of the certificate.
	hash := sha256.Sum256([]byte("header"))
	signature, err := loaded.Sign(hash)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := loaded.TLS().GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(certificate.Leaf.PublicKey.(*ecdsa.PublicKey), hash[:], signature) {
		t.Fatal("the head signature does not verify")
	}
	if _, err := enrol.Enrol(t.Context(), cfg); !errors.Is(err, enrol.ErrEnrolled) {
		t.Fatalf("enrolling twice: %v", err)
	}
	cfg.Replace = true
	again, err := enrol.Enrol(t.Context(), cfg)
	if err != nil || again.Info().AgentID == i.Info().AgentID {
		t.Fatalf("replacing: %v", err)
	}
}

func withALPN(c *tls.Config) *tls.Config {
	c.NextProtos = []string{"h2"}
	return c
}

func TestEnrolErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	cases := map[string]struct {
		change func(*enrol.Config)
		want   error
		text   string
	}{
		"token":       {func(c *enrol.Config) { c.Token = "wrong" }, enrol.ErrToken, "unknown or used up"},
		"hash":        {func(c *enrol.Config) { c.CAHash = strings.Repeat("ab", 32) }, enrol.ErrCAHash, "abab"},
		"unreachable": {func(c *enrol.Config) { c.Server = closed.Addr().String() }, enrol.ErrUnreachable, "refused"},
		"bad hash":    {func(c *enrol.Config) { c.CAHash = "xyz" }, nil, "64 digits"},
		"bad server":  {func(c *enrol.Config) { c.Server = "nowhere" }, nil, "HOST:PORT"},
		"other name":  {func(c *enrol.Config) { c.Server = "localhost" + c.Server[strings.LastIndex(c.Server, ":"):] }, nil, "localhost"},
		"clock":       {func(c *enrol.Config) { c.Now = func() time.Time { return time.Now().AddDate(20, 0, 0) } }, nil, "check the clock"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, s)
			c.change(&cfg)
			_, err := enrol.Enrol(t.Context(), cfg)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q, want %v with %q", err, c.want, c.text)
			}
			if _, err := enrol.Load(cfg.Dir, time.Now); !errors.Is(err, enrol.ErrNotEnrolled) {
				t.Fatalf("a failed enrolment left an identity: %v", err)
			}
		})
	}
}

func TestUnsafeStateIsRefused(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	cfg := config(t, s)
	if _, err := enrol.Enrol(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(cfg.Dir, "agent.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key mode %v, %v", info.Mode(), err)
	}
	refused := func(what string) {
		t.Helper()
		if _, err := enrol.Load(cfg.Dir, time.Now); !errors.Is(err, enrol.ErrUnsafe) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	refused("a key that others may read")
	if err := os.Rename(key, key+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(key+".moved", 0o600), os.Symlink(key+".moved", key)); err != nil {
		t.Fatal(err)
	}
	refused("a key that is a link")
	link := cfg.Dir + "-link"
	if err := os.Symlink(cfg.Dir, link); err != nil {
		t.Fatal(err)
	}
	if err := enrol.PrepareDir(link); !errors.Is(err, enrol.ErrUnsafe) {
		t.Fatalf("a directory that is a link: %v", err)
	}
	if err := os.Chmod(cfg.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := enrol.PrepareDir(cfg.Dir); !errors.Is(err, enrol.ErrUnsafe) {
		t.Fatalf("a directory that others may write: %v", err)
	}
}

// clock can be moved while others read it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func TestRenewal(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := servertest.New(t, c.now)
	cfg := config(t, s)
	i, err := enrol.Enrol(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := enrol.Renewer{Identity: i, Log: slog.New(slog.DiscardHandler)}
	if half := i.Due().Sub(c.now()); half < 83*time.Hour || half > 85*time.Hour {
		t.Fatalf("renewal is due in %v, want half of 7 days", half)
	}
	first := i.Info().NotAfter
	c.advance(89 * 24 * time.Hour) // expired for 82 days
	if err := r.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !i.Info().NotAfter.After(first.AddDate(0, 0, 80)) {
		t.Fatalf("valid until %v", i.Info().NotAfter)
	}
	loaded, err := enrol.Load(cfg.Dir, c.now)
	if err != nil || !loaded.Info().NotAfter.Equal(i.Info().NotAfter) || loaded.Info().AgentID != i.Info().AgentID {
		t.Fatalf("stored %+v, %v", loaded.Info(), err)
	}
	c.advance(98 * 24 * time.Hour)
	err = r.Renew(t.Context())
	if !errors.Is(err, enrol.ErrExpired) || !strings.Contains(err.Error(), "assay-agent enrol --server "+s.Address) {
		t.Fatalf("91 days after expiry: %v", err)
	}
	if err := r.Run(t.Context()); !errors.Is(err, enrol.ErrExpired) {
		t.Fatalf("run: %v", err)
	}
}

func TestRunRenewsAndSurvivesOutages(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, time.Now)
	s.CertificateLife = time.Second
	cfg := config(t, s)
	i, err := enrol.Enrol(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.CertificateLife = time.Hour
	var dials atomic.Int32
	r := enrol.Renewer{
		Identity: i, Log: slog.New(slog.DiscardHandler), RetryMin: time.Millisecond, RetryMax: time.Millisecond,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			if dials.Add(1) <= 3 {
				return nil, errors.New("no route")
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Until(i.Info().NotAfter) < 30*time.Minute {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("not renewed")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "token")
	for content, want := range map[string]string{"abc\n": "abc", "": "", "two words": "", strings.Repeat("x", 5000): ""} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := enrol.ReadToken(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: token %q, %v", content, got, err)
		}
	}
	if _, err := enrol.ReadToken(name + ".missing"); err == nil {
		t.Error("a missing file gives a token")
	}
}
