package witness_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/witness"
)

// verified checks a line by the witness's public key.
func verified(t *testing.T, o *observer, c evidence.Checkpoint, line string) {
	t.Helper()
	peer, err := witness.NewPeer(o.Key())
	if err != nil {
		t.Fatal(err)
	}
	found, at, err := peer.Verify(c, line)
	if err != nil || found != line || !at.Equal(o.now) && at.Before(o.now.AddDate(-1, 0, 0)) {
		t.Errorf("%q verifies as %q at %s, %v", line, found, at, err)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(20, "a")
	o := newObserver(t, l.key)
	line, err := o.Add(0, nil, l.signed(5))
	if err != nil {
		t.Fatal(err)
	}
	verified(t, o, l.checkpoint(5), line)
	if line, err = o.Add(5, l.proof(5, 13), l.signed(13)); err != nil {
		t.Fatal(err)
	}
	verified(t, o, l.checkpoint(13), line)
	// The same again is signed again.
	if _, err := o.Add(13, nil, l.signed(13)); err != nil {
		t.Error(err)
	}
	other := newLedger(t)
	other.add(20, "b")
	unknown, err := note.Sign(&note.Note{Text: strings.Replace(textOf(l, 14), origin, "assay/else", 1)}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	var size *witness.SizeError
	for name, test := range map[string]struct {
		old    int64
		proof  []evidence.Hash
		signed []byte
		want   error
	}{
		"another key":          {13, l.proof(13, 14), other.signed(14), witness.ErrSignature},
		"another log":          {13, l.proof(13, 14), unknown, witness.ErrUnknownLog},
		"no proof":             {13, nil, l.signed(14), witness.ErrProof},
		"another's proof":      {13, other.proof(13, 14), l.signed(14), witness.ErrProof},
		"a proof of too much":  {13, append(l.proof(13, 14), evidence.Hash{}), l.signed(14), witness.ErrProof},
		"smaller than the old": {13, nil, l.signed(5), evidence.ErrMalformed},
		"no note":              {13, nil, []byte("x"), witness.ErrUnknownLog},
		"a huge note":          {13, nil, bytes.Repeat([]byte("x"), 1<<20), evidence.ErrMalformed},
	} {
		if _, err := o.Add(test.old, test.proof, test.signed); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.Add(5, l.proof(5, 14), l.signed(14)); !errors.As(err, &size) || size.Size != 13 {
		t.Errorf("from an old size: %v", err)
	}
	if known := o.Known(origin); known.Size != 13 {
		t.Errorf("remembered are %d leaves", known.Size)
	}
}

func textOf(l *ledger, size int64) string {
	c := l.checkpoint(size)
	return c.Text()
}

// What was signed is remembered by the next process, and none runs beside it.
func TestStateLasts(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(9, "a")
	o := newObserver(t, l.key)
	if _, err := o.Add(0, nil, l.signed(6)); err != nil {
		t.Fatal(err)
	}
	if _, err := witness.OpenState(o.path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two at once: %v", err)
	}
	if err := o.state.Close(); err != nil {
		t.Fatal(err)
	}
	o.open(t, l.key)
	forked := l.fork(3)
	forked.add(6, "b")
	if _, err := o.Add(0, nil, forked.signed(9)); err == nil {
		t.Fatal("another history was signed after a restart")
	}
	if _, err := o.Add(6, forked.proof(6, 9), forked.signed(9)); !errors.Is(err, witness.ErrProof) {
		t.Errorf("another history: %v", err)
	}
	if err := o.state.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := witness.OpenState(o.path); err == nil || !strings.Contains(err.Error(), "do not delete it") {
		t.Errorf("a damaged state: %v", err)
	}
}

// What cannot be remembered is not signed.
func TestSignedOnlyIfKept(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(9, "a")
	o := newObserver(t, l.key)
	if err := os.RemoveAll(filepath.Dir(o.path)); err != nil {
		t.Fatal(err)
	}
	if line, err := o.Add(0, nil, l.signed(6)); err == nil || line != "" {
		t.Errorf("signed %q, %v", line, err)
	}
	if o.Known(origin).Size != 0 {
		t.Error("remembered what is on no disk")
	}
}

// Two checkpoints of one size are proof, and the proof is kept.
func TestForkIsKept(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(6, "a")
	o := newObserver(t, l.key)
	if _, err := o.Add(0, nil, l.signed(6)); err != nil {
		t.Fatal(err)
	}
	forked := l.fork(5)
	forked.add(1, "b")
	_, err := o.Add(6, nil, forked.signed(6))
	forkShown(t, err, l, forked.signed(6))
}

// forkShown checks that both signed notes are in a file that anyone can check.
func forkShown(t *testing.T, err error, l *ledger, shown []byte) {
	t.Helper()
	var fork *witness.ForkError
	if !errors.As(err, &fork) {
		t.Fatalf("not seen as a fork: %v", err)
	}
	kept, err := os.ReadFile(fork.File)
	if err != nil || !bytes.Contains(kept, []byte(fork.KnownNote)) || !bytes.Contains(kept, shown) {
		t.Errorf("kept is %s, %v", kept, err)
	}
	verifier, err := note.NewVerifier(l.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fork.KnownNote, fork.ShownNote} {
		if _, err := evidence.OpenCheckpoint([]byte(text), verifier); err != nil {
			t.Errorf("a note of the proof: %v", err)
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(700, "a")
	o := newObserver(t, l.key)
	for _, grow := range []int{0, 0, 1, 400, 3} {
		before := o.Known(origin).Size
		l.add(grow, "a")
		seen, err := o.Watch(t.Context(), l, origin, noChanges)
		if err != nil || seen.Size != l.size || seen.Extends != before {
			t.Fatalf("%+v, %v", seen, err)
		}
		verified(t, o, l.checkpoint(l.size), seen.Line)
	}
	// A replica that is behind shows an older checkpoint: no fork, and nothing to sign.
	l.shown = l.signed(900)
	if _, err := o.Watch(t.Context(), l, origin, noChanges); !errors.Is(err, witness.ErrOlder) {
		t.Errorf("an older checkpoint: %v", err)
	}
	if _, err := o.Watch(t.Context(), l, "assay/else", noChanges); !errors.Is(err, witness.ErrUnknownLog) {
		t.Errorf("another log: %v", err)
	}
}

// A log whose history is rewritten is found out at the next look, whatever its
// new length.
func TestWatchFindsRewrites(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]int{"longer": 500, "equally long": 300, "shorter": 100} {
		l := newLedger(t)
		l.add(600, "a")
		o := newObserver(t, l.key)
		if _, err := o.Watch(t.Context(), l, origin, noChanges); err != nil {
			t.Fatal(err)
		}
		forked := l.fork(300)
		forked.add(length, "b")
		t.Run(name, func(t *testing.T) {
			_, err := o.Watch(t.Context(), forked, origin, noChanges)
			forkShown(t, err, l, forked.signed(forked.size))
			if o.Known(origin).Size != 600 {
				t.Error("the fork was taken over")
			}
		})
	}
}

// A log whose tiles are not its tree's is not believed, but that alone is no
// proof of two histories: who carries the tiles may have changed them.
func TestWatchWrongTiles(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(600, "a")
	o := newObserver(t, l.key)
	if _, err := o.Watch(t.Context(), l, origin, noChanges); err != nil {
		t.Fatal(err)
	}
	l.add(10, "a")
	wrong := l.fork(0)
	wrong.add(610, "b")
	wrong.shown = l.signed(610)
	var fork *witness.ForkError
	if _, err := o.Watch(t.Context(), wrong, origin, noChanges); err == nil || errors.As(err, &fork) {
		t.Errorf("with tiles of another tree: %v", err)
	}
}

// A key that the trusted one signed is followed and remembered; any other is not.
func TestFollowsKey(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.add(5, "a")
	o := newObserver(t, l.key)
	if _, err := o.Watch(t.Context(), l, origin, noChanges); err != nil {
		t.Fatal(err)
	}
	trusted, first := l.signer, l.key
	secret, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	if l.signer, err = note.NewSigner(secret); err != nil {
		t.Fatal(err)
	}
	l.key = public
	l.add(3, "a")
	if _, err := o.Watch(t.Context(), l, origin, noChanges); !errors.Is(err, witness.ErrSignature) {
		t.Errorf("a key that nobody signed: %v", err)
	}
	rotation, err := evidence.SignRotation(evidence.Rotation{Previous: first, Key: public, At: evidence.Ticks(o.now)}, trusted, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	changes := func(context.Context) ([]string, error) { return []string{"", "no note", string(rotation)}, nil }
	seen, err := o.Watch(t.Context(), l, origin, changes)
	if err != nil || seen.Size != 8 {
		t.Fatalf("%+v, %v", seen, err)
	}
	if err := o.state.Close(); err != nil {
		t.Fatal(err)
	}
	o.open(t, first) // whoever starts it still names the first key
	if _, err := o.Watch(t.Context(), l, origin, noChanges); err != nil || o.LogKey(origin) != public {
		t.Errorf("after a restart it trusts %s, %v", o.LogKey(origin), err)
	}
	var logs map[string]witness.Known
	text, err := os.ReadFile(o.path)
	if err != nil || json.Unmarshal(text, &logs) != nil || logs[origin].Key != public {
		t.Errorf("the state is %s, %v", text, err)
	}
}
