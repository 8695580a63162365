package consoleapi

import (
	"context"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type segmentService struct{ *Server }

// ListSegments implements SegmentService.
func (s *segmentService) ListSegments(ctx context.Context, _ *connect.Request[consolev1.ListSegmentsRequest]) (*connect.Response[consolev1.ListSegmentsResponse], error) {
	segments, err := s.cfg.Store.ArchivedSegments(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListSegmentsResponse{}
	for i := range segments {
		g := &segments[i]
		res.Segments = append(res.Segments, &consolev1.Segment{
			Number: g.Number, From: uint64(g.Number) * postgres.SegmentSize, To: uint64(g.Number+1) * postgres.SegmentSize,
			Object: g.Object, Bytes: g.Bytes, Sha256: g.SHA256[:], Batches: g.Batches, FirstReceived: stamp(g.FirstReceived),
			LastReceived: stamp(g.LastReceived), ArchivedAt: stamp(g.ArchivedAt), Position: g.Position, DroppedAt: stamp(g.DroppedAt), DeletedAt: stamp(g.DeletedAt),
		})
	}
	return connect.NewResponse(res), nil
}
