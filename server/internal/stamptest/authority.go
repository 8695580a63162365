// Package stamptest runs a time-stamping authority for tests. Only tests import it.
package stamptest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/assay-audit/assay/server/internal/stamp"
)

// Authority is OpenSSL's time-stamping authority behind HTTP: nothing of ours
// makes the tokens that ours must read.
type Authority struct {
	dir string
	mu  sync.Mutex
	// Answer replaces what is answered, if it is set.
	Answer func(real []byte) (status int, answer []byte)
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

// Usages of an authority's certificate.
const (
	Stamping = "stamping"
	Serving  = "serving"
)

// New makes an authority whose certificate is for usage.
func New(t *testing.T, usage string) *Authority {
	t.Helper()
	a := &Authority{dir: t.TempDir()}
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

// Roots are its root certificates in PEM.
func (a *Authority) Roots(t *testing.T) []byte {
	t.Helper()
	roots, err := os.ReadFile(filepath.Join(a.dir, "root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

// Serve returns it as the server asks it.
func (a *Authority) Serve(t *testing.T) *stamp.Authority {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	asked, err := stamp.NewAuthority(server.URL, a.Roots(t))
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

// ServeHTTP implements http.Handler.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := a.reply(r.Context(), query)
	status := http.StatusOK
	if a.Answer != nil {
		status, reply = a.Answer(reply)
	} else if err != nil {
		status, reply = http.StatusInternalServerError, []byte(err.Error())
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(status)
	_, _ = w.Write(reply) // the test sees what is missing
}

func (a *Authority) reply(ctx context.Context, query []byte) ([]byte, error) {
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
	a.mu.Lock() // its file of serial numbers has room for one who asks
	defer a.mu.Unlock()
	cmd := exec.CommandContext(ctx, "openssl", "ts", "-reply", "-config", "conf", "-queryfile", file.Name(), "-out", file.Name()+".reply")
	cmd.Dir = a.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	return os.ReadFile(file.Name() + ".reply")
}
