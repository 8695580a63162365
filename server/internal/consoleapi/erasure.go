package consoleapi

import (
	"context"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
)

type erasureService struct{ *Server }

// ListErasures implements ErasureService.
func (s *erasureService) ListErasures(ctx context.Context, _ *connect.Request[consolev1.ListErasuresRequest]) (*connect.Response[consolev1.ListErasuresResponse], error) {
	erasures, err := s.cfg.Store.Erasures(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListErasuresResponse{}
	for i := range erasures {
		res.Erasures = append(res.Erasures, s.erasureMessage(&erasures[i], names))
	}
	return connect.NewResponse(res), nil
}

func (s *erasureService) erasureMessage(e *assay.Erasure, names map[assay.HostID]string) *consolev1.Erasure {
	return &consolev1.Erasure{
		Id: e.ID.String(), HostId: e.Host.String(), HostName: names[e.Host], Month: e.Month.Format("2006-01"), Reason: e.Reason,
		RequestedBy: e.RequestedBy, RequestedAt: stamp(e.RequestedAt), Position: e.Position, DueAt: stamp(e.DueAt), DoneAt: stamp(e.DoneAt),
		State: e.State(s.cfg.Now()),
	}
}

// RequestErasure implements ErasureService.
func (s *erasureService) RequestErasure(ctx context.Context, req *connect.Request[consolev1.RequestErasureRequest]) (*connect.Response[consolev1.RequestErasureResponse], error) {
	host, err := assay.ParseHostID(req.Msg.GetHostId())
	if err != nil {
		return nil, err
	}
	month, err := assay.ParseMonth(req.Msg.GetMonth())
	if err != nil {
		return nil, err
	}
	end := month.AddDate(0, 1, 0)
	if end.After(s.cfg.Now()) {
		return nil, assay.Errorf(assay.Invalid, "%s is not over yet: what is still being received cannot be erased", req.Msg.GetMonth())
	}
	id, err := s.cfg.Store.RequestErasure(ctx, host, month, end.Add(s.cfg.KeepFor), req.Msg.GetReason(), sessionOf(ctx).User.Name)
	if err != nil {
		return nil, err
	}
	all, err := s.cfg.Store.Erasures(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].ID == id {
			return connect.NewResponse(&consolev1.RequestErasureResponse{Erasure: s.erasureMessage(&all[i], names)}), nil
		}
	}
	return nil, assay.Errorf(assay.Internal, "the erasure that was requested is gone")
}
