package servertest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// Commits returns what is committed, in order.
func (s *Server) Commits() []Commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commits)
}

// Reasons returns the reasons of all epochs granted, in order; Forks how many
// batches contradicted a chain.
func (s *Server) Reasons() (reasons []string, forks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reasons), s.forks
}

// Forget loses everything that was committed, as an empty database would.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams, s.leaves, s.hashes, s.commits = map[streamKey]*stream{}, nil, nil, nil
}

// Backup is what Restore goes back to.
type Backup struct {
	streams map[streamKey]*stream
	leaves  int
	commits int
}

// Backup remembers the present.
func (s *Server) Backup() Backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := Backup{streams: map[streamKey]*stream{}, leaves: len(s.leaves), commits: len(s.commits)}
	for key, st := range s.streams {
		c := *st
		c.past = maps.Clone(st.past)
		b.streams[key] = &c
	}
	return b
}

// Restore goes back to a backup, as a restored database would.
func (s *Server) Restore(b Backup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams, s.commits = b.streams, s.commits[:b.commits]
	s.leaves = s.leaves[:b.leaves]
	leaves := s.leaves
	s.leaves, s.hashes = nil, nil
	for _, canonical := range leaves {
		leaf, err := evidence.ParseLeaf(canonical)
		if err != nil {
			panic(err) // it was written by record
		}
		s.record(leaf)
	}
}

// Events decodes all committed batches of a kind, in order of commit.
func (s *Server) Events(kind evidence.StreamKind) ([]*telemetryv1.Event, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	var events []*telemetryv1.Event
	for _, c := range s.Commits() {
		if c.Header.Kind != kind {
			continue
		}
		raw, err := dec.DecodeAll(c.Frame.GetPayload(), nil)
		if err != nil {
			return nil, err
		}
		var block telemetryv1.Block
		if err := proto.Unmarshal(raw, &block); err != nil {
			return nil, err
		}
		if evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents())) != c.Header.Commitments {
			return nil, fmt.Errorf("batch %d: commitments differ", c.Header.Number)
		}
		for _, b := range block.GetEvents() {
			ev := &telemetryv1.Event{}
			if err := proto.Unmarshal(b, ev); err != nil {
				return nil, err
			}
			events = append(events, ev)
		}
	}
	return events, nil
}

// Now is the server's clock.
func (s *Server) Now() time.Time { return s.ca.now() }
