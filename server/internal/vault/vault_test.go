package vault

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"

	"github.com/assay-audit/assay/server/internal/assay"
)

var (
	host  = assay.HostID{1}
	other = assay.HostID{2}
	march = time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC)
)

// keep are the two places that keys may be kept in.
func keep(t *testing.T) map[string]Keys {
	t.Helper()
	folder, err := NewFolder(filepath.Join(t.TempDir(), "vault"))
	if err != nil {
		t.Fatal(err)
	}
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() {
		if err := bucket.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]Keys{"folder": folder, "bucket": NewBucket(bucket)}
}

// open is a server's view of the keys, at a clock that the test moves.
func open(t *testing.T, keys Keys, now *time.Time) *Vault {
	t.Helper()
	v, err := New(Config{Keys: keys, Master: bytes.Repeat([]byte{7}, MasterKeySize), Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustSeal(t *testing.T, v *Vault, h assay.HostID, at time.Time, payload string) []byte {
	t.Helper()
	sealed, err := v.Seal(t.Context(), h, at, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestErasedIsErased seals for two hosts and two months, deletes one key and
// sees just that month of that host gone, on another server too.
func TestErasedIsErased(t *testing.T) {
	t.Parallel()
	for name, keys := range keep(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := march.Add(time.Hour)
			a, b := open(t, keys, &now), open(t, keys, &now)
			gone := mustSeal(t, a, host, march, "march")
			april := mustSeal(t, b, host, now, "april")
			neighbour := mustSeal(t, b, other, march, "neighbour")
			if bytes.Contains(gone, []byte("march")) {
				t.Error("the payload rests in the clear")
			}
			if got, err := b.Open(t.Context(), host, gone); err != nil || string(got) != "march" {
				t.Fatalf("another server opens %q, %v", got, err)
			}
			if err := a.Erase(t.Context(), host, MonthOf(march)); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Open(t.Context(), host, gone); assay.KindOf(err) != assay.NotFound {
				t.Errorf("the erased payload: %v", err)
			}
			now = now.Add(cachedFor)
			if _, err := b.Open(t.Context(), host, gone); assay.KindOf(err) != assay.NotFound {
				t.Errorf("the erased payload, on another server a minute later: %v", err)
			}
			for want, kept := range map[string]struct {
				host   assay.HostID
				sealed []byte
			}{"april": {host, april}, "neighbour": {other, neighbour}} {
				if got, err := a.Open(t.Context(), kept.host, kept.sealed); err != nil || string(got) != want {
					t.Errorf("%s: %q, %v", want, got, err)
				}
			}
			if err := a.Erase(t.Context(), host, MonthOf(march)); err != nil {
				t.Errorf("erasing again: %v", err)
			}
			if err := a.Erase(t.Context(), host, MonthOf(now)); assay.KindOf(err) != assay.Invalid {
				t.Errorf("erasing the month that goes on: %v", err)
			}
		})
	}
}

// TestOneKeyForAll has many servers seal for one host at once: whatever any of
// them sealed, any other opens.
func TestOneKeyForAll(t *testing.T) {
	t.Parallel()
	for name, keys := range keep(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := march
			sealed := make([][]byte, 16)
			var wait sync.WaitGroup
			for i := range sealed {
				wait.Go(func() { sealed[i] = mustSeal(t, open(t, keys, &now), host, march, "x") })
			}
			wait.Wait()
			v := open(t, keys, &now)
			for i, s := range sealed {
				if got, err := v.Open(t.Context(), host, s); err != nil || string(got) != "x" {
					t.Errorf("what server %d sealed: %q, %v", i, got, err)
				}
			}
		})
	}
}

// TestAlteredIsRefused flips every byte of a sealed payload and of its key, and
// offers it as another host's.
func TestAlteredIsRefused(t *testing.T) {
	t.Parallel()
	now := march
	keys := keep(t)["folder"]
	v := open(t, keys, &now)
	sealed := mustSeal(t, v, host, march, "payload")
	if _, err := v.Open(t.Context(), other, sealed); err == nil {
		t.Error("it opens as another host's")
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		got, err := v.Open(t.Context(), host, altered)
		// Without its first byte it is no sealed payload, and is what it is.
		if err == nil && !(i == 0 && bytes.Equal(got, altered)) {
			t.Errorf("byte %d flipped: it opens as %q", i, got)
		}
	}
	path := keys.(Folder).path(keyID{host, MonthOf(march)}.name())
	wrapped, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range wrapped {
		altered := bytes.Clone(wrapped)
		altered[i] ^= 1
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, keys, &now).Open(t.Context(), host, sealed); assay.KindOf(err) != assay.Unavailable {
			t.Fatalf("byte %d of the key flipped: %v", i, err)
		}
	}
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, keys, &now).Seal(t.Context(), host, march, nil); assay.KindOf(err) != assay.Unavailable || errors.Is(err, errAbsent) {
		t.Errorf("sealing with a key that is cut short: %v", err)
	}
}

// TestPlainPassesThrough: payloads from before there was a vault.
func TestPlainPassesThrough(t *testing.T) {
	t.Parallel()
	now := march
	plain := append([]byte{0x28, 0xb5, 0x2f, 0xfd}, make([]byte, 100)...)
	got, err := open(t, keep(t)["bucket"], &now).Open(t.Context(), host, plain)
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("a zstd frame comes back as %x, %v", got, err)
	}
}

func FuzzOpen(f *testing.F) {
	now := march
	folder, err := NewFolder(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	v, err := New(Config{Keys: folder, Master: make([]byte, MasterKeySize), Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := v.Seal(f.Context(), host, march, []byte("payload"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{format})
	f.Fuzz(func(t *testing.T, stored []byte) {
		got, err := v.Open(t.Context(), host, stored)
		_, claimed := Sealed(stored)
		if err == nil && claimed && !bytes.Equal(stored, sealed) {
			t.Errorf("forged: %x opens as %x", stored, got)
		}
	})
}
