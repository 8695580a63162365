package ledger_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/stamptest"
	"github.com/assay-audit/assay/server/internal/witness"
)

func (b *bundle) cosign(t *testing.T, agent *evidencetest.Agent, c postgres.Checkpoint) {
	t.Helper()
	kept := postgres.Cosignature{Size: c.Size, Agent: agent.ID, Serial: agent.Certificate.Serial, Cosignature: evidence.Cosignature{At: b.now.Unix()}}
	hash := evidence.CosignatureHash(c.Statement(), kept.At)
	var err error
	kept.Signature, err = ecdsa.SignASN1(rand.Reader, agent.Key, hash[:])
	must(t, err)
	must(t, b.store.KeepCosignature(t.Context(), &kept))
}

// witnessed has a new witness sign a checkpoint, and returns its key.
func (b *bundle) witnessed(t *testing.T, c postgres.Checkpoint) string {
	t.Helper()
	secret, public, err := witness.NewKey("witness.example")
	must(t, err)
	signer, err := witness.ParseKey(secret)
	must(t, err)
	statement := c.Statement()
	text := statement.Text()
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	must(t, err)
	peer, err := witness.NewPeer(public)
	must(t, err)
	line, at, err := peer.Verify(c.Statement(), strings.TrimPrefix(string(signed), text+"\n"))
	must(t, err)
	must(t, b.store.KeepWitnessCosignature(t.Context(), &postgres.WitnessCosignature{Size: c.Size, Key: peer.Key, Name: peer.Name(), SignedAt: at, Line: line}))
	return public
}

func (b *bundle) stamp(t *testing.T, authority *stamp.Authority, c postgres.Checkpoint) {
	t.Helper()
	token, err := authority.Ask(t.Context(), http.DefaultClient, c.Statement())
	must(t, err)
	must(t, b.store.KeepTimeStamp(t.Context(), &postgres.TimeStamp{Size: c.Size, Authority: authority.URL, StampedAt: token.At, Token: token.Raw}))
}

// vouchedBy has the newest checkpoint signed by an agent, a witness and an authority.
func (h *history) vouchedBy(t *testing.T, authority *stamp.Authority) {
	t.Helper()
	newest, err := h.prover.Latest(t.Context())
	must(t, err)
	h.cosign(t, h.agent, newest)
	h.witnessed(t, newest)
	h.stamp(t, authority, newest)
	h.stamps = authority
}

// TestVouchersOfManyAgents: more than a page, one of whose is false, in a
// verification that is cut short after the first.
func TestVouchersOfManyAgents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	b.leaves(t, 3)
	b.grow(t)
	newest, err := b.prover.Latest(t.Context())
	must(t, err)
	b.cosign(t, agent, newest)
	// The same words of agents that did not say them, and one that did.
	b.exec(t, `WITH others AS (INSERT INTO agent SELECT (jsonb_populate_record(a, jsonb_build_object('id', gen_random_uuid()))).* FROM agent a, generate_series(1, 5000) RETURNING id)
		INSERT INTO cosignature SELECT size, others.id, certificate_serial, signed_at, received_at, signature FROM cosignature, others`)
	cfg := b.config()
	cfg.KeepKey, cfg.MaxProblems = keepKey, 10
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	cfg.Now = func() time.Time { // an hour passes between two looks, and the end comes after the first page
		if asked++; asked == 3 {
			cancel()
		}
		return b.now.Add(time.Duration(asked) * time.Hour)
	}
	if _, err := ledger.Verify(ctx, b.store, cfg); err == nil {
		t.Fatal("it was not cut short")
	}
	kept, err := b.store.KeptVerification(t.Context())
	must(t, err)
	if kept.Position != 0 || !strings.Contains(string(kept.State), `"agents_end":false`) {
		t.Errorf("kept is position %d, %s", kept.Position, kept.State[32:])
	}
	cfg.Now = func() time.Time { return b.now }
	report, err := ledger.Verify(t.Context(), b.store, cfg)
	must(t, err)
	if report.Vouchers != 5001 || int64(len(report.Problems))+report.Unnamed != 5000 || report.Problems[0].What != "cosignature" {
		t.Errorf("%d vouchers, %d problems and %d more, the first %v", report.Vouchers, len(report.Problems), report.Unnamed, report.Problems[0])
	}
}

// TestVouchersThatAreSound: the keys that signed may be gone, and so may the
// authority's roots.
func TestVouchersThatAreSound(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	first := stamptest.New(t, stamptest.Stamping)
	h.vouchedBy(t, first.Serve(t))
	if report := h.verify(t); !report.Good() || report.Vouchers != 3 {
		t.Errorf("%d vouchers, problems %v", report.Vouchers, report.Problems)
	}
	h.rotate(t, false)
	h.now = h.now.Add(30 * 24 * time.Hour)
	_, err := h.store.RevokeAgent(t.Context(), assay.Revocation{Agent: h.agent.ID, Reason: "retired"})
	must(t, err)
	h.grow(t)
	if report := h.verify(t); !report.Good() || report.Vouchers != 3 {
		t.Errorf("later: %d vouchers, problems %v", report.Vouchers, report.Problems)
	}
	h.stamps = nil
	if report := h.verify(t); !report.Good() {
		t.Errorf("without the authority's roots: %v", report.Problems)
	}
	h.stamps, err = stamp.NewAuthority(soleStamp(t, h.store).Authority, stamptest.New(t, stamptest.Stamping).Roots(t))
	must(t, err)
	var got []string
	for _, p := range h.verify(t).Problems {
		got = append(got, p.What)
	}
	if diff := cmp.Diff([]string{"time-stamp"}, got); diff != "" {
		t.Errorf("by other roots (-want +got):\n%s", diff)
	}
}

func soleStamp(t *testing.T, store *postgres.Store) postgres.TimeStamp {
	t.Helper()
	list, err := store.TimeStamps(t.Context(), "", 2)
	if err != nil || len(list) != 1 {
		t.Fatalf("the time-stamps are %v, %v", list, err)
	}
	return list[0]
}
