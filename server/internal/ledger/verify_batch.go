package ledger

import (
	"crypto/ecdsa"
	"fmt"
	"runtime"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// verifier is one run.
type verifier struct {
	cfg       VerifyConfig
	examiners []*examiner
	examined  map[int64]examination // of the page at hand, by position
	signers   *signers
	keys      []ledgerKey
	kept      map[int64]evidence.Hash // roots that successions say were kept, by size
	report    *Report
	snapshot  postgres.LedgerSnapshot

	tree           tree
	checkpoints    int64
	lastCheckpoint int64

	rows    map[assay.StreamID]*postgres.StreamRow
	streams map[assay.StreamID]*streamState
	revoked map[assay.AgentID]int64 // by position of the leaf

	vouchers vouchers
	absences absences
	holds    holds
	findings map[assay.FindingID]findingDigests // by their newest leaves
}

// streamState is where a stream stands by its leaves so far.
type streamState struct {
	head     assay.Head
	openedAt int64
}

func newVerifier(cfg VerifyConfig) (*verifier, error) {
	v := &verifier{cfg: cfg, signers: newSigners(cfg.Certificates), report: &Report{}, rows: map[assay.StreamID]*postgres.StreamRow{},
		streams: map[assay.StreamID]*streamState{}, revoked: map[assay.AgentID]int64{}, absences: newAbsences(), holds: newHolds(),
		findings: map[assay.FindingID]findingDigests{}}
	for range runtime.GOMAXPROCS(0) {
		e, err := newExaminer()
		if err != nil {
			v.close()
			return nil, err
		}
		v.examiners = append(v.examiners, e)
	}
	return v, nil
}

func (v *verifier) close() {
	for _, e := range v.examiners {
		e.close()
	}
}

func (v *verifier) begin() {
	v.beginKeys()
	for i := range v.snapshot.Streams {
		v.rows[v.snapshot.Streams[i].Stream] = &v.snapshot.Streams[i]
	}
}

func (v *verifier) note(list *[]Problem, p Problem) {
	if len(*list) >= v.cfg.MaxProblems {
		v.report.Unnamed++
		return
	}
	*list = append(*list, p)
}

func (v *verifier) problem(what string, position int64, detail string) {
	v.note(&v.report.Problems, Problem{What: what, Position: position, Detail: detail})
}

func (v *verifier) streamProblem(what string, position int64, stream assay.StreamID, number uint64, detail string) {
	v.note(&v.report.Problems, Problem{What: what, Position: position, Stream: stream.String(), Number: number, Detail: detail})
}

// batchLeaf verifies a batch against its leaf, and the stream's chain with it.
func (v *verifier) batchLeaf(p *postgres.LedgerPage, position int64, leaf *evidence.Leaf) {
	v.report.Batches++
	body, err := evidence.ParseBatchLeaf(leaf.Body)
	if err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	stream := assay.StreamID(body.Stream)
	fault := func(what, format string, args ...any) {
		v.streamProblem(what, position, stream, body.Number, fmt.Sprintf(format, args...))
	}
	row, ok := p.Batches[position]
	if !ok {
		fault("batch", "it is missing")
		v.skip(stream, &body)
		return
	}
	delete(p.Batches, position)
	if row.Stream != stream || uint32(row.Epoch) != body.Epoch || uint64(row.Number) != body.Number {
		fault("batch", "its row names stream %s, epoch %d, number %d", row.Stream, row.Epoch, row.Number)
	}
	if s := v.rows[stream]; s == nil {
		fault("stream", "it has no row")
	} else {
		if s.Agent != assay.AgentID(body.Agent) {
			fault("stream", "its row says agent %s, the leaf %s", s.Agent, assay.AgentID(body.Agent))
		}
		if row.Lane != assay.LaneOf(s.Host) {
			fault("batch", "its lane is %d, its host's %d", row.Lane, assay.LaneOf(s.Host))
		}
	}
	header, ok := v.stored(&row, leaf, body.Header, body.HeadSignature, p, assay.AgentID(body.Agent), fault)
	if !ok {
		v.skip(stream, &body)
		return
	}
	if assay.StreamID(header.Stream) != stream || header.Epoch != body.Epoch || header.Number != body.Number {
		fault("header", "it is of stream %s, epoch %d, number %d", assay.StreamID(header.Stream), header.Epoch, header.Number)
	}
	v.report.Events += int64(header.EventCount)
	v.chain(stream, &header, body.Header, position, row.ReceivedAt, fault)
}

// stored verifies what batches and forks have in common: header, payload and
// signature are those of the leaf, and were sent by whom they say.
func (v *verifier) stored(row *postgres.BatchRow, leaf *evidence.Leaf, headerHash, signatureHash evidence.Hash, p *postgres.LedgerPage,
	agent assay.AgentID, fault func(what, format string, args ...any)) (evidence.Header, bool) {
	if evidence.Ticks(row.ReceivedAt) != leaf.RecordedAt {
		fault("batch", "its row says it was received at %s, the leaf %s", row.ReceivedAt.UTC().Format(time.RFC3339Nano), evidence.Time(leaf.RecordedAt).Format(time.RFC3339Nano))
	}
	seen := v.examined[row.Position]
	if evidence.HashSignature(row.HeadSignature) != signatureHash {
		fault("signature", "it is not the one that was recorded")
	} else {
		v.signer(row, headerHash, leaf.RecordedAt, p, agent, fault)
	}
	if seen.hash != headerHash {
		fault("header", "it is not the one that was recorded")
		return evidence.Header{}, false
	}
	header := seen.header
	if seen.malformed != nil {
		fault("header", "%s", seen.malformed)
		return evidence.Header{}, false
	}
	switch row.Absence {
	case postgres.Erased, postgres.Deleted:
		v.absences.note(row, v.hostOf(row.Stream))
		return header, true
	case postgres.Damaged:
		fault("payload", "%s", row.Absence)
		return header, true
	case postgres.Present:
	}
	if !seen.named {
		fault("payload", "it is not the one that its header names")
		return header, true
	}
	if seen.defect != nil {
		v.note(&v.report.Defects, Problem{What: "content", Position: row.Position, Stream: row.Stream.String(), Number: header.Number, Detail: seen.defect.Error()})
	}
	return header, true
}

// signer verifies the certificate that a batch came by, at the time of its
// leaf, and the head signature by its key.
func (v *verifier) signer(row *postgres.BatchRow, headerHash evidence.Hash, recordedAt int64, p *postgres.LedgerPage, agent assay.AgentID, fault func(what, format string, args ...any)) {
	signer, ok := p.Signers[string(row.Serial)]
	if !ok {
		fault("certificate", "there is none of serial %x", row.Serial)
		return
	}
	if signer.Position >= row.Position {
		fault("certificate", "that of serial %x was issued later, at position %d", row.Serial, signer.Position)
	}
	if at, ok := v.revoked[agent]; ok {
		fault("certificate", "its agent was revoked at position %d", at)
	}
	known := v.signers.of(string(row.Serial), signer.DER, evidence.Time(recordedAt))
	switch {
	case known.unreadable != nil:
		fault("certificate", "that of serial %x cannot be read", row.Serial)
		return
	case known.err != nil:
		fault("certificate", "that of serial %x: %s", row.Serial, known.err)
	case known.agent != agent:
		fault("certificate", "that of serial %x is agent %s's, the leaf says %s", row.Serial, known.agent, agent)
	}
	if len(row.HeadSignature) > 0 && (known.key == nil || !ecdsa.VerifyASN1(known.key, headerHash[:], row.HeadSignature)) {
		fault("signature", "it is not by the key of certificate %x", row.Serial)
	}
}

// chain verifies that a batch continues its stream, and goes on from it.
func (v *verifier) chain(stream assay.StreamID, header *evidence.Header, hash evidence.Hash, position int64, receivedAt time.Time, fault func(what, format string, args ...any)) {
	s := v.streams[stream]
	if s == nil {
		fault("chain", "its stream has no epoch")
		s = &streamState{}
		v.streams[stream] = s
	} else if !s.known() {
		s.head.NextSequence = header.FirstSequence
	}
	if s.head.Stream == stream && !s.head.Continues(header) {
		fault("chain", "it does not continue epoch %d number %d", s.head.Epoch, s.head.Number)
	}
	s.head.Stream, s.head.Kind = stream, header.Kind
	s.head = s.head.After(header, hash)
	s.head.Position, s.head.CommittedAt = position, receivedAt
}

// skip goes on after a batch of which only the leaf can be believed, so that
// one fault is not named again at the next.
func (v *verifier) skip(stream assay.StreamID, body *evidence.BatchLeaf) {
	if s := v.streams[stream]; s != nil {
		s.head.Epoch, s.head.Number, s.head.Hash = body.Epoch, body.Number, body.Header
		s.lost()
	}
}
