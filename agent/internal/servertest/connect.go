package servertest

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"golang.org/x/mod/sumdb/note"
)

// Connect implements AgentService.
func (s *Server) Connect(c grpc.BidiStreamingServer[agentv1.ConnectRequest, agentv1.ConnectResponse]) error {
	agent, err := caller(c.Context())
	if err != nil {
		return err
	}
	for {
		frame, err := c.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.Received != nil {
			if err := s.Received(frame); err != nil {
				return err
			}
		}
		answer, err := s.answer(agent, frame)
		if err != nil {
			return err
		}
		if answer == nil {
			continue
		}
		if s.Sending != nil {
			if err := s.Sending(answer); err != nil {
				return err
			}
		}
		if err := c.Send(answer); err != nil {
			return err
		}
	}
}

func (s *Server) answer(agent evidence.ID, frame *agentv1.ConnectRequest) (*agentv1.ConnectResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f := frame.GetFrame().(type) {
	case *agentv1.ConnectRequest_Hello:
		now := evidence.Ticks(s.ca.now())
		w := &agentv1.Welcome{Limits: s.Limits, ReceivedAt: now, SentAt: now, SafeAfterSeconds: s.SafeAfter}
		for key, st := range s.streams {
			if key.agent == agent {
				w.Heads = append(w.Heads, st.head(key.kind))
			}
		}
		return &agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Welcome{Welcome: w}}, nil
	case *agentv1.ConnectRequest_OpenEpoch:
		return s.openEpoch(agent, f.OpenEpoch), nil
	case *agentv1.ConnectRequest_Batch:
		return s.batch(agent, f.Batch)
	case *agentv1.ConnectRequest_CheckpointRequest:
		return s.checkpoint(agent, f.CheckpointRequest)
	case *agentv1.ConnectRequest_Cosignature:
		s.cosigned = append(s.cosigned, f.Cosignature)
	}
	return nil, nil
}

func (st *stream) head(kind evidence.StreamKind) *agentv1.Head {
	return &agentv1.Head{
		StreamId: append([]byte(nil), st.id[:]...), Kind: agentv1.StreamKind(kind), Epoch: st.epoch, Number: st.number,
		Hash: append([]byte(nil), st.hash[:]...), NextSequence: st.sequence,
	}
}

func (s *Server) openEpoch(agent evidence.ID, r *agentv1.OpenEpoch) *agentv1.ConnectResponse {
	key := streamKey{agent, evidence.StreamKind(r.GetKind())}
	st := s.streams[key]
	if st == nil {
		st = &stream{past: map[[2]uint64]evidence.Hash{}}
		_, _ = rand.Read(st.id[:])
		s.streams[key] = st
	}
	opening := evidence.Opening{
		Kind: key.kind, Stream: st.id, Epoch: st.epoch + 1, Reason: r.GetReason(), GrantedAt: evidence.Ticks(s.ca.now()),
		Predecessor: st.hash, PredecessorNumber: st.number, FirstSequence: st.sequence, BootID: r.GetBootId(),
	}
	canonical := opening.Canonical()
	st.epoch, st.number, st.hash = opening.Epoch, 0, evidence.HashOpening(canonical)
	s.reasons = append(s.reasons, r.GetReason())
	if r.GetLostFrom() > 0 {
		s.lost = append(s.lost, [2]uint64{r.GetLostFrom(), r.GetLostTo()})
	}
	s.record(evidence.Leaf{Kind: evidence.LeafEpoch, RecordedAt: opening.GrantedAt, Body: canonical})
	return &agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_EpochOpened{
		EpochOpened: &agentv1.EpochOpened{Head: st.head(key.kind), Opening: canonical},
	}}
}

func (s *Server) batch(agent evidence.ID, b *agentv1.Batch) (*agentv1.ConnectResponse, error) {
	h, err := evidence.ParseHeader(b.GetHeader())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if sha256.Sum256(b.GetPayload()) != h.PayloadSHA256 {
		return nil, status.Error(codes.InvalidArgument, "the payload differs from its hash")
	}
	key := streamKey{agent, h.Kind}
	st := s.streams[key]
	if st == nil || st.id != h.Stream {
		return nil, status.Error(codes.InvalidArgument, "the stream is not this agent's")
	}
	hash := evidence.HashHeader(b.GetHeader())
	past, seen := st.past[[2]uint64{uint64(h.Epoch), h.Number}]
	switch {
	case h.Epoch == st.epoch && h.Number == st.number+1 && h.Previous == st.hash && h.FirstSequence == st.sequence:
		s.commit(agent, st, h, hash, b)
	case seen && past == hash:
	case h.Epoch != st.epoch || h.Number > st.number+1:
		return &agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Resend{Resend: &agentv1.Resend{Head: st.head(h.Kind)}}}, nil
	default:
		s.forks++
		return &agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Forked{
			Forked: &agentv1.Forked{Head: st.head(h.Kind), Number: h.Number, Message: "it contradicts the acknowledged chain"},
		}}, nil
	}
	ack := &agentv1.Ack{
		StreamId: h.Stream[:], Epoch: h.Epoch, Number: h.Number, Hash: hash[:],
		Position: st.position, CommittedAt: evidence.Ticks(s.ca.now()),
	}
	if s.SafeAfter == 0 {
		ack.SafeNumber = h.Number
	}
	return &agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Ack{Ack: ack}}, nil
}

func (s *Server) commit(agent evidence.ID, st *stream, h evidence.Header, hash evidence.Hash, b *agentv1.Batch) {
	st.number, st.hash, st.sequence = h.Number, hash, h.FirstSequence+uint64(h.EventCount)
	st.past[[2]uint64{uint64(h.Epoch), h.Number}] = hash
	body := evidence.BatchLeaf{
		Agent: agent, Stream: h.Stream, Epoch: h.Epoch, Number: h.Number, Header: hash,
		HeadSignature: evidence.HashSignature(b.GetHeadSignature()),
	}
	st.position = uint64(len(s.leaves))
	s.record(evidence.Leaf{Kind: evidence.LeafBatch, RecordedAt: evidence.Ticks(s.ca.now()), Body: body.Canonical()})
	s.commits = append(s.commits, Commit{Agent: agent, Header: h, Frame: b})
}

// record appends a leaf to the tree. Under mu.
func (s *Server) record(leaf evidence.Leaf) {
	canonical := leaf.Canonical()
	stored, err := tlog.StoredHashes(int64(len(s.leaves)), canonical, tlog.HashReaderFunc(s.readHashes))
	if err != nil {
		panic(err) // the tree is in memory and complete
	}
	s.leaves, s.hashes = append(s.leaves, canonical), append(s.hashes, stored...)
}

func (s *Server) readHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = s.hashes[index]
	}
	return out, nil
}

func (s *Server) root(size int64) (evidence.Hash, error) {
	root, err := tlog.TreeHash(size, tlog.HashReaderFunc(s.readHashes))
	return evidence.Hash(root), err
}

func (s *Server) checkpoint(agent evidence.ID, r *agentv1.CheckpointRequest) (*agentv1.ConnectResponse, error) {
	size := int64(len(s.leaves))
	reader := tlog.HashReaderFunc(s.readHashes)
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return nil, err
	}
	signers := []note.Signer{s.signer}
	if s.old != nil {
		signers = append(signers, s.old)
	}
	signed, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: s.signer.Name(), Size: size, Root: evidence.Hash(root)}, signers...)
	if err != nil {
		return nil, err
	}
	out := &agentv1.Checkpoint{Note: signed, Cosign: r.GetCosign(), KnownSize: r.GetKnownSize()}
	for i, change := range s.changes {
		if change.from == r.GetKnownKey() {
			for _, next := range s.changes[i:] {
				out.KeyChanges = append(out.KeyChanges, []byte(next.note))
			}
		}
	}
	if known := int64(r.GetKnownSize()); known > 0 && known < size {
		proof, err := tlog.ProveTree(size, known, reader)
		if err != nil {
			return nil, err
		}
		for _, h := range proof {
			out.Consistency = append(out.Consistency, append([]byte(nil), h[:]...))
		}
	}
	for key, st := range s.streams {
		if key.agent != agent || len(st.past) == 0 {
			continue
		}
		proof, err := tlog.ProveRecord(size, int64(st.position), reader)
		if err != nil {
			return nil, err
		}
		i := &agentv1.Inclusion{StreamId: st.id[:], Position: st.position, Leaf: s.leaves[st.position]}
		for _, h := range proof {
			i.Proof = append(i.Proof, append([]byte(nil), h[:]...))
		}
		out.Inclusions = append(out.Inclusions, i)
	}
	return &agentv1.ConnectResponse{Frame: &agentv1.ConnectResponse_Checkpoint{Checkpoint: out}}, nil
}
