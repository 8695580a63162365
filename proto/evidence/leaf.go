package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// LeafKind says what a ledger leaf records.
type LeafKind uint8

// The kinds of leaf. Their numbers are part of the format.
const (
	LeafBatch       LeafKind = 1
	LeafEpoch       LeafKind = 2 // body: canonical Opening
	LeafCertificate LeafKind = 3 // issued or revoked
	LeafRun         LeafKind = 4 // an evaluation
	LeafTransition  LeafKind = 5
	LeafFinding     LeafKind = 6
	LeafPack        LeafKind = 7 // framework or rule pack taken into use
	LeafOperator    LeafKind = 8 // operator action
	LeafFork        LeafKind = 9 // a batch that contradicts an acknowledged chain
	LeafKey         LeafKind = 10
	LeafException   LeafKind = 11
	LeafReview      LeafKind = 12
	LeafScope       LeafKind = 13
	LeafPolicy      LeafKind = 14
	LeafEngine      LeafKind = 15
	LeafArchive     LeafKind = 16
	LeafErasure     LeafKind = 17
	LeafHold        LeafKind = 18
	LeafLost        LeafKind = 19
	LeafAlert       LeafKind = 20 // an alert opened, or opened again
)

var leafNames = [...]string{
	LeafBatch: "batch", LeafEpoch: "epoch", LeafCertificate: "certificate", LeafRun: "run", LeafTransition: "transition",
	LeafFinding: "finding", LeafPack: "pack", LeafOperator: "operator", LeafFork: "fork", LeafKey: "key",
	LeafException: "exception", LeafReview: "review", LeafScope: "scope", LeafPolicy: "policy", LeafEngine: "engine",
	LeafArchive: "archive", LeafErasure: "erasure", LeafHold: "hold", LeafLost: "lost", LeafAlert: "alert",
}

func (k LeafKind) String() string {
	if int(k) < len(leafNames) && leafNames[k] != "" {
		return leafNames[k]
	}
	return fmt.Sprintf("leaf kind %d", uint8(k))
}

// Leaf is one entry of the ledger; its index in the tree is its position.
type Leaf struct {
	Kind       LeafKind
	RecordedAt int64 // server's clock, ticks
	// Body is BatchLeaf.Canonical, Opening.Canonical, or for the other kinds
	// the JSON of the record with its keys in the struct's order.
	Body []byte
}

// MaxLeafBody bounds a leaf's body in bytes.
const MaxLeafBody = 1 << 20

// Canonical returns the leaf's bytes: the record of the RFC 6962 tree.
func (l *Leaf) Canonical() []byte {
	b := make([]byte, 0, 2+1+8+4+len(l.Body))
	b = binary.BigEndian.AppendUint16(b, Format)
	b = append(b, byte(l.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(l.RecordedAt))
	return appendVariable(b, l.Body)
}

// Hash is the RFC 6962 leaf hash.
func (l *Leaf) Hash() Hash { return HashLeaf(l.Canonical()) }

// HashLeaf is the RFC 6962 leaf hash of canonical leaf bytes as stored.
func HashLeaf(canonical []byte) Hash { return Hash(tlog.RecordHash(canonical)) }

// ParseLeaf reads canonical bytes.
func ParseLeaf(canonical []byte) (Leaf, error) {
	r := reader{b: canonical}
	if format := r.u16(); !r.short && format != Format {
		return Leaf{}, fmt.Errorf("%w: leaf format %d, this program knows %d", ErrMalformed, format, Format)
	}
	l := Leaf{Kind: LeafKind(r.u8()), RecordedAt: int64(r.u64()), Body: r.variable(MaxLeafBody)}
	if err := r.done("ledger leaf"); err != nil {
		return Leaf{}, err
	}
	return l, nil
}

// BatchLeaf is the body of a LeafBatch: it binds header and head signature.
type BatchLeaf struct {
	Agent         [16]byte
	Stream        StreamID
	Epoch         uint32
	Number        uint64
	Header        Hash
	HeadSignature Hash // HashSignature of the head signature
}

// HashSignature is the SHA-256 of a signature's bytes, zero where there is none.
func HashSignature(signature []byte) Hash {
	if len(signature) == 0 {
		return Hash{}
	}
	return sha256.Sum256(signature)
}

// Canonical returns the body's bytes.
func (l *BatchLeaf) Canonical() []byte {
	b := make([]byte, 0, 16+16+4+8+32+32)
	b = append(b, l.Agent[:]...)
	b = append(b, l.Stream[:]...)
	b = binary.BigEndian.AppendUint32(b, l.Epoch)
	b = binary.BigEndian.AppendUint64(b, l.Number)
	b = append(b, l.Header[:]...)
	return append(b, l.HeadSignature[:]...)
}

// ParseBatchLeaf reads the body of a LeafBatch.
func ParseBatchLeaf(body []byte) (BatchLeaf, error) {
	r := reader{b: body}
	var l BatchLeaf
	copy(l.Agent[:], r.take(len(l.Agent)))
	l.Stream, l.Epoch, l.Number, l.Header, l.HeadSignature = r.streamID(), r.u32(), r.u64(), r.hash(), r.hash()
	return l, r.done("batch leaf")
}
