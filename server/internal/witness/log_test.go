package witness_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/witness"
)

const origin = "assay/test"

// ledger is a log in memory, with whatever leaves a test wants it to have.
type ledger struct {
	t      *testing.T
	signer note.Signer
	key    string // verifier key
	hashes []tlog.Hash
	size   int64
	// shown is the note that /checkpoint answers, "" for that of the whole tree.
	shown []byte
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	return newNamedLedger(t, origin)
}

func newNamedLedger(t *testing.T, name string) *ledger {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &ledger{t: t, signer: signer, key: public}
}

// fork returns a ledger with the same key and the first n leaves.
func (l *ledger) fork(n int64) *ledger {
	other := &ledger{t: l.t, signer: l.signer, key: l.key}
	other.hashes = append(other.hashes, l.hashes[:tlog.StoredHashCount(n)]...)
	other.size = n
	return other
}

// add appends n leaves that no other call with another name appends.
func (l *ledger) add(n int, name string) {
	l.t.Helper()
	for range n {
		stored, err := tlog.StoredHashes(l.size, fmt.Appendf(nil, "%s %d", name, l.size), tlog.HashReaderFunc(l.read))
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, stored...)
		l.size++
	}
}

func (l *ledger) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("hash %d of %d", index, len(l.hashes))
		}
		out[i] = l.hashes[index]
	}
	return out, nil
}

func (l *ledger) checkpoint(size int64) evidence.Checkpoint {
	l.t.Helper()
	root, err := tlog.TreeHash(size, tlog.HashReaderFunc(l.read))
	if err != nil {
		l.t.Fatal(err)
	}
	return evidence.Checkpoint{Origin: l.signer.Name(), Size: size, Root: evidence.Hash(root)}
}

// signed is the checkpoint of size leaves as a note.
func (l *ledger) signed(size int64) []byte {
	l.t.Helper()
	signed, err := evidence.SignCheckpoint(l.checkpoint(size), l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return signed
}

func (l *ledger) proof(from, to int64) (proof []evidence.Hash) {
	l.t.Helper()
	if from == 0 || from == to {
		return nil
	}
	path, err := tlog.ProveTree(to, from, tlog.HashReaderFunc(l.read))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, hash := range path {
		proof = append(proof, evidence.Hash(hash))
	}
	return proof
}

// ReadEndpoint and ReadTiles make it a log that is watched.
func (l *ledger) ReadEndpoint(context.Context, string) ([]byte, error) {
	if l.shown != nil {
		return l.shown, nil
	}
	return l.signed(l.size), nil
}

func (l *ledger) ReadTiles(_ context.Context, tiles []tlog.Tile) (list [][]byte, err error) {
	for _, tile := range tiles {
		if last := (tile.N<<8 + int64(tile.W)) << (8 * tile.L); last > l.size {
			return nil, &witness.StatusError{Path: torchwood.TilePath(tile), Status: "404 Not Found", Code: http.StatusNotFound}
		}
		content, err := tlog.ReadTileData(tile, tlog.HashReaderFunc(l.read))
		if err != nil {
			return nil, err
		}
		list = append(list, content)
	}
	return list, nil
}

func (l *ledger) SaveTiles([]tlog.Tile, [][]byte) {}

// observer is a witness with its files.
type observer struct {
	*witness.Witness
	state  *witness.State
	path   string
	secret string
	now    time.Time
}

func newObserver(t *testing.T, keys ...string) *observer {
	t.Helper()
	secret, _, err := witness.NewKey("auditor.example")
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{path: filepath.Join(t.TempDir(), "state.json"), secret: secret, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	o.open(t, keys...)
	return o
}

// open begins as a process that starts does.
func (o *observer) open(t *testing.T, keys ...string) {
	t.Helper()
	signer, err := witness.ParseKey(o.secret)
	if err != nil {
		t.Fatal(err)
	}
	if o.state, err = witness.OpenState(o.path); err != nil {
		t.Fatal(err)
	}
	if o.Witness, err = witness.New(signer, o.state, func() time.Time { return o.now }, keys...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, o.state) })
}

// closed closes what may be closed already.
func closed(t *testing.T, c io.Closer) {
	t.Helper()
	_ = c.Close() // a second time is refused
}

func noChanges(context.Context) ([]string, error) { return nil, nil }
