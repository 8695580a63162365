package consoleapi

import (
	"cmp"
	"context"
	"math"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

const (
	// cosignedWithin is how new a host's cosignature is to count: agents cosign
	// every half hour at the latest.
	cosignedWithin = time.Hour
	// shownStamps and the list of checkpoints are bounded.
	shownStamps      = 30
	shownLost        = 100
	checkpointsShown = 100
	maxCheckpoints   = 1000
)

// vouching fills in who stands behind the ledger.
func (s *ledgerService) vouching(ctx context.Context, res *consolev1.GetLedgerResponse) error {
	vouching, err := s.cfg.Store.Vouching(ctx, s.cfg.Now().Add(-cosignedWithin))
	if err != nil {
		return err
	}
	res.Hosts, res.CosignedHosts, res.CosignedSize = uint64(vouching.Hosts), uint64(vouching.Cosigned), uint64(vouching.Size)
	keys, err := s.cfg.Store.LedgerKeys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		res.Keys = append(res.Keys, &consolev1.LedgerKey{Position: uint64(key.Position), Key: key.Key, Rotation: key.Rotation, Succession: key.Succession})
	}
	stamps, err := s.cfg.Store.TimeStamps(ctx, "", shownStamps)
	if err != nil {
		return err
	}
	for _, t := range stamps {
		res.TimeStamps = append(res.TimeStamps, &consolev1.TimeStamp{Authority: t.Authority, Size: uint64(t.Size), StampedAt: stamp(t.StampedAt), Token: t.Token})
	}
	lost, err := s.cfg.Store.LostRanges(ctx, shownLost)
	if err != nil {
		return err
	}
	for _, l := range lost {
		res.Lost = append(res.Lost, &consolev1.LostRange{HostId: assay.HostID(l.Host).String(), AgentId: assay.AgentID(l.Agent).String(),
			StreamId: assay.StreamID(l.Stream).String(), Epoch: l.Epoch, FromNumber: l.From, ToNumber: l.To})
	}
	return s.witnesses(ctx, res)
}

func (s *ledgerService) witnesses(ctx context.Context, res *consolev1.GetLedgerResponse) error {
	newest, err := s.cfg.Store.NewestWitnessCosignatures(ctx)
	if err != nil {
		return err
	}
	known := map[string]postgres.WitnessCosignature{}
	for _, w := range newest {
		known[w.Key] = w
	}
	add := func(name, key, url string, configured bool) {
		m := &consolev1.Witness{Name: name, Key: key, Url: url, Configured: configured}
		if w, ok := known[key]; ok {
			m.Size, m.SignedAt = uint64(w.Size), stamp(w.SignedAt)
			// One that is no longer believed does not make the ledger witnessed.
			res.Witnessed = res.GetWitnessed() || configured
			delete(known, key)
		}
		res.Witnesses = append(res.Witnesses, m)
	}
	for _, peer := range s.cfg.Witnesses {
		add(peer.Name(), peer.Key, peer.URL, true)
	}
	for _, w := range newest {
		if _, ok := known[w.Key]; ok {
			add(w.Name, w.Key, "", false)
		}
	}
	return nil
}

// ListCheckpoints implements LedgerService.
func (s *ledgerService) ListCheckpoints(ctx context.Context, req *connect.Request[consolev1.ListCheckpointsRequest]) (*connect.Response[consolev1.ListCheckpointsResponse], error) {
	if req.Msg.GetBefore() > math.MaxInt64 {
		return nil, assay.Errorf(assay.Invalid, "no ledger has %d leaves", req.Msg.GetBefore())
	}
	limit := min(cmp.Or(req.Msg.GetLimit(), checkpointsShown), maxCheckpoints)
	list, err := s.cfg.Store.CheckpointSummaries(ctx, int64(req.Msg.GetBefore()), int(limit))
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListCheckpointsResponse{}
	for _, c := range list {
		m := &consolev1.CheckpointSummary{Size: uint64(c.Size), SignedAt: stamp(c.SignedAt), Hosts: uint64(c.Hosts), Witnesses: c.Witnesses}
		if !c.Stamped.IsZero() {
			m.StampedAt = stamp(c.Stamped)
		}
		res.Checkpoints = append(res.Checkpoints, m)
	}
	return connect.NewResponse(res), nil
}

// Cosign implements LedgerService.
func (s *ledgerService) Cosign(ctx context.Context, req *connect.Request[consolev1.CosignRequest]) (*connect.Response[consolev1.CosignResponse], error) {
	if req.Msg.GetSize() > math.MaxInt64 {
		return nil, assay.Errorf(assay.Invalid, "no ledger has %d leaves", req.Msg.GetSize())
	}
	c, err := s.cfg.Store.CheckpointAt(ctx, int64(req.Msg.GetSize()))
	if err != nil {
		return nil, err
	}
	for _, peer := range s.cfg.Witnesses {
		line, at, err := peer.Verify(c.Statement(), req.Msg.GetLines())
		if err != nil {
			continue
		}
		err = s.cfg.Store.KeepWitnessCosignature(ctx, &postgres.WitnessCosignature{Size: c.Size, Key: peer.Key, Name: peer.Name(), SignedAt: at, Line: line})
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(&consolev1.CosignResponse{}), nil
	}
	return nil, assay.Errorf(assay.Denied, "the cosignature is by none of the witnesses that this server believes: start it with --witness and the witness's key")
}
