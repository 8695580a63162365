package agentapi

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Limits bound what one agent may have under way. They are stated in Welcome.
type Limits struct {
	// WindowBatches is how many batches may be unacknowledged.
	WindowBatches int
	// MaxPayload is the size of a compressed payload, MaxRaw that of its content,
	// in bytes, and MaxEvents the number of events in a batch.
	MaxPayload, MaxRaw, MaxEvents uint32
}

func (l Limits) withDefaults() Limits {
	if l.WindowBatches == 0 {
		l.WindowBatches = 8
	}
	if l.MaxPayload == 0 {
		l.MaxPayload = 64 << 10
	}
	if l.MaxRaw == 0 {
		l.MaxRaw = 4 << 20
	}
	if l.MaxEvents == 0 {
		l.MaxEvents = 4096
	}
	return l
}

func (l Limits) message() *agentv1.Limits {
	return &agentv1.Limits{WindowBatches: uint32(l.WindowBatches), WindowBytes: uint32(l.WindowBatches) * l.MaxPayload,
		MaxPayloadBytes: l.MaxPayload, MaxRawBytes: l.MaxRaw, MaxEvents: l.MaxEvents}
}

// maxSignature bounds an ASN.1 ECDSA signature of P-256 in bytes.
const maxSignature = 80

// check makes of what an agent sent a batch whose parts agree with its header.
// All that can be known without the stream's head is known after it. The error
// is Invalid, the reason a label for the metrics.
func (l Limits) check(sent *agentv1.Batch, c *caller) (b *assay.Batch, reason string, err error) {
	header, err := evidence.ParseHeader(sent.GetHeader())
	if err != nil {
		if len(sent.GetHeader()) >= 2 && binary.BigEndian.Uint16(sent.GetHeader()) > evidence.Format {
			return nil, "format", assay.Errorf(assay.Invalid, "header format %d is newer than this server's %d: upgrade the server first",
				binary.BigEndian.Uint16(sent.GetHeader()), evidence.Format)
		}
		return nil, "malformed", assay.Errorf(assay.Invalid, "%w", err)
	}
	payload := sent.GetPayload()
	switch {
	case uint64(len(payload)) > uint64(l.MaxPayload):
		return nil, "size", assay.Errorf(assay.Invalid, "batch %d: payload of %d bytes, at most %d", header.Number, len(payload), l.MaxPayload)
	case header.EventCount > l.MaxEvents:
		return nil, "size", assay.Errorf(assay.Invalid, "batch %d: %d events, at most %d", header.Number, header.EventCount, l.MaxEvents)
	case uint64(header.PayloadSize) != uint64(len(payload)) || sha256.Sum256(payload) != header.PayloadSHA256:
		return nil, "payload", assay.Errorf(assay.Invalid, "batch %d: the payload is not the one its header names", header.Number)
	}
	if err := checkFrame(payload, header.RawSize, l.MaxRaw); err != nil {
		return nil, "payload", assay.Errorf(assay.Invalid, "batch %d: %w", header.Number, err)
	}
	b = &assay.Batch{Agent: c.agent.ID, Host: c.agent.HostID, CertificateSerial: c.serial,
		CertificateFrom: c.notBefore, CertificateUntil: c.notAfter, Header: header, HeaderBytes: sent.GetHeader(),
		Hash: evidence.HashHeader(sent.GetHeader()), Payload: payload}
	if signature := sent.GetHeadSignature(); len(signature) > 0 {
		if len(signature) > maxSignature || !ecdsa.VerifyASN1(c.key, b.Hash[:], signature) {
			return nil, "signature", assay.Errorf(assay.Invalid, "batch %d: the head signature is not by the certificate's key", header.Number)
		}
		b.HeadSignature = signature
	}
	return b, "", nil
}

// errSuperseded ends a stream when its agent opens another.
var errSuperseded = errors.New("the agent opened another stream")
