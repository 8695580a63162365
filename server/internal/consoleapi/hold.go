package consoleapi

import (
	"context"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
)

type holdService struct{ *Server }

// ListHolds implements HoldService.
func (s *holdService) ListHolds(ctx context.Context, _ *connect.Request[consolev1.ListHoldsRequest]) (*connect.Response[consolev1.ListHoldsResponse], error) {
	holds, err := s.cfg.Store.Holds(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListHoldsResponse{}
	for i := range holds {
		h := &holds[i]
		m := &consolev1.Hold{
			Id: h.ID.String(), Reason: h.Reason, PlacedBy: h.PlacedBy, PlacedAt: stamp(h.PlacedAt), Position: h.Position,
			ReleasedBy: h.ReleasedBy, ReleasedAt: stamp(h.ReleasedAt), ReleaseReason: h.ReleaseReason,
		}
		if h.Host != (assay.HostID{}) {
			m.HostId, m.HostName = h.Host.String(), names[h.Host]
		}
		res.Holds = append(res.Holds, m)
	}
	return connect.NewResponse(res), nil
}

// PlaceHold implements HoldService.
func (s *holdService) PlaceHold(ctx context.Context, req *connect.Request[consolev1.PlaceHoldRequest]) (*connect.Response[consolev1.PlaceHoldResponse], error) {
	var host assay.HostID
	if text := req.Msg.GetHostId(); text != "" {
		var err error
		if host, err = assay.ParseHostID(text); err != nil {
			return nil, err
		}
	}
	id, err := s.cfg.Store.PlaceHold(ctx, host, req.Msg.GetReason(), sessionOf(ctx).User.Name)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.PlaceHoldResponse{Id: id.String()}), nil
}

// ReleaseHold implements HoldService.
func (s *holdService) ReleaseHold(ctx context.Context, req *connect.Request[consolev1.ReleaseHoldRequest]) (*connect.Response[consolev1.ReleaseHoldResponse], error) {
	id, err := assay.ParseHoldID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Store.ReleaseHold(ctx, id, req.Msg.GetReason(), sessionOf(ctx).User.Name); err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.ReleaseHoldResponse{}), nil
}
