package consoleapi

import (
	"context"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type findingService struct{ *Server }

// maxCause bounds the cause of a closing in bytes.
const maxCause = 2000

// ListFindings implements FindingService.
func (s *findingService) ListFindings(ctx context.Context, req *connect.Request[consolev1.ListFindingsRequest]) (*connect.Response[consolev1.ListFindingsResponse], error) {
	m := req.Msg
	if m.GetStatus() != "" && m.GetStatus() != "open" && m.GetStatus() != "closed" {
		return nil, assay.Errorf(assay.Invalid, "a finding's status is open or closed, not %q", m.GetStatus())
	}
	snapshot, err := s.snapshot(ctx, m.GetAsOf())
	if err != nil {
		return nil, err
	}
	var host assay.HostID
	if m.GetHost() != "" {
		if host, err = assay.ParseHostID(m.GetHost()); err != nil {
			return nil, err
		}
	}
	var all []*postgres.StoredFinding
	for i := range snapshot.Findings {
		f := &snapshot.Findings[i]
		if m.GetHost() != "" && f.Host != host || m.GetCheck() != "" && f.Check != m.GetCheck() || m.GetStatus() != "" && statusOf(f) != m.GetStatus() {
			continue
		}
		all = append(all, f)
	}
	part, next, err := window(all, m.GetPage())
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListFindingsResponse{NextPageToken: next, Total: uint32(len(all))}
	names := snapshot.HostNames()
	for _, f := range part {
		res.Findings = append(res.Findings, s.findingMessage(names[f.Host], f))
	}
	return connect.NewResponse(res), nil
}

func statusOf(f *postgres.StoredFinding) string {
	if f.Open() {
		return "open"
	}
	return "closed"
}

func (s *Server) findingMessage(host string, f *postgres.StoredFinding) *consolev1.Finding {
	return &consolev1.Finding{
		Id: f.ID.String(), HostId: f.Host.String(), HostName: host, Check: f.Check, Title: f.Title, Status: statusOf(f),
		OpenedAt: stamp(f.OpenedAt), ClosedAt: stamp(f.ResolvedAt), ClosedBy: f.ClosedBy, Cause: f.Cause, Grade: f.Grade.String(),
		Evidence: refMessages(f.Evidence), Fields: sortedFields(f.Fields), Position: f.Position, Requirements: s.cfg.Library.RequirementsOf(f.Check),
	}
}

// GetFinding implements FindingService.
func (s *findingService) GetFinding(ctx context.Context, req *connect.Request[consolev1.GetFindingRequest]) (*connect.Response[consolev1.GetFindingResponse], error) {
	id, err := assay.ParseFindingID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	m, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.GetFindingResponse{Finding: m}), nil
}

func (s *findingService) find(ctx context.Context, id assay.FindingID) (*consolev1.Finding, error) {
	f, err := s.cfg.Store.Finding(ctx, id)
	if assay.KindOf(err) == assay.NotFound {
		return nil, assay.Errorf(assay.NotFound, "there is no finding %s", id)
	}
	if err != nil {
		return nil, err
	}
	var snapshot *assess.Snapshot
	if snapshot, err = s.snapshot(ctx, nil); err != nil {
		return nil, err
	}
	return s.findingMessage(snapshot.HostNames()[f.Host], &f), nil
}

// CloseFinding implements FindingService.
func (s *findingService) CloseFinding(ctx context.Context, req *connect.Request[consolev1.CloseFindingRequest]) (*connect.Response[consolev1.CloseFindingResponse], error) {
	id, err := assay.ParseFindingID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	cause := strings.TrimSpace(req.Msg.GetCause())
	if cause == "" {
		return nil, assay.Errorf(assay.Invalid, "say what caused it: a finding is closed with a cause")
	}
	if len(cause) > maxCause {
		return nil, assay.Errorf(assay.Invalid, "the cause has %d bytes, at most %d", len(cause), maxCause)
	}
	if err := s.cfg.Store.CloseFinding(ctx, id, sessionOf(ctx).User.Name, cause); err != nil {
		return nil, err
	}
	m, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.CloseFindingResponse{Finding: m}), nil
}
