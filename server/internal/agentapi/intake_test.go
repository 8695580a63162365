package agentapi_test

import (
	"crypto/sha256"
	"testing"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
)

// Whatever comes, what passes is what its header says, and the rest is Invalid.
func FuzzCheckBatch(f *testing.F) {
	key := evidencetest.NewKey(f)
	agent := &evidencetest.Agent{Key: key}
	chain := &evidencetest.Chain{Agent: agent, Head: assay.Head{Kind: evidence.Bulk, Epoch: 1}}
	signed := chain.Signed(f, 3)
	f.Add(signed.HeaderBytes, signed.Payload, signed.HeadSignature)
	large := chain.Next(f, 300)
	f.Add(large.HeaderBytes, large.Payload, []byte(nil))
	f.Fuzz(func(t *testing.T, header, payload, signature []byte) {
		b, reason, err := agentapi.CheckBatch(&agentv1.Batch{Header: header, Payload: payload, HeadSignature: signature}, &key.PublicKey)
		if err != nil {
			if assay.KindOf(err) != assay.Invalid || reason == "" || b != nil {
				t.Errorf("%v, reason %q", err, reason)
			}
			return
		}
		if b.Header.PayloadSHA256 != sha256.Sum256(payload) || b.Hash != evidence.HashHeader(header) || int(b.Header.PayloadSize) != len(payload) {
			t.Errorf("passed %+v", b.Header)
		}
	})
}
