package witness_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/witness"
)

// A log asks a witness over HTTP, learns where the witness is, and gets lines
// that verify; what the protocol's specification names is answered by its codes.
func TestAsk(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(30, "a")
	o := newObserver(t, l.key)
	server := httptest.NewServer(o.Handler(slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	peer, err := witness.NewPeer(server.URL + "/ " + o.Key())
	if err != nil || peer.Name() != "auditor.example" {
		t.Fatalf("%+v, %v", peer, err)
	}
	lines, err := peer.Ask(t.Context(), server.Client(), 0, nil, l.signed(11))
	if err != nil {
		t.Fatal(err)
	}
	verified(t, o, l.checkpoint(11), lines)
	var size *witness.SizeError
	if _, err := peer.Ask(t.Context(), server.Client(), 0, nil, l.signed(20)); !errors.As(err, &size) || size.Size != 11 {
		t.Fatalf("without knowing: %v", err)
	}
	if lines, err = peer.Ask(t.Context(), server.Client(), 11, l.proof(11, 20), l.signed(20)); err != nil {
		t.Fatal(err)
	}
	verified(t, o, l.checkpoint(20), lines)
	forked := l.fork(4)
	forked.add(16, "b")
	other := newLedger(t)
	other.add(30, "a")
	foreign := bytes.Replace(l.signed(21), []byte(origin), []byte("assay/else"), 1)
	for name, test := range map[string]struct {
		body []byte
		want int
	}{
		"no request":       {[]byte("x"), http.StatusBadRequest},
		"a huge request":   {bytes.Repeat([]byte("x"), 1<<20), http.StatusBadRequest},
		"another key":      {witness.FormatRequest(20, l.proof(20, 21), other.signed(21)), http.StatusForbidden},
		"another log":      {witness.FormatRequest(20, l.proof(20, 21), foreign), http.StatusNotFound},
		"a wrong proof":    {witness.FormatRequest(20, l.proof(19, 21), l.signed(21)), http.StatusUnprocessableEntity},
		"another history":  {witness.FormatRequest(20, nil, forked.signed(20)), http.StatusConflict},
		"an old above new": {witness.FormatRequest(20, nil, l.signed(11)), http.StatusBadRequest},
	} {
		res, err := server.Client().Post(server.URL+"/add-checkpoint", "", bytes.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || res.Body.Close() != nil {
			t.Fatal(err)
		}
		if res.StatusCode != test.want || strings.HasPrefix(string(text), "\u2014") {
			t.Errorf("%s: %s %s", name, res.Status, text)
		}
	}
	// A fork is told to the log as what it is, not as a size to begin from.
	if _, err := peer.Ask(t.Context(), server.Client(), 20, nil, forked.signed(20)); err == nil || errors.As(err, &size) || !strings.Contains(err.Error(), "FORK") {
		t.Errorf("a fork: %v", err)
	}
}

// What a witness answers is bounded and believed only where it verifies.
func TestPeerIsNotBelieved(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(8, "a")
	o := newObserver(t, l.key)
	var status int
	var kind, body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client is told what it reads
	}))
	t.Cleanup(server.Close)
	peer, err := witness.NewPeer(server.URL + " " + o.Key())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		status     int
		kind, body string
		want       string
	}{
		{http.StatusOK, "", strings.Repeat("x", 1<<20), "too large"},
		{http.StatusConflict, "text/x.tlog.size", "many", "says that it has signed"},
		{http.StatusConflict, "text/x.tlog.size", "-1", "says that it has signed"},
		{http.StatusConflict, "text/plain", "7", "409"},
		{http.StatusInternalServerError, "", "\x1b[31mred\nlines", "500"},
	} {
		status, kind, body = test.status, test.kind, test.body
		var size *witness.SizeError
		_, err := peer.Ask(t.Context(), server.Client(), 0, nil, l.signed(8))
		if err == nil || errors.As(err, &size) || !strings.Contains(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%d %q: %v", test.status, test.body[:min(20, len(test.body))], err)
		}
	}
	line, err := o.Add(0, nil, l.signed(8))
	if err != nil {
		t.Fatal(err)
	}
	strange := newObserver(t, l.key)
	foreign, err := strange.Add(0, nil, l.signed(8))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := peer.Verify(l.checkpoint(8), foreign+line); err != nil {
		t.Errorf("its line after a stranger's of the same name: %v", err)
	}
	for name, lines := range map[string]string{
		"a stranger's": foreign, "nothing": "", "a cut one": line[:len(line)/2], "one without its newline": strings.TrimSpace(line), "too many": strings.Repeat(line, 1000),
	} {
		if _, _, err := peer.Verify(l.checkpoint(8), lines); err == nil {
			t.Errorf("%s was believed", name)
		}
	}
	if _, _, err := peer.Verify(l.checkpoint(7), line); err == nil {
		t.Error("a cosignature of another checkpoint was believed")
	}
}

func TestNewPeer(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	o := newObserver(t, l.key)
	if p, err := witness.NewPeer(o.Key()); err != nil || p.URL != "" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, text := range []string{"", "auditor.example", "https://w.example", "ftp://w.example " + o.Key(), "https://w.example " + l.key, "https://w.example " + o.Key() + " more"} {
		if _, err := witness.NewPeer(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	secret, public, err := witness.NewKey("auditor.example")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := witness.ReadKey(path)
	if err != nil || signer.Verifier().String() != public {
		t.Fatalf("%v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := witness.ReadKey(path); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a key that others may read: %v", err)
	}
	parts := strings.SplitN(secret, "+", 5)
	for _, bad := range []string{
		"", "PRIVATE+KEY+", secret[12:], strings.Replace(secret, "auditor", "auditon", 1), secret[:len(secret)-4],
		strings.Join([]string{parts[0], parts[1], parts[2], "00000000", parts[4]}, "+"),
	} {
		if _, err := witness.ParseKey(bad); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
	for _, name := range []string{"", "two words", "a+b"} {
		if _, _, err := witness.NewKey(name); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
}

// FuzzRequest looks for requests that hurt, and for ones with two readings.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("old 0\n\nassay/test\n1\nAAAA\n\n"))
	f.Add(witness.FormatRequest(7, []evidence.Hash{{1}, {2}}, []byte("note")))
	f.Add([]byte("old 18446744073709551616\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		old, proof, signed, err := witness.ParseRequest(body)
		if err != nil {
			if !errors.Is(err, evidence.ErrMalformed) {
				t.Errorf("refused as %v", err)
			}
			return
		}
		again := witness.FormatRequest(old, proof, signed)
		if !bytes.Equal(again, body) {
			t.Errorf("%q reads as %q", body, again)
		}
		old2, proof2, signed2, err := witness.ParseRequest(again)
		if err != nil || old2 != old || !reflect.DeepEqual(proof2, proof) || !bytes.Equal(signed2, signed) {
			t.Error(fmt.Sprint("read again: ", err))
		}
	})
}
