package ledger

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// maxRaw bounds a decompressed block in bytes: no more is ever taken in.
const maxRaw = 4 << 20

// verifier is one run.
type verifier struct {
	cfg      VerifyConfig
	zstd     *zstd.Decoder
	report   *Report
	snapshot postgres.LedgerSnapshot

	tree           tree
	checkpoints    int64
	lastCheckpoint int64

	rows    map[assay.StreamID]*postgres.StreamRow
	streams map[assay.StreamID]*streamState
	revoked map[assay.AgentID]int64 // by position of the leaf

	absences absences
}

// streamState is where a stream stands by its leaves so far.
type streamState struct {
	head     assay.Head
	openedAt int64
}

func newVerifier(cfg VerifyConfig) (*verifier, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("creating decoder: %w", err)
	}
	return &verifier{cfg: cfg, zstd: decoder, report: &Report{}, rows: map[assay.StreamID]*postgres.StreamRow{},
		streams: map[assay.StreamID]*streamState{}, revoked: map[assay.AgentID]int64{}, absences: newAbsences()}, nil
}

func (v *verifier) begin() {
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
	if evidence.HashSignature(row.HeadSignature) != signatureHash {
		fault("signature", "it is not the one that was recorded")
	} else {
		v.signer(row, headerHash, leaf.RecordedAt, p, agent, fault)
	}
	if evidence.HashHeader(row.Header) != headerHash {
		fault("header", "it is not the one that was recorded")
		return evidence.Header{}, false
	}
	header, err := evidence.ParseHeader(row.Header)
	if err != nil {
		fault("header", "%s", err)
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
	if sha256.Sum256(row.Payload) != header.PayloadSHA256 {
		fault("payload", "it is not the one that its header names")
		return header, true
	}
	if err := v.content(&header, row.Payload); err != nil {
		v.note(&v.report.Defects, Problem{What: "content", Position: row.Position, Stream: row.Stream.String(), Number: header.Number, Detail: err.Error()})
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
	certificate, err := x509.ParseCertificate(signer.DER)
	if err != nil {
		fault("certificate", "that of serial %x cannot be read", row.Serial)
		return
	}
	id, err := v.cfg.Certificates.VerifyAgent(certificate, evidence.Time(recordedAt))
	switch {
	case err != nil:
		fault("certificate", "that of serial %x: %s", row.Serial, err)
	case id != agent:
		fault("certificate", "that of serial %x is agent %s's, the leaf says %s", row.Serial, id, agent)
	}
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if len(row.HeadSignature) > 0 && (!ok || !ecdsa.VerifyASN1(key, headerHash[:], row.HeadSignature)) {
		fault("signature", "it is not by the key of certificate %x", row.Serial)
	}
}

// content opens a payload and re-derives the commitment root from its events.
func (v *verifier) content(header *evidence.Header, payload []byte) error {
	if header.RawSize > maxRaw || uint64(header.PayloadSize) != uint64(len(payload)) {
		return fmt.Errorf("sizes %d and %d are not the header's", len(payload), header.RawSize)
	}
	raw, err := v.zstd.DecodeAll(payload, make([]byte, 0, header.RawSize))
	if err != nil {
		return errors.New("the payload cannot be decompressed")
	}
	if len(raw) != int(header.RawSize) {
		return fmt.Errorf("the block has %d bytes, the header says %d", len(raw), header.RawSize)
	}
	block := new(telemetryv1.Block)
	if err := proto.Unmarshal(raw, block); err != nil {
		return errors.New("the block cannot be decoded")
	}
	if len(block.GetEvents()) != int(header.EventCount) {
		return fmt.Errorf("the block has %d events, the header says %d", len(block.GetEvents()), header.EventCount)
	}
	if evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents())) != header.Commitments {
		return errors.New("the events are not those that the header commits to")
	}
	return nil
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
