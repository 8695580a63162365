// Package evidencetest makes evidence for tests: agents with real certificates
// and batches that an agent might have sent. Only tests import it.
package evidencetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Authority makes a certificate authority in a folder of the test's.
func Authority(t testing.TB, now func() time.Time) *ca.Authority {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if err := ca.Create(dir, ca.CreateConfig{Origin: "assay/test", Now: now}); err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Load(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// Agent is an enrolled agent with its key.
type Agent struct {
	assay.Agent
	Key         *ecdsa.PrivateKey
	Certificate assay.Certificate
}

// NewKey makes an agent's key.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Token makes an enrolment token and returns its secret.
func Token(t testing.TB, store *postgres.Store, now time.Time, uses int, rights ...assay.Right) string {
	t.Helper()
	secret, hash := assay.NewTokenSecret()
	token := assay.Token{Name: "test", SecretHash: hash, Rights: append([]assay.Right{assay.RightEnrol}, rights...), Tags: []string{"lab"},
		UsesLeft: uses, CreatedAt: now, CreatedBy: "test", ExpiresAt: now.Add(24 * time.Hour)}
	_, _ = rand.Read(token.ID[:])
	if err := store.CreateToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	return secret
}

// Enrol enrols a new agent.
func Enrol(t testing.TB, store *postgres.Store, authority *ca.Authority, now time.Time, rights ...assay.Right) *Agent {
	t.Helper()
	key := NewKey(t)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	secretHash, err := assay.HashTokenSecret(Token(t, store, now, 1, rights...))
	if err != nil {
		t.Fatal(err)
	}
	var id assay.AgentID
	var host assay.HostID
	_, _ = rand.Read(id[:])
	_, _ = rand.Read(host[:])
	agent, certificate, err := store.Enrol(t.Context(), id, postgres.Enrolment{
		SecretHash: secretHash[:], Host: assay.Host{ID: host, Name: "host"}, KeyKind: assay.SoftwareKey, PublicKey: spki, Version: "1.0",
		Issue: func(id assay.AgentID) (assay.Certificate, error) { return authority.IssueAgent(id, key.Public()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Agent{Agent: agent, Key: key, Certificate: certificate}
}

// Chain makes the batches of one stream.
type Chain struct {
	Agent *Agent
	Head  assay.Head
}

// Open opens an epoch of one of the agent's streams.
func Open(t testing.TB, store *postgres.Store, agent *Agent, kind evidence.StreamKind, reason string) *Chain {
	t.Helper()
	head, opening, err := store.OpenEpoch(t.Context(), assay.EpochRequest{Agent: agent.ID, Kind: kind, Reason: reason, BootID: "boot"})
	if err != nil {
		t.Fatal(err)
	}
	if evidence.HashOpening(opening) != head.Hash {
		t.Fatal("the head of a new epoch is not its opening's hash")
	}
	return &Chain{Agent: agent, Head: head}
}

// Next makes the batch after the head, with n events, and moves the head.
func (c *Chain) Next(t testing.TB, n int) *assay.Batch {
	t.Helper()
	b := c.Peek(t, n)
	c.Head = c.Head.After(&b.Header, b.Hash)
	return b
}

// Signed makes the next batch with a head signature.
func (c *Chain) Signed(t testing.TB, n int) *assay.Batch {
	t.Helper()
	b := c.Next(t, n)
	signature, err := ecdsa.SignASN1(rand.Reader, c.Agent.Key, b.Hash[:])
	if err != nil {
		t.Fatal(err)
	}
	b.HeadSignature = signature
	return b
}

// Peek makes a batch that could follow the head and leaves the head. Two of
// them differ: the seed is random.
func (c *Chain) Peek(t testing.TB, n int) *assay.Batch {
	t.Helper()
	block := &telemetryv1.Block{Seed: make([]byte, evidence.SeedSize)}
	_, _ = rand.Read(block.Seed)
	for i := range n {
		event, err := proto.Marshal(&telemetryv1.Event{ObservedAt: int64(i), BootId: fmt.Sprintf("event %d", i)})
		if err != nil {
			t.Fatal(err)
		}
		block.Events = append(block.Events, event)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		t.Fatal(err)
	}
	payload := compress(t, raw)
	header := evidence.Header{
		Kind: c.Head.Kind, Stream: evidence.StreamID(c.Head.Stream), Epoch: c.Head.Epoch, Number: c.Head.Number + 1,
		FirstSequence: c.Head.NextSequence, EventCount: uint32(n), ObservedTo: int64(n - 1), Previous: c.Head.Hash,
		PayloadSHA256: sha256.Sum256(payload), PayloadSize: uint32(len(payload)), RawSize: uint32(len(raw)),
		Commitments: evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents())),
	}
	return c.Seal(header, payload)
}

// Seal makes a batch of a header and a payload, whether or not they agree.
func (c *Chain) Seal(header evidence.Header, payload []byte) *assay.Batch {
	canonical := header.Canonical()
	return &assay.Batch{Agent: c.Agent.ID, Host: c.Agent.HostID, CertificateSerial: c.Agent.Certificate.Serial,
		Header: header, HeaderBytes: canonical, Hash: evidence.HashHeader(canonical), Payload: payload}
}

func compress(t testing.TB, raw []byte) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(raw, nil)
}

// Append commits batches and fails the test unless every outcome is want.
func Append(t testing.TB, store *postgres.Store, want assay.Outcome, batches ...*assay.Batch) []assay.Receipt {
	t.Helper()
	receipts, err := store.AppendBatches(t.Context(), batches)
	if err != nil {
		t.Fatal(err)
	}
	for i, receipt := range receipts {
		if receipt.Outcome != want {
			t.Fatalf("batch %d of %d is %s (%s), want %s", i, len(batches), receipt.Outcome, receipt.Reason, want)
		}
	}
	return receipts
}
