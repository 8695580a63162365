package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// CertificateRecord is the JSON body of a LeafCertificate. Validity of a
// certificate at a position is read off these leaves alone.
type CertificateRecord struct {
	// Action is "issued" or "revoked". A revocation is of the agent: of every
	// certificate that it has.
	Action string `json:"action"`
	Agent  ID     `json:"agent"`
	Host   ID     `json:"host"`
	// Serial (hex) and SHA256 (of the DER) name the certificate; empty and zero
	// in a revocation.
	Serial    string `json:"serial,omitempty"`
	SHA256    Hash   `json:"sha256"`
	KeyKind   string `json:"key_kind,omitempty"`
	NotBefore int64  `json:"not_before,omitempty"`
	NotAfter  int64  `json:"not_after,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// CompromisedSince (ticks) is where the doubt begins, in a revocation; 0: not stated.
	CompromisedSince int64 `json:"compromised_since,omitempty"`
}

// The actions of a CertificateRecord.
const (
	CertificateIssued  = "issued"
	CertificateRevoked = "revoked"
)

// ForkRecord is the JSON body of a LeafFork: a batch that contradicts the
// acknowledged chain, which is kept beside it.
type ForkRecord struct {
	Agent  ID     `json:"agent"`
	Stream ID     `json:"stream"`
	Epoch  uint32 `json:"epoch"`
	Number uint64 `json:"number"`
	Header Hash   `json:"header"`
	// HeadSignature is the SHA-256 of the signature's bytes, zero where there is none.
	HeadSignature Hash `json:"head_signature"`
	// Acknowledged is the head that it contradicts, AcknowledgedNumber its number.
	Acknowledged       Hash   `json:"acknowledged"`
	AcknowledgedNumber uint64 `json:"acknowledged_number"`
	Reason             string `json:"reason"`
}

// Encode returns the body of a leaf of the given record: JSON with the keys in
// the struct's order. Records are plain structs; failing to encode one is a
// programmer's error and is returned, not hidden.
func Encode(record any) ([]byte, error) {
	body, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("encoding leaf record: %w", err)
	}
	if len(body) > MaxLeafBody {
		return nil, fmt.Errorf("%w: leaf record of %d bytes, at most %d", ErrMalformed, len(body), MaxLeafBody)
	}
	return body, nil
}

// Decode reads a body that Encode wrote into record, a pointer to its struct.
// Unknown keys and trailing bytes are ErrMalformed.
func Decode(body []byte, record any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(record); err != nil {
		return fmt.Errorf("%w: leaf record: %w", ErrMalformed, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: leaf record has trailing bytes", ErrMalformed)
	}
	return nil
}

// ArchiveRecord is the JSON body of a LeafArchive: the batches of a segment
// were written to the archive and read back.
type ArchiveRecord struct {
	Segment int64 `json:"segment"`
	// From and To bound its positions, To exclusive.
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Object  string `json:"object"`
	Bytes   int64  `json:"bytes"`
	SHA256  Hash   `json:"sha256"` // of the object
	Batches int64  `json:"batches"`
}

// ErasureRecord is the JSON body of a LeafErasure. A missing payload is accepted
// only under one whose action is "erased" or "deleted".
type ErasureRecord struct {
	Action string `json:"action"`
	// Host (the agent's that sent it) and Month (2026-03, of receipt) say what an
	// erasure is of.
	Host  ID     `json:"host"`
	Month string `json:"month,omitempty"`
	// Segment is what was deleted from the archive by rule, -1 in an erasure.
	Segment int64  `json:"segment"`
	Reason  string `json:"reason"`
	By      string `json:"by"`
	// Due (ticks) is when a requested erasure may be carried out; 0 otherwise.
	Due int64 `json:"due,omitempty"`
}

// The actions of an ErasureRecord.
const (
	ErasureRequested = "requested"
	ErasureDone      = "erased"
	SegmentDeleted   = "deleted"
)

// HoldRecord is the JSON body of a LeafHold: while a hold is placed nothing of
// the host is erased or deleted from the archive.
type HoldRecord struct {
	Action string `json:"action"` // "placed" or "released"
	Hold   ID     `json:"hold"`
	// Host is zero where the hold is on all hosts.
	Host   ID     `json:"host"`
	Reason string `json:"reason"`
	By     string `json:"by"`
}

// The actions of a HoldRecord.
const (
	HoldPlaced   = "placed"
	HoldReleased = "released"
)
