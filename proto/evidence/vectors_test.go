package evidence_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

var update = flag.Bool("update", false, "rewrite testdata/vectors.json from the code")

// vectors is what another implementation needs to check itself: inputs in
// their parts, canonical bytes in hex, hashes in hex.
type vectors struct {
	Header      vectorBytes    `json:"header"`
	Opening     vectorBytes    `json:"opening"`
	BatchLeaf   vectorBytes    `json:"batch_leaf"`
	Leaf        vectorBytes    `json:"leaf"`
	Certificate vectorBytes    `json:"certificate_leaf"`
	Fork        vectorBytes    `json:"fork_leaf"`
	Seed        string         `json:"seed"`
	Events      []vectorEvent  `json:"events"`
	Roots       []string       `json:"commitment_roots"` // over the first 0, 1, 2 ... events
	Proofs      []vectorProof  `json:"commitment_proofs"`
	Checkpoint  vectorNote     `json:"checkpoint"`
	Fields      map[string]any `json:"fields"`
}

type vectorBytes struct {
	Canonical string `json:"canonical"`
	Hash      string `json:"hash"`
}

type vectorEvent struct {
	Event      string `json:"event"`
	Salt       string `json:"salt"`
	Commitment string `json:"commitment"`
}

type vectorProof struct {
	Count int      `json:"count"`
	Index int      `json:"index"`
	Path  []string `json:"path"`
}

type vectorNote struct {
	SignerKey   string `json:"signer_key"`
	VerifierKey string `json:"verifier_key"`
	Note        string `json:"note"`
}

func hash(b byte) (h evidence.Hash) {
	for i := range h {
		h[i] = b
	}
	return h
}

func sampleHeader() evidence.Header {
	return evidence.Header{
		Kind: evidence.Bulk, Stream: evidence.StreamID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		Epoch: 2, Number: 77, FirstSequence: 12_345, EventCount: 3,
		ObservedFrom: 17_637_000_000_000_000, ObservedTo: 17_637_000_000_000_042,
		Previous: hash(0xaa), PayloadSHA256: hash(0xbb), PayloadSize: 1000, RawSize: 5000, Commitments: hash(0xcc),
	}
}

func sampleOpening() evidence.Opening {
	return evidence.Opening{
		Kind: evidence.Control, Stream: evidence.StreamID{0xff, 15: 1}, Epoch: 3, Reason: "spool_lost",
		GrantedAt: 17_637_000_000_000_000, Predecessor: hash(0x11), PredecessorNumber: 9, FirstSequence: 100,
		BootID: "6ec9cf3e-9f0a-4a4e-8f0b-3f3f2e3e0c55", VMGenerationID: "01020304-0506-0708-090a-0b0c0d0e0f10", TPMResetCount: 7,
	}
}

func sampleBatchLeaf() evidence.BatchLeaf {
	header := sampleHeader()
	return evidence.BatchLeaf{
		Agent: [16]byte{0xa0, 15: 0x0a}, Stream: header.Stream, Epoch: header.Epoch, Number: header.Number,
		Header: header.Hash(), HeadSignature: hash(0xdd),
	}
}

func sampleCertificate() evidence.CertificateRecord {
	return evidence.CertificateRecord{
		Action: evidence.CertificateIssued, Agent: evidence.ID{0xa0, 15: 0x0a}, Host: evidence.ID{0xb0, 15: 0x0b},
		Serial: "0102030405060708090a0b0c0d0e0f10", SHA256: hash(0x22), KeyKind: "tpm",
		NotBefore: 17_637_000_000_000_000, NotAfter: 17_643_048_000_000_000,
	}
}

func sampleFork() evidence.ForkRecord {
	header := sampleHeader()
	return evidence.ForkRecord{
		Agent: evidence.ID{0xa0, 15: 0x0a}, Stream: evidence.ID(header.Stream), Epoch: header.Epoch, Number: header.Number,
		Header: header.Hash(), Acknowledged: hash(0x33), AcknowledgedNumber: 77, Reason: "same number, another hash",
	}
}

// The key is published with the vectors: it signs nothing else.
const vectorSigner = "PRIVATE+KEY+assay/vectors+4809edbc+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

func build(t *testing.T) vectors {
	t.Helper()
	header, opening, batchLeaf := sampleHeader(), sampleOpening(), sampleBatchLeaf()
	leaf := evidence.Leaf{Kind: evidence.LeafBatch, RecordedAt: 17_637_000_000_000_100, Body: batchLeaf.Canonical()}
	v := vectors{
		Header:      vectorBytes{hexed(header.Canonical()), header.Hash().String()},
		Opening:     vectorBytes{hexed(opening.Canonical()), opening.Hash().String()},
		BatchLeaf:   vectorBytes{Canonical: hexed(batchLeaf.Canonical())},
		Leaf:        vectorBytes{hexed(leaf.Canonical()), leaf.Hash().String()},
		Certificate: recordLeaf(t, evidence.LeafCertificate, sampleCertificate()),
		Fork:        recordLeaf(t, evidence.LeafFork, sampleFork()),
		Fields: map[string]any{
			"header": header, "opening": opening, "batch_leaf": batchLeaf, "certificate": sampleCertificate(), "fork": sampleFork(),
		},
	}
	seed := bytes.Repeat([]byte{0x5e}, evidence.SeedSize)
	v.Seed = hexed(seed)
	var events [][]byte
	for i := range 7 {
		events = append(events, bytes.Repeat([]byte{byte(i)}, i))
	}
	commitments := evidence.Commitments(seed, events)
	for i, event := range events {
		salt := evidence.Salt(seed, uint32(i))
		v.Events = append(v.Events, vectorEvent{hexed(event), hexed(salt[:]), commitments[i].String()})
	}
	for count := range len(events) + 1 {
		v.Roots = append(v.Roots, evidence.CommitmentRoot(commitments[:count]).String())
		for index := range count {
			path, err := evidence.ProveCommitment(commitments[:count], index)
			if err != nil {
				t.Fatal(err)
			}
			proof := vectorProof{Count: count, Index: index, Path: []string{}}
			for _, h := range path {
				proof.Path = append(proof.Path, h.String())
			}
			v.Proofs = append(v.Proofs, proof)
		}
	}
	v.Checkpoint = checkpointVector(t)
	return v
}

func checkpointVector(t *testing.T) vectorNote {
	t.Helper()
	signer, err := note.NewSigner(vectorSigner)
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	verifier, err := note.NewEd25519VerifierKey("assay/vectors", publicOf(key))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: "assay/vectors", Size: 42, Root: hash(0x44)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return vectorNote{SignerKey: vectorSigner, VerifierKey: verifier, Note: string(signed)}
}

func recordLeaf(t *testing.T, kind evidence.LeafKind, record any) vectorBytes {
	t.Helper()
	body, err := evidence.Encode(record)
	if err != nil {
		t.Fatal(err)
	}
	leaf := evidence.Leaf{Kind: kind, RecordedAt: 17_637_000_000_000_200, Body: body}
	return vectorBytes{hexed(leaf.Canonical()), leaf.Hash().String()}
}

func hexed(b []byte) string { return hex.EncodeToString(b) }

// The vectors are a promise to other implementations: a change to any of them
// is a new format.
func TestVectors(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "vectors.json")
	got, err := json.MarshalIndent(build(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("vectors differ from the published ones (-published +computed):\n%s", diff)
	}
}
