package consoleapi

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type statusService struct{ *Server }

// snapshot is how everything stands at the asked moment.
func (s *Server) snapshot(ctx context.Context, asOf *consolev1.AsOf) (*assess.Snapshot, error) {
	if asOf.GetInstant() == nil && asOf.GetTreeSize() == 0 {
		snapshot, err := s.cfg.Assessor.Newest(ctx)
		if assay.KindOf(err) == assay.NotFound {
			return nil, assay.Errorf(assay.Unavailable, "nothing has been evaluated yet: try again in a minute")
		}
		return snapshot, err
	}
	return s.cfg.Assessor.At(ctx, timeOf(asOf.GetInstant()), asOf.GetTreeSize())
}

// changesShown is how many transitions the overview lists.
const changesShown = 20

// GetOverview implements StatusService.
func (s *statusService) GetOverview(ctx context.Context, req *connect.Request[consolev1.GetOverviewRequest]) (*connect.Response[consolev1.GetOverviewResponse], error) {
	snapshot, err := s.snapshot(ctx, req.Msg.GetAsOf())
	if err != nil {
		return nil, err
	}
	res := &consolev1.GetOverviewResponse{Evaluated: evaluatedMessage(snapshot), Hosts: uint32(len(snapshot.Hosts)), FindingAges: make([]uint32, 5)}
	for _, f := range s.cfg.Library.Frameworks() {
		counts := assay.StateCounts{}
		for _, r := range snapshot.Framework(f.ID) {
			counts.Add(r.State)
		}
		res.Frameworks = append(res.Frameworks, &consolev1.FrameworkSummary{Id: f.ID, Version: f.Version, Title: f.Title, Requirements: countsMessage(counts)})
	}
	for _, c := range s.cfg.Library.Checks() {
		res.Checks = append(res.Checks, &consolev1.CheckSummary{Id: c.ID, Title: c.Title, Hosts: countsMessage(snapshot.Check(c.ID))})
	}
	for i := range snapshot.Hosts {
		h := &snapshot.Hosts[i]
		if h.Kind == assay.ImportedHost {
			res.HostsImported++
		}
		if h.Simulated {
			res.HostsSimulated++
		}
		if snapshot.Silent(h) {
			res.SilentHosts++
		}
	}
	for i := range snapshot.Findings {
		f := &snapshot.Findings[i]
		if f.Open() {
			res.OpenFindings++
			res.FindingAges[ageBucket(snapshot.Instant.Sub(f.OpenedAt))]++
		}
	}
	if err := s.ledgerSummary(ctx, res); err != nil {
		return nil, err
	}
	filter := postgres.TransitionFilter{Since: snapshot.Instant.Add(-24 * time.Hour), Below: req.Msg.GetAsOf().GetTreeSize(), Limit: changesShown}
	if req.Msg.GetAsOf().GetInstant() != nil {
		// Of a past day: what became so on it, whenever that was learnt.
		filter.ValidFrom, filter.ValidTo, filter.Since = filter.Since, snapshot.Instant, time.Time{}
	}
	transitions, err := s.cfg.Store.Transitions(ctx, filter)
	if err != nil {
		return nil, err
	}
	res.Transitions = s.transitionMessages(snapshot, transitions)
	return connect.NewResponse(res), nil
}

func ageBucket(age time.Duration) int {
	for i, bound := range []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
		if age < bound {
			return i
		}
	}
	return 4
}

func (s *statusService) ledgerSummary(ctx context.Context, res *consolev1.GetOverviewResponse) (err error) {
	if res.LedgerSize, err = s.cfg.Store.LedgerSize(ctx); err != nil {
		return err
	}
	if res.EventsLastDay, err = s.cfg.Store.EventsSince(ctx, s.cfg.Now().Add(-24*time.Hour)); err != nil {
		return err
	}
	runs, err := s.cfg.Store.VerificationsSince(ctx, time.Time{}, 1)
	if err != nil || len(runs) == 0 {
		return err
	}
	last := runs[len(runs)-1]
	res.LedgerVerifiedAt, res.LedgerGood = stamp(last.FinishedAt), len(last.Problems) == 0
	return nil
}

// ListFrameworks implements StatusService.
func (s *statusService) ListFrameworks(_ context.Context, _ *connect.Request[consolev1.ListFrameworksRequest]) (*connect.Response[consolev1.ListFrameworksResponse], error) {
	res := &consolev1.ListFrameworksResponse{}
	for _, f := range s.cfg.Library.Frameworks() {
		res.Frameworks = append(res.Frameworks, frameworkMessage(&f))
	}
	for _, c := range s.cfg.Library.Checks() {
		res.Checks = append(res.Checks, &consolev1.Check{
			Id: c.ID, Title: c.Title, Kind: string(c.Kind), Description: c.Description, Violation: c.Violation,
			Requires: c.Requires, Remedy: c.Remedy, MinimumGrade: c.MinimumGrade.String(),
		})
	}
	return connect.NewResponse(res), nil
}

func frameworkMessage(f *assay.Framework) *consolev1.Framework {
	m := &consolev1.Framework{Id: f.ID, Version: f.Version, Title: f.Title}
	for _, r := range f.Requirements {
		m.Requirements = append(m.Requirements, &consolev1.Requirement{
			Id: r.ID, Title: r.Title, Ceiling: string(r.Ceiling), Obligation: string(r.Obligation), Checks: r.Checks, Chapter: r.Chapter,
		})
	}
	return m
}

// GetFrameworkStatus implements StatusService.
func (s *statusService) GetFrameworkStatus(ctx context.Context, req *connect.Request[consolev1.GetFrameworkStatusRequest]) (*connect.Response[consolev1.GetFrameworkStatusResponse], error) {
	snapshot, err := s.snapshot(ctx, req.Msg.GetAsOf())
	if err != nil {
		return nil, err
	}
	f := snapshot.FrameworkByID(req.Msg.GetFramework())
	if f == nil {
		return nil, assay.Errorf(assay.NotFound, "there is no framework %q: the frameworks are %s", req.Msg.GetFramework(), s.frameworkIDs())
	}
	if req.Msg.GetHost() != "" {
		id, err := assay.ParseHostID(req.Msg.GetHost())
		if err != nil {
			return nil, err
		}
		if snapshot, err = snapshot.Only(id); err != nil {
			return nil, err
		}
	}
	res := &consolev1.GetFrameworkStatusResponse{Evaluated: evaluatedMessage(snapshot), Framework: frameworkMessage(f)}
	for _, r := range snapshot.Framework(f.ID) {
		m := &consolev1.RequirementStatus{Id: r.ID, State: stateMessage(r.State), Hosts: countsMessage(r.Hosts), Grade: r.Grade.String()}
		for _, id := range r.Checks {
			m.Checks = append(m.Checks, &consolev1.CheckSummary{Id: id, Title: s.cfg.Library.Check(id).Title, Hosts: countsMessage(snapshot.Check(id))})
		}
		res.Requirements = append(res.Requirements, m)
	}
	return connect.NewResponse(res), nil
}

func (s *Server) frameworkIDs() string {
	var ids []string
	for _, f := range s.cfg.Library.Frameworks() {
		ids = append(ids, f.ID)
	}
	return strings.Join(ids, ", ")
}

// ListVerdicts implements StatusService.
func (s *statusService) ListVerdicts(ctx context.Context, req *connect.Request[consolev1.ListVerdictsRequest]) (*connect.Response[consolev1.ListVerdictsResponse], error) {
	snapshot, err := s.snapshot(ctx, req.Msg.GetAsOf())
	if err != nil {
		return nil, err
	}
	checks, err := s.wantedChecks(req.Msg)
	if err != nil {
		return nil, err
	}
	if req.Msg.GetHost() != "" {
		id, err := assay.ParseHostID(req.Msg.GetHost())
		if err != nil {
			return nil, err
		}
		if snapshot, err = snapshot.Only(id); err != nil {
			return nil, err
		}
	}
	var all []*consolev1.Verdict
	for i := range snapshot.Hosts {
		for j := range snapshot.Verdicts[snapshot.Hosts[i].ID] {
			v := &snapshot.Verdicts[snapshot.Hosts[i].ID][j]
			if checks != nil && !slices.Contains(checks, v.Check) {
				continue
			}
			if want := req.Msg.GetState(); want != consolev1.State_STATE_UNSPECIFIED && want != stateMessage(v.State) {
				continue
			}
			all = append(all, verdictMessage(&snapshot.Hosts[i], v))
		}
	}
	slices.SortStableFunc(all, func(a, b *consolev1.Verdict) int {
		return cmp.Compare(displayOrder(a.GetState()), displayOrder(b.GetState()))
	})
	part, next, err := window(all, req.Msg.GetPage())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.ListVerdictsResponse{
		Evaluated: evaluatedMessage(snapshot), Verdicts: part, NextPageToken: next, Total: uint32(len(all)),
	}), nil
}

// wantedChecks narrows by check, requirement or framework; nil means all.
func (s *statusService) wantedChecks(m *consolev1.ListVerdictsRequest) ([]string, error) {
	if m.GetCheck() != "" {
		if s.cfg.Library.Check(m.GetCheck()) == nil {
			return nil, assay.Errorf(assay.NotFound, "there is no check %q", m.GetCheck())
		}
		return []string{m.GetCheck()}, nil
	}
	if m.GetFramework() == "" {
		return nil, nil
	}
	checks := []string{}
	for _, f := range s.cfg.Library.Frameworks() {
		if f.ID != m.GetFramework() {
			continue
		}
		for _, r := range f.Requirements {
			if m.GetRequirement() == "" || m.GetRequirement() == r.ID {
				checks = append(checks, r.Checks...)
			}
		}
	}
	return checks, nil
}

// ListTransitions implements StatusService.
func (s *statusService) ListTransitions(ctx context.Context, req *connect.Request[consolev1.ListTransitionsRequest]) (*connect.Response[consolev1.ListTransitionsResponse], error) {
	filter := postgres.TransitionFilter{Check: req.Msg.GetCheck(), Since: timeOf(req.Msg.GetSince()), Limit: pageSize(req.Msg.GetPage())}
	if req.Msg.GetHost() != "" {
		id, err := assay.ParseHostID(req.Msg.GetHost())
		if err != nil {
			return nil, err
		}
		filter.Host = &id
	}
	if token := req.Msg.GetPage().GetToken(); token != "" {
		fields, err := readToken(token, 1)
		if err != nil {
			return nil, err
		}
		filter.Before = fields[0]
	}
	transitions, err := s.cfg.Store.Transitions(ctx, filter)
	if err != nil {
		return nil, err
	}
	snapshot, err := s.snapshot(ctx, nil)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListTransitionsResponse{Transitions: s.transitionMessages(snapshot, transitions)}
	if len(transitions) == filter.Limit {
		res.NextPageToken = writeToken(transitions[len(transitions)-1].Position)
	}
	return connect.NewResponse(res), nil
}

func (s *Server) transitionMessages(snapshot *assess.Snapshot, transitions []assay.Transition) []*consolev1.Transition {
	names := snapshot.HostNames()
	list := make([]*consolev1.Transition, len(transitions))
	for i, t := range transitions {
		list[i] = &consolev1.Transition{
			HostId: t.Host.String(), HostName: names[t.Host], Check: t.Check, From: stateMessage(t.From), To: stateMessage(t.To),
			Reason: string(t.Reason), ValidAt: stamp(t.ValidAt), RecordedAt: stamp(t.RecordedAt), Position: t.Position,
		}
	}
	return list
}

func verdictMessage(host *assay.Host, v *assay.Verdict) *consolev1.Verdict {
	return &consolev1.Verdict{
		HostId: host.ID.String(), HostName: host.Name, Check: v.Check, State: stateMessage(v.State), Reason: string(v.Reason), Detail: v.Detail,
		Grade: v.Grade.String(), Coverage: v.Coverage, HasCoverage: v.HasCoverage, WindowFrom: stamp(v.WindowFrom), WindowTo: stamp(v.WindowTo),
		Evidence: refMessages(v.Evidence), EvidenceTotal: uint32(v.EvidenceTotal), Since: stamp(v.Since), OpenFindings: uint32(v.OpenFindings),
	}
}

func evaluatedMessage(s *assess.Snapshot) *consolev1.Evaluated {
	return &consolev1.Evaluated{Instant: timestamppb.New(s.Instant), Watermark: timestamppb.New(s.Watermark), TreeSize: s.Size}
}

// stateMessage relies on the numbers of both being the same, which a test holds.
func stateMessage(s assay.State) consolev1.State { return consolev1.State(s) }

func displayOrder(s consolev1.State) int {
	return slices.Index([]consolev1.State{
		consolev1.State_STATE_FAIL, consolev1.State_STATE_ERROR, consolev1.State_STATE_UNKNOWN,
		consolev1.State_STATE_MANUAL, consolev1.State_STATE_PASS, consolev1.State_STATE_NOT_APPLICABLE,
	}, s)
}

func countsMessage(c assay.StateCounts) *consolev1.StateCounts {
	return &consolev1.StateCounts{
		Pass: uint32(c.Pass), Fail: uint32(c.Fail), Unknown: uint32(c.Unknown), Error: uint32(c.Error),
		NotApplicable: uint32(c.NotApplicable), Manual: uint32(c.Manual),
	}
}
