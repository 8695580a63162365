package consoleapi

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type hostService struct{ *Server }

// ListHosts implements HostService.
func (s *hostService) ListHosts(ctx context.Context, req *connect.Request[consolev1.ListHostsRequest]) (*connect.Response[consolev1.ListHostsResponse], error) {
	snapshot, err := s.snapshot(ctx, req.Msg.GetAsOf())
	if err != nil {
		return nil, err
	}
	var checks []string
	if req.Msg.GetFramework() != "" {
		f := snapshot.FrameworkByID(req.Msg.GetFramework())
		if f == nil {
			return nil, assay.Errorf(assay.NotFound, "there is no framework %q: the frameworks are %s", req.Msg.GetFramework(), s.frameworkIDs())
		}
		for _, r := range f.Requirements {
			checks = append(checks, r.Checks...)
		}
	}
	var wanted []assay.Host
	for i := range snapshot.Hosts {
		h := &snapshot.Hosts[i]
		if !strings.Contains(strings.ToLower(h.Name), strings.ToLower(req.Msg.GetName())) || req.Msg.GetKind() != "" && req.Msg.GetKind() != string(h.Kind) {
			continue
		}
		wanted = append(wanted, *h)
	}
	part, next, err := window(wanted, req.Msg.GetPage())
	if err != nil {
		return nil, err
	}
	covered, err := s.coveredShares(ctx, snapshot, part)
	if err != nil {
		return nil, err
	}
	open := openFindings(snapshot)
	res := &consolev1.ListHostsResponse{NextPageToken: next, Total: uint32(len(wanted)), Evaluated: evaluatedMessage(snapshot)}
	for i := range part {
		m := hostMessage(snapshot, &part[i], checks)
		m.OpenFindings = open[part[i].ID]
		m.CoverageDay, m.HasCoverage = shareOf(covered, part[i].ID)
		res.Hosts = append(res.Hosts, m)
	}
	return connect.NewResponse(res), nil
}

func openFindings(snapshot *assess.Snapshot) map[assay.HostID]uint32 {
	open := map[assay.HostID]uint32{}
	for i := range snapshot.Findings {
		if snapshot.Findings[i].Open() {
			open[snapshot.Findings[i].Host]++
		}
	}
	return open
}

func hostMessage(snapshot *assess.Snapshot, h *assay.Host, checks []string) *consolev1.Host {
	activity := snapshot.Activity[h.ID]
	m := &consolev1.Host{
		Id: h.ID.String(), Name: h.Name, Domain: h.Domain, Kind: string(h.Kind), Os: h.OS, OsVersion: h.OSVersion, Simulated: h.Simulated, Tags: h.Tags,
		FirstSeenAt: stamp(activity.FirstObserved), LastSeenAt: stamp(activity.LastObserved), Silent: snapshot.Silent(h),
		States: countsMessage(snapshot.HostStates(h.ID, checks)),
	}
	for _, other := range snapshot.AlsoKnownAs(h) {
		m.AlsoKnownAs = append(m.AlsoKnownAs, &consolev1.HostLink{Id: other.ID.String(), Name: other.Name})
	}
	return m
}

// shares of expected time: covered and expected, by host.
type share struct{ covered, expected time.Duration }

// coveredShares sums the last day's coverage of the hosts over all lanes.
func (s *hostService) coveredShares(ctx context.Context, snapshot *assess.Snapshot, hosts []assay.Host) (map[assay.HostID]share, error) {
	shares := map[assay.HostID]share{}
	if len(hosts) == 0 {
		return shares, nil
	}
	ids := make([]assay.HostID, len(hosts))
	for i := range hosts {
		ids[i] = hosts[i].ID
	}
	to := earliestOf(snapshot.Instant, snapshot.Watermark)
	from := to.Add(-24 * time.Hour)
	ranges, err := s.cfg.Store.Coverage(ctx, ids, from, to)
	if err != nil {
		return nil, err
	}
	for start := 0; start < len(ranges); {
		end := laneEnd(ranges, start)
		sum := laneShare(ranges[start:end], from, to)
		total := shares[ranges[start].Host]
		shares[ranges[start].Host] = share{total.covered + sum.covered, total.expected + sum.expected}
		start = end
	}
	return shares, nil
}

func shareOf(shares map[assay.HostID]share, host assay.HostID) (float64, bool) {
	s := shares[host]
	if s.expected <= 0 {
		return 0, false
	}
	return float64(s.covered) / float64(s.expected), true
}

func earliestOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// laneEnd is the end of the run of ranges of one source, channel and capability.
func laneEnd(ranges []assay.CoverageRange, start int) int {
	end := start + 1
	for end < len(ranges) && ranges[end].Host == ranges[start].Host && ranges[end].Source == ranges[start].Source &&
		ranges[end].Channel == ranges[start].Channel && ranges[end].Capability == ranges[start].Capability {
		end++
	}
	return end
}

// laneShare sums one lane from its first range on; time off that is explained
// is not expected, and what nothing was said of at the end counts against.
func laneShare(lane []assay.CoverageRange, from, to time.Time) share {
	var sum share
	begin := lane[0].From
	if begin.Before(from) {
		begin = from
	}
	sum.expected = max(0, to.Sub(begin))
	for _, r := range lane {
		start, end := r.From, earliestOf(r.To, to)
		if start.Before(from) {
			start = from
		}
		length := max(0, end.Sub(start))
		switch r.State {
		case assay.Covered:
			sum.covered += length
		case assay.ExplainedOff:
			sum.expected -= length
		case assay.Unexplained, assay.Pending:
		}
	}
	return sum
}

// GetHost implements HostService.
func (s *hostService) GetHost(ctx context.Context, req *connect.Request[consolev1.GetHostRequest]) (*connect.Response[consolev1.GetHostResponse], error) {
	id, err := assay.ParseHostID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	snapshot, err := s.snapshot(ctx, req.Msg.GetAsOf())
	if err != nil {
		return nil, err
	}
	one, err := snapshot.Only(id)
	if err != nil {
		return nil, err
	}
	streams, err := s.cfg.Store.Streams(ctx, &id)
	if err != nil {
		return nil, err
	}
	covered, err := s.coveredShares(ctx, snapshot, one.Hosts)
	if err != nil {
		return nil, err
	}
	m := hostMessage(snapshot, &one.Hosts[0], nil)
	m.OpenFindings = openFindings(snapshot)[id]
	m.CoverageDay, m.HasCoverage = shareOf(covered, id)
	posture, err := s.cfg.Store.PostureOf(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, p := range posture {
		if p.Name == "agent.version" {
			m.AgentVersion = p.Value
		}
	}
	return connect.NewResponse(&consolev1.GetHostResponse{Evaluated: evaluatedMessage(snapshot), Host: m, Streams: streamMessages(streams)}), nil
}

func streamMessages(streams []postgres.ListedStream) []*consolev1.Stream {
	list := make([]*consolev1.Stream, len(streams))
	for i := range streams {
		l := &streams[i]
		list[i] = &consolev1.Stream{
			Id: l.ID.String(), HostId: l.Host.String(), HostName: l.HostName, Kind: evidence.StreamKind(l.Kind).String(), Epoch: l.Epoch, Number: l.Number,
			Hash: hex.EncodeToString(l.Hash), Events: l.Events, CommittedAt: stamp(l.CommittedAt), Position: uint64(max(0, l.Position)),
			Forks: uint32(l.Forks), CertificateExpiresAt: stamp(l.CertificateExpiresAt), Revoked: l.Revoked,
		}
	}
	return list
}

// ListStreams implements HostService.
func (s *hostService) ListStreams(ctx context.Context, req *connect.Request[consolev1.ListStreamsRequest]) (*connect.Response[consolev1.ListStreamsResponse], error) {
	var host *assay.HostID
	if req.Msg.GetHost() != "" {
		id, err := assay.ParseHostID(req.Msg.GetHost())
		if err != nil {
			return nil, err
		}
		host = &id
	}
	streams, err := s.cfg.Store.Streams(ctx, host)
	if err != nil {
		return nil, err
	}
	part, next, err := window(streams, req.Msg.GetPage())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.ListStreamsResponse{Streams: streamMessages(part), NextPageToken: next}), nil
}

// Coverage is asked for at most this long a time, and for the fleet lane by
// lane at most so many.
const (
	maxCoverageSpan  = 400 * 24 * time.Hour
	maxCoverageLanes = 20_000
)

// GetCoverage implements HostService.
func (s *hostService) GetCoverage(ctx context.Context, req *connect.Request[consolev1.GetCoverageRequest]) (*connect.Response[consolev1.GetCoverageResponse], error) {
	snapshot, err := s.snapshot(ctx, nil)
	if err != nil {
		return nil, err
	}
	to, from := timeOf(req.Msg.GetTo()), timeOf(req.Msg.GetFrom())
	if to.IsZero() || to.After(snapshot.Watermark) {
		to = snapshot.Watermark
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	if to.Sub(from) > maxCoverageSpan || from.After(to) {
		return nil, assay.Errorf(assay.Invalid, "coverage is shown for up to 400 days, from before to")
	}
	var hosts []assay.HostID
	if req.Msg.GetHost() != "" {
		id, err := assay.ParseHostID(req.Msg.GetHost())
		if err != nil {
			return nil, err
		}
		hosts = []assay.HostID{id}
	}
	ranges, err := s.cfg.Store.Coverage(ctx, hosts, from, to)
	if err != nil {
		return nil, err
	}
	names := snapshot.HostNames()
	res := &consolev1.GetCoverageResponse{Watermark: stamp(snapshot.Watermark)}
	for start := 0; start < len(ranges) && len(res.Lanes) < maxCoverageLanes; {
		end := laneEnd(ranges, start)
		res.Lanes = append(res.Lanes, laneMessage(names, ranges[start:end], from, to, len(hosts) > 0))
		start = end
	}
	return connect.NewResponse(res), nil
}

func laneMessage(names map[assay.HostID]string, lane []assay.CoverageRange, from, to time.Time, whole bool) *consolev1.CoverageLane {
	first := &lane[0]
	sum := laneShare(lane, from, to)
	m := &consolev1.CoverageLane{
		HostId: first.Host.String(), HostName: names[first.Host], Source: first.Source, Channel: first.Channel, Capability: first.Capability, Grade: first.Grade.String(),
	}
	if sum.expected > 0 {
		m.Covered = float64(sum.covered) / float64(sum.expected)
	}
	if !whole {
		return m
	}
	for i := range lane {
		r := &lane[i]
		m.Ranges = append(m.Ranges, &consolev1.CoverageRange{
			From: stamp(r.From), To: stamp(r.To), State: string(r.State), Mode: string(r.Mode), Reason: r.Reason, Evidence: refMessage(r.Since),
		})
	}
	return m
}
