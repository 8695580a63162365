package assay

import (
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// Batch is one as received. Header is HeaderBytes parsed and Hash their hash;
// the bytes are never made again from the parts.
type Batch struct {
	Agent             AgentID
	Host              HostID // of the agent
	CertificateSerial []byte
	// CertificateFrom and CertificateUntil bound the time at which it may be recorded;
	// zero: whoever hands it in answers for that.
	CertificateFrom, CertificateUntil time.Time

	Header        evidence.Header
	HeaderBytes   []byte
	Hash          evidence.Hash
	HeadSignature []byte
	Payload       []byte
}

// Size is what the batch holds of memory, in bytes.
func (b *Batch) Size() int64 {
	return int64(len(b.HeaderBytes) + len(b.HeadSignature) + len(b.Payload) + len(b.CertificateSerial) + 512)
}

// Outcome is what became of a batch.
type Outcome uint8

// The outcomes.
const (
	Committed Outcome = iota + 1 // appended to its stream
	Replayed                     // committed before: the same bytes
	Missing                      // does not continue the head: batches before it are missing, or it is of another epoch
	Forked                       // contradicts the acknowledged chain; kept beside it
	Refused                      // not its agent's stream, or the agent is revoked; nothing is kept
)

// Outcomes is the number of outcomes, for tables by outcome.
const Outcomes = int(Refused) + 1

func (o Outcome) String() string {
	switch o {
	case Committed:
		return "committed"
	case Replayed:
		return "replayed"
	case Missing:
		return "missing"
	case Forked:
		return "forked"
	case Refused:
		return "refused"
	}
	return "no outcome"
}

// Receipt says what became of a batch, and where its stream stands.
type Receipt struct {
	Outcome Outcome
	// Position and CommittedAt are of the batch, where it was committed or replayed.
	Position    int64
	CommittedAt time.Time
	// Head is the committed head of the stream as of this batch.
	Head Head
	// Reason says why a batch forked or was refused.
	Reason string
}
