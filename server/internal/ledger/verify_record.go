package ledger

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

func (v *verifier) forkLeaf(p *postgres.LedgerPage, position int64, leaf *evidence.Leaf) {
	v.report.Forks++
	var record evidence.ForkRecord
	if err := evidence.Decode(leaf.Body, &record); err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	fault := func(what, format string, args ...any) {
		v.streamProblem(what, position, assay.StreamID(record.Stream), record.Number, fmt.Sprintf(format, args...))
	}
	row, ok := p.Forks[position]
	if !ok {
		fault("fork", "it is missing")
		return
	}
	delete(p.Forks, position)
	if row.Stream != assay.StreamID(record.Stream) || uint32(row.Epoch) != record.Epoch || uint64(row.Number) != record.Number {
		fault("fork", "its row names stream %s, epoch %d, number %d", row.Stream, row.Epoch, row.Number)
	}
	v.stored(&row, leaf, record.Header, record.HeadSignature, p, assay.AgentID(record.Agent), fault)
}

// epochLeaf verifies that an epoch goes on from where its stream stood.
func (v *verifier) epochLeaf(p *postgres.LedgerPage, position int64, leaf *evidence.Leaf) {
	opening, err := evidence.ParseOpening(leaf.Body)
	if err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	stream := assay.StreamID(opening.Stream)
	fault := func(format string, args ...any) {
		v.streamProblem("epoch", position, stream, 0, fmt.Sprintf(format, args...))
	}
	row, ok := p.Epochs[position]
	delete(p.Epochs, position)
	switch {
	case !ok:
		fault("epoch %d is missing", opening.Epoch)
	case !bytes.Equal(row.Opening, leaf.Body):
		fault("its opening is not the one that was recorded")
	case row.Stream != stream || uint32(row.Epoch) != opening.Epoch:
		fault("its row names stream %s, epoch %d", row.Stream, row.Epoch)
	case evidence.Ticks(row.GrantedAt) != opening.GrantedAt:
		fault("its row says it was granted at %s", row.GrantedAt.UTC())
	}
	if opening.GrantedAt != leaf.RecordedAt {
		fault("it was granted at another time than it was recorded")
	}
	s := v.streams[stream]
	if s == nil {
		s = &streamState{openedAt: opening.GrantedAt, head: assay.Head{Stream: stream, Kind: opening.Kind, Position: -1}}
		v.streams[stream] = s
	}
	if opening.Kind != s.head.Kind || opening.Epoch != s.head.Epoch+1 || opening.Predecessor != s.head.Hash ||
		opening.PredecessorNumber != s.head.Number || s.known() && opening.FirstSequence != s.head.NextSequence {
		v.streamProblem("chain", position, stream, 0, fmt.Sprintf("epoch %d does not follow epoch %d number %d", opening.Epoch, s.head.Epoch, s.head.Number))
	}
	s.head.Epoch, s.head.Number, s.head.Hash, s.head.NextSequence = opening.Epoch, 0, evidence.HashOpening(leaf.Body), opening.FirstSequence
}

// certificateLeaf verifies what the ledger says of a certificate against its row.
func (v *verifier) certificateLeaf(p *postgres.LedgerPage, position int64, leaf *evidence.Leaf) {
	var record evidence.CertificateRecord
	if err := evidence.Decode(leaf.Body, &record); err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	if record.Action == evidence.CertificateRevoked {
		v.revoked[assay.AgentID(record.Agent)] = position
		return
	}
	row, ok := p.Certificates[position]
	delete(p.Certificates, position)
	switch {
	case record.Action != evidence.CertificateIssued:
		v.problem("leaf", position, fmt.Sprintf("%q is nothing that a certificate does", record.Action))
	case !ok:
		v.problem("certificate", position, "it is missing")
	case sha256.Sum256(row.DER) != record.SHA256:
		v.problem("certificate", position, "it is not the one that was recorded")
	case hex.EncodeToString(row.Serial) != record.Serial:
		v.problem("certificate", position, "its row's serial is not the one that was recorded")
	case row.AgentID != assay.AgentID(record.Agent) || row.Host != assay.HostID(record.Host):
		v.problem("certificate", position, "its row names another agent or host")
	case evidence.Ticks(row.NotBefore) != record.NotBefore || evidence.Ticks(row.NotAfter) != record.NotAfter:
		v.problem("certificate", position, "its row's life is not the one that was recorded")
	default:
		v.certificate(position, &row, leaf.RecordedAt)
	}
}

func (v *verifier) certificate(position int64, row *postgres.CertificateRow, recordedAt int64) {
	certificate, err := x509.ParseCertificate(row.DER)
	if err != nil {
		v.problem("certificate", position, "it cannot be read")
		return
	}
	id, err := v.cfg.Certificates.VerifyAgent(certificate, evidence.Time(recordedAt))
	switch {
	case err != nil:
		v.problem("certificate", position, err.Error())
	case id != row.AgentID:
		v.problem("certificate", position, "it is another agent's")
	case !bytes.Equal(certificate.RawSubjectPublicKeyInfo, row.PublicKey):
		v.problem("agent", position, fmt.Sprintf("the key of agent %s is not its certificate's", row.AgentID))
	case !certificate.NotBefore.Equal(row.NotBefore) || !certificate.NotAfter.Equal(row.NotAfter):
		v.problem("certificate", position, "its row's life is not its own")
	}
}

// lost and known: whether the state's sequence can still be compared.
func (s *streamState) lost()       { s.head.NextSequence = unknownSequence }
func (s *streamState) known() bool { return s.head.NextSequence != unknownSequence }

// unknownSequence is no sequence that a stream reaches.
const unknownSequence = 1<<64 - 1

// finish compares what changes with what the leaves add up to.
func (v *verifier) finish() {
	v.finishTree()
	v.finishAbsences()
	for id, state := range v.streams {
		if row := v.rows[id]; row != nil {
			v.streamHead(row, state)
		} else {
			v.streamProblem("stream", -1, id, state.head.Number, "it has no row")
		}
	}
	revoked := map[assay.AgentID]bool{}
	for _, id := range v.snapshot.RevokedAgents {
		revoked[id] = true
		if _, ok := v.revoked[id]; !ok {
			v.problem("agent", -1, fmt.Sprintf("agent %s is revoked without a leaf", id))
		}
	}
	for id, position := range v.revoked {
		if !revoked[id] {
			v.problem("agent", position, fmt.Sprintf("agent %s was revoked here, its row no longer says so", id))
		}
	}
	for id, row := range v.rows {
		if v.streams[id] == nil {
			v.streamProblem("stream", -1, id, row.Number, "it has no epoch in the ledger")
		}
		if _, ok := v.revoked[row.Agent]; ok != row.Revoked {
			v.streamProblem("stream", -1, id, row.Number, "its row does not say of its agent's revocation what the ledger does")
		}
	}
}

func (v *verifier) streamHead(row *postgres.StreamRow, state *streamState) {
	fault := func(format string, args ...any) {
		v.streamProblem("stream", -1, row.Stream, row.Number, fmt.Sprintf(format, args...))
	}
	want := state.head
	switch {
	case row.Kind != want.Kind:
		fault("its row says it is %s, its epochs %s", row.Kind, want.Kind)
	case row.Epoch != want.Epoch || row.Number != want.Number:
		fault("its row's head is epoch %d number %d, its newest leaf's epoch %d number %d", row.Epoch, row.Number, want.Epoch, want.Number)
	case row.Hash != want.Hash:
		fault("its row's head is not its newest batch's hash")
	case state.known() && row.NextSequence != want.NextSequence:
		fault("its row's next sequence is %d, not %d", row.NextSequence, want.NextSequence)
	case state.known() && (row.Position != want.Position || !row.CommittedAt.Equal(want.CommittedAt)):
		fault("its row's newest batch is at position %d, not %d, or of another time", row.Position, want.Position)
	case evidence.Ticks(row.OpenedAt) != state.openedAt:
		fault("its row's opening time is not that of its first epoch")
	}
}
