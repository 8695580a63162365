package stamp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/stamp"
)

// authority is OpenSSL's time-stamping authority behind HTTP: nothing of ours
// makes the tokens that ours must read.
type authority struct {
	dir string
	// answer replaces what is answered, if it is set.
	answer func(real []byte) (int, []byte)
}

const config = `
[ ca ]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[ stamping ]
extendedKeyUsage = critical, timeStamping
[ serving ]
extendedKeyUsage = critical, serverAuth
[ tsa ]
default_tsa = this
[ this ]
serial = serial
crypto_device = builtin
signer_cert = tsa.crt
certs = root.crt
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
`

func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// newAuthority makes keys whose certificate is for usage, a section of config.
func newAuthority(t *testing.T, usage string) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(a.dir, "conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "tsa"} {
		openssl(t, a.dir, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name+".key")
	}
	openssl(t, a.dir, "req", "-new", "-key", "root.key", "-subj", "/CN=root", "-out", "root.csr")
	openssl(t, a.dir, "x509", "-req", "-in", "root.csr", "-signkey", "root.key", "-days", "30", "-extfile", "conf", "-extensions", "ca", "-out", "root.crt")
	openssl(t, a.dir, "req", "-new", "-key", "tsa.key", "-subj", "/CN=stamps", "-out", "tsa.csr")
	openssl(t, a.dir, "x509", "-req", "-in", "tsa.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-days", "30", "-extfile", "conf", "-extensions", usage, "-out", "tsa.crt")
	return a
}

func (a *authority) roots(t *testing.T) []byte {
	t.Helper()
	roots, err := os.ReadFile(filepath.Join(a.dir, "root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

// serve returns it as ours asks it.
func (a *authority) serve(t *testing.T) *stamp.Authority {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	asked, err := stamp.NewAuthority(server.URL, a.roots(t))
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := a.reply(r.Context(), query)
	status := http.StatusOK
	if a.answer != nil {
		status, reply = a.answer(reply)
	} else if err != nil {
		status, reply = http.StatusInternalServerError, []byte(err.Error())
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(status)
	_, _ = w.Write(reply) // the test sees what is missing
}

func (a *authority) reply(ctx context.Context, query []byte) ([]byte, error) {
	file, err := os.CreateTemp(a.dir, "query")
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(query); err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "openssl", "ts", "-reply", "-config", "conf", "-queryfile", file.Name(), "-out", file.Name()+".reply")
	cmd.Dir = a.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	return os.ReadFile(file.Name() + ".reply")
}

func checkpoint(size int64) evidence.Checkpoint {
	return evidence.Checkpoint{Origin: "assay/test", Size: size, Root: evidence.HashLeaf([]byte("root"))}
}

// A checkpoint is stamped by an authority that knows nothing of us, and the
// token proves when, later and offline, to whoever has the authority's roots.
func TestStamp(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "stamping")
	asked := a.serve(t)
	before := time.Now().Add(-2 * time.Second)
	token, err := asked.Ask(t.Context(), http.DefaultClient, checkpoint(7))
	if err != nil {
		t.Fatal(err)
	}
	if token.At.Before(before) || token.At.After(time.Now().Add(2*time.Second)) {
		t.Errorf("stamped at %s", token.At)
	}
	offline, err := stamp.NewAuthority("", a.roots(t))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := offline.Verify(checkpoint(7), token.Raw); err != nil || !at.Equal(token.At) {
		t.Errorf("verified offline: %s, %v", at, err)
	}
	if _, err := offline.Verify(checkpoint(8), token.Raw); !errors.Is(err, stamp.ErrInvalid) {
		t.Errorf("of another checkpoint: %v", err)
	}
	stranger, err := stamp.NewAuthority("", newAuthority(t, "stamping").roots(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Verify(checkpoint(7), token.Raw); !errors.Is(err, stamp.ErrInvalid) {
		t.Errorf("by the roots of another authority: %v", err)
	}
	// Every byte of what is signed counts: none of these may verify as stamped at
	// another time or for another text.
	for i := range token.Raw {
		changed := bytes.Clone(token.Raw)
		changed[i] ^= 0x40
		if at, err := offline.Verify(checkpoint(7), changed); err == nil && !at.Equal(token.At) {
			t.Fatalf("with byte %d changed it is stamped at %s", i, at)
		}
	}
}

func TestStampRefused(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "stamping")
	asked := a.serve(t)
	var earlier []byte
	a.answer = func(real []byte) (int, []byte) { earlier = real; return http.StatusOK, real }
	if _, err := asked.Ask(t.Context(), http.DefaultClient, checkpoint(7)); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]struct {
		status int
		body   []byte
	}{
		"an earlier answer":    {http.StatusOK, earlier},
		"an empty answer":      {http.StatusOK, nil},
		"a part of an answer":  {http.StatusOK, earlier[:len(earlier)/2]},
		"no DER":               {http.StatusOK, []byte("<html>sign in</html>")},
		"too large":            {http.StatusOK, make([]byte, stamp.MaxToken+1)},
		"an error":             {http.StatusServiceUnavailable, []byte("later")},
		"refused in the token": {http.StatusOK, []byte{0x30, 5, 0x30, 3, 2, 1, 2}},
	} {
		a.answer = func([]byte) (int, []byte) { return answer.status, answer.body }
		if token, err := asked.Ask(t.Context(), http.DefaultClient, checkpoint(7)); err == nil || !strings.Contains(err.Error(), asked.URL) {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
	if _, err := newAuthority(t, "serving").serve(t).Ask(t.Context(), http.DefaultClient, checkpoint(7)); err == nil {
		t.Error("a certificate that is for serving stamped")
	}
	if _, err := stamp.NewAuthority("http://tsa.example", []byte("no PEM")); err == nil {
		t.Error("roots that are none were taken")
	}
}

// FuzzVerify looks for tokens that hurt: no certificate of these roots exists, so
// that none may ever verify.
func FuzzVerify(f *testing.F) {
	none := &stamp.Authority{}
	f.Add([]byte{0x30, 5, 0x30, 3, 2, 1, 2})
	f.Add([]byte{0x30, 0x80, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x80, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, token []byte) {
		if at, err := none.Verify(checkpoint(1), token); err == nil {
			t.Errorf("verified, at %s", at)
		}
	})
}
