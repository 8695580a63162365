package stamp_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/stamptest"
)

func checkpoint(size int64) evidence.Checkpoint {
	return evidence.Checkpoint{Origin: "assay/test", Size: size, Root: evidence.HashLeaf([]byte("root"))}
}

// A checkpoint is stamped by an authority that knows nothing of us, and the
// token proves when, later and offline, to whoever has the authority's roots.
func TestStamp(t *testing.T) {
	t.Parallel()
	a := stamptest.New(t, stamptest.Stamping)
	asked := a.Serve(t)
	before := time.Now().Add(-2 * time.Second)
	token, err := asked.Ask(t.Context(), http.DefaultClient, checkpoint(7))
	if err != nil {
		t.Fatal(err)
	}
	if token.At.Before(before) || token.At.After(time.Now().Add(2*time.Second)) {
		t.Errorf("stamped at %s", token.At)
	}
	offline, err := stamp.NewAuthority("", a.Roots(t))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := offline.Verify(checkpoint(7), token.Raw); err != nil || !at.Equal(token.At) {
		t.Errorf("verified offline: %s, %v", at, err)
	}
	if _, err := offline.Verify(checkpoint(8), token.Raw); !errors.Is(err, stamp.ErrInvalid) {
		t.Errorf("of another checkpoint: %v", err)
	}
	stranger, err := stamp.NewAuthority("", stamptest.New(t, stamptest.Stamping).Roots(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Verify(checkpoint(7), token.Raw); !errors.Is(err, stamp.ErrInvalid) {
		t.Errorf("by the roots of another authority: %v", err)
	}
	if at, err := stamp.VerifyAlone(checkpoint(7), token.Raw); err != nil || !at.Equal(token.At) {
		t.Errorf("verified without roots: %s, %v", at, err)
	}
	if _, err := stamp.VerifyAlone(checkpoint(8), token.Raw); !errors.Is(err, stamp.ErrInvalid) {
		t.Errorf("of another checkpoint, without roots: %v", err)
	}
	// Every byte of what is signed counts: none of these may verify as stamped at
	// another time or for another text.
	for i := range token.Raw {
		changed := bytes.Clone(token.Raw)
		changed[i] ^= 0x40
		if at, err := offline.Verify(checkpoint(7), changed); err == nil && !at.Equal(token.At) {
			t.Fatalf("with byte %d changed it is stamped at %s", i, at)
		}
		if at, err := stamp.VerifyAlone(checkpoint(7), changed); err == nil && !at.Equal(token.At) {
			t.Fatalf("with byte %d changed it is, without roots, stamped at %s", i, at)
		}
	}
}

func TestStampRefused(t *testing.T) {
	t.Parallel()
	a := stamptest.New(t, stamptest.Stamping)
	asked := a.Serve(t)
	var earlier []byte
	a.Answer = func(real []byte) (int, []byte) { earlier = real; return http.StatusOK, real }
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
		a.Answer = func([]byte) (int, []byte) { return answer.status, answer.body }
		if token, err := asked.Ask(t.Context(), http.DefaultClient, checkpoint(7)); err == nil || !strings.Contains(err.Error(), asked.URL) {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
	if _, err := stamptest.New(t, stamptest.Serving).Serve(t).Ask(t.Context(), http.DefaultClient, checkpoint(7)); err == nil {
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
