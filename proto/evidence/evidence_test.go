package evidence_test

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

func publicOf(seed []byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	header := sampleHeader()
	if got, err := evidence.ParseHeader(header.Canonical()); err != nil || got != header {
		t.Errorf("header: %v\n%s", err, cmp.Diff(header, got))
	}
	if n := len(header.Canonical()); n != evidence.HeaderSize {
		t.Errorf("header of %d bytes, want %d", n, evidence.HeaderSize)
	}
	opening := sampleOpening()
	if got, err := evidence.ParseOpening(opening.Canonical()); err != nil || got != opening {
		t.Errorf("opening: %v\n%s", err, cmp.Diff(opening, got))
	}
	batchLeaf := sampleBatchLeaf()
	if got, err := evidence.ParseBatchLeaf(batchLeaf.Canonical()); err != nil || got != batchLeaf {
		t.Errorf("batch leaf: %v\n%s", err, cmp.Diff(batchLeaf, got))
	}
	leaf := evidence.Leaf{Kind: evidence.LeafRun, RecordedAt: -5, Body: []byte("{}")}
	if got, err := evidence.ParseLeaf(leaf.Canonical()); err != nil || cmp.Diff(leaf, got) != "" {
		t.Errorf("leaf: %v\n%s", err, cmp.Diff(leaf, got))
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	want := sampleCertificate()
	body, err := evidence.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	var got evidence.CertificateRecord
	if err := evidence.Decode(body, &got); err != nil || got != want {
		t.Errorf("certificate record: %v\n%s", err, cmp.Diff(want, got))
	}
	for _, bad := range []string{string(body) + "{}", `{"action":"issued","more":1}`, `{"sha256":"zz"}`, `{"agent":"1"}`, ``, `[]`} {
		if err := evidence.Decode([]byte(bad), &got); !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("Decode(%q) = %v, want malformed", bad, err)
		}
	}
}

// No prefix and no extension of canonical bytes is canonical.
func TestParsersRefuseOtherLengths(t *testing.T) {
	t.Parallel()
	header, opening, batchLeaf := sampleHeader(), sampleOpening(), sampleBatchLeaf()
	leaf := evidence.Leaf{Kind: evidence.LeafBatch, Body: batchLeaf.Canonical()}
	for name, c := range map[string]struct {
		canonical []byte
		parse     func([]byte) error
	}{
		"header":     {header.Canonical(), func(b []byte) error { _, err := evidence.ParseHeader(b); return err }},
		"opening":    {opening.Canonical(), func(b []byte) error { _, err := evidence.ParseOpening(b); return err }},
		"batch leaf": {batchLeaf.Canonical(), func(b []byte) error { _, err := evidence.ParseBatchLeaf(b); return err }},
		"leaf":       {leaf.Canonical(), func(b []byte) error { _, err := evidence.ParseLeaf(b); return err }},
	} {
		for n := range c.canonical {
			if err := c.parse(c.canonical[:n]); !errors.Is(err, evidence.ErrMalformed) {
				t.Errorf("%s: first %d bytes: %v, want malformed", name, n, err)
			}
		}
		if err := c.parse(append(c.canonical, 0)); !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("%s with a byte more: %v, want malformed", name, err)
		}
	}
}

func TestParseHeaderRefusesImpossible(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*evidence.Header){
		"kind":   func(h *evidence.Header) { h.Kind = 9 },
		"epoch":  func(h *evidence.Header) { h.Epoch = 0 },
		"number": func(h *evidence.Header) { h.Number = 0 },
		"count":  func(h *evidence.Header) { h.EventCount = 0 },
		"times":  func(h *evidence.Header) { h.ObservedTo = h.ObservedFrom - 1 },
	} {
		h := sampleHeader()
		change(&h)
		if _, err := evidence.ParseHeader(h.Canonical()); !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("%s: %v, want malformed", name, err)
		}
	}
	h := sampleHeader()
	newer := h.Canonical()
	newer[1]++
	if _, err := evidence.ParseHeader(newer); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("newer format: %v, want malformed", err)
	}
}

// Every bit of a header is bound by its hash.
func TestHashBindsEveryBit(t *testing.T) {
	t.Parallel()
	header := sampleHeader()
	canonical := header.Canonical()
	seen := map[evidence.Hash]int{evidence.HashHeader(canonical): -1}
	for bit := range 8 * len(canonical) {
		canonical[bit/8] ^= 1 << (bit % 8)
		h := evidence.HashHeader(canonical)
		canonical[bit/8] ^= 1 << (bit % 8)
		if other, ok := seen[h]; ok {
			t.Fatalf("bits %d and %d give one hash", bit, other)
		}
		seen[h] = bit
	}
	if evidence.HashHeader(canonical) == evidence.HashOpening(canonical) {
		t.Error("one hash for a header and an opening")
	}
}

func TestCommitmentProofs(t *testing.T) {
	t.Parallel()
	seed := make([]byte, evidence.SeedSize)
	for count := 1; count <= 20; count++ {
		events := make([][]byte, count)
		for i := range events {
			events[i] = []byte{byte(i)}
		}
		commitments := evidence.Commitments(seed, events)
		root := evidence.CommitmentRoot(commitments)
		for i := range commitments {
			path, err := evidence.ProveCommitment(commitments, i)
			if err != nil {
				t.Fatal(err)
			}
			if err := evidence.CheckCommitment(root, count, i, commitments[i], path); err != nil {
				t.Errorf("%d of %d: %v", i, count, err)
			}
			other := evidence.Commitment(evidence.Salt(seed, uint32(i)), []byte("another event"))
			if err := evidence.CheckCommitment(root, count, i, other, path); err == nil {
				t.Errorf("%d of %d: another event passes", i, count)
			}
			if count > 1 && evidence.CheckCommitment(root, count, (i+1)%count, commitments[i], path) == nil {
				t.Errorf("%d of %d: passes at another index", i, count)
			}
		}
	}
	if _, err := evidence.ProveCommitment(nil, 0); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("proof out of nothing: %v", err)
	}
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	signer, err := note.NewSigner(vectorSigner)
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewEd25519VerifierKey("assay/vectors", publicOf([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f")))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	want := evidence.Checkpoint{Origin: "assay/vectors", Size: 7, Root: hash(9)}
	signed, err := evidence.SignCheckpoint(want, signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := evidence.OpenCheckpoint(signed, verifier); err != nil || got != want {
		t.Errorf("OpenCheckpoint = %+v, %v", got, err)
	}
	for i := range signed {
		signed[i] ^= 1
		if got, err := evidence.OpenCheckpoint(signed, verifier); err == nil {
			t.Errorf("byte %d flipped, still opens: %+v", i, got)
		}
		signed[i] ^= 1
	}
	for _, text := range []string{"assay/vectors\n07\nAA==\n", "assay/vectors\n-1\n", "other\n1\n" + want.Root.String() + "\n"} {
		bad, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.OpenCheckpoint(bad, verifier); !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("%q: %v, want malformed", text, err)
		}
	}
	if _, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: "assay/other", Size: 1}, signer); err == nil {
		t.Error("signed under another origin")
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		time.Date(2026, 11, 23, 1, 2, 3, 456_789_100, time.UTC), time.Unix(0, 0).UTC(),
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_900, time.UTC), time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got := evidence.Time(evidence.Ticks(at)); !got.Equal(at) {
			t.Errorf("%s became %s", at, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	header, opening, batchLeaf := sampleHeader(), sampleOpening(), sampleBatchLeaf()
	leaf := evidence.Leaf{Kind: evidence.LeafBatch, Body: batchLeaf.Canonical()}
	for _, seed := range [][]byte{header.Canonical(), opening.Canonical(), batchLeaf.Canonical(), leaf.Canonical(), nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// What parses is canonical: encoding it again gives the same bytes.
		if h, err := evidence.ParseHeader(b); err == nil && string(h.Canonical()) != string(b) {
			t.Errorf("header is not canonical: %x", b)
		}
		if o, err := evidence.ParseOpening(b); err == nil && string(o.Canonical()) != string(b) {
			t.Errorf("opening is not canonical: %x", b)
		}
		if l, err := evidence.ParseLeaf(b); err == nil && string(l.Canonical()) != string(b) {
			t.Errorf("leaf is not canonical: %x", b)
		}
	})
}
