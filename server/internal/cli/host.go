package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type hostsCmd struct {
	Name string `help:"Only hosts whose name contains this." placeholder:"PART"`
	Kind string `help:"Only enrolled or imported hosts." enum:"enrolled,imported," default:""`
	JSON bool   `name:"json" help:"Print JSON."`
}

func allHosts(ctx context.Context, client *Client, req *consolev1.ListHostsRequest) ([]*consolev1.Host, error) {
	var all []*consolev1.Host
	for token := ""; ; {
		req.Page = &consolev1.Page{Size: 500, Token: token}
		res, err := client.Host.ListHosts(ctx, connect.NewRequest(req))
		if err != nil {
			return nil, err
		}
		all = append(all, res.Msg.GetHosts()...)
		if token = res.Msg.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// Run lists hosts.
func (c *hostsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	hosts, err := allHosts(e.ctx, client, &consolev1.ListHostsRequest{Name: c.Name, Kind: c.Kind})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, &consolev1.ListHostsResponse{Hosts: hosts, Total: uint32(len(hosts))})
	}
	if len(hosts) == 0 {
		_, err := fmt.Fprintln(e.stdout, "No hosts yet: make a token (assayctl tokens create) and enrol an agent, or import exported logs.")
		return err
	}
	t := newTable(e.stdout, "HOST", "KIND", "STATES", "COVERAGE 24 H", "OPEN FINDINGS", "LAST SEEN", "NOTE")
	for _, h := range hosts {
		var notes []string
		if h.GetSilent() {
			notes = append(notes, "silent")
		}
		if h.GetSimulated() {
			notes = append(notes, "simulated")
		}
		t.row(h.GetName(), h.GetKind(), vector(h.GetStates()), percent(h.GetCoverageDay(), h.GetHasCoverage()),
			strconv.Itoa(int(h.GetOpenFindings())), when(h.GetLastSeenAt()), strings.Join(notes, ", "))
	}
	return t.flush()
}

type coverageCmd struct {
	Host string `arg:"" optional:"" help:"Host by name or id; without one the fleet's totals."`
	From string `help:"Beginning (default: 24 hours before the end)." placeholder:"TIME"`
	To   string `help:"End (default: now)." placeholder:"TIME"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints coverage: gaps by name.
func (c *coverageCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	req := &consolev1.GetCoverageRequest{}
	if c.Host != "" {
		host, err := findHost(e.ctx, client, c.Host)
		if err != nil {
			return err
		}
		req.Host = host.GetId()
	}
	from, err := parseTime(c.From)
	if err != nil {
		return err
	}
	to, err := parseTime(c.To)
	if err != nil {
		return err
	}
	req.From, req.To = stampOf(from), stampOf(to)
	res, err := client.Host.GetCoverage(e.ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "HOST", "SOURCE", "CHANNEL", "CAPABILITY", "GRADE", "COVERED", "GAPS")
	for _, l := range res.Msg.GetLanes() {
		t.row(l.GetHostName(), l.GetSource(), orDash(l.GetChannel()), l.GetCapability(), l.GetGrade(), percent(l.GetCovered(), true), gaps(l))
	}
	return t.flush()
}

func gaps(l *consolev1.CoverageLane) string {
	var parts []string
	for _, r := range l.GetRanges() {
		if r.GetState() != "covered" {
			length := r.GetTo().AsTime().Sub(r.GetFrom().AsTime()).Round(time.Second)
			parts = append(parts, fmt.Sprintf("%s +%s %s (%s)", r.GetFrom().AsTime().Format("01-02 15:04"), length, r.GetState(), r.GetReason()))
		}
	}
	return orDash(strings.Join(parts, "; "))
}

type streamsCmd struct {
	Host string `help:"Only this host, by name or id." placeholder:"HOST"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run lists streams.
func (c *streamsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	req := &consolev1.ListStreamsRequest{}
	if c.Host != "" {
		host, err := findHost(e.ctx, client, c.Host)
		if err != nil {
			return err
		}
		req.Host = host.GetId()
	}
	all := &consolev1.ListStreamsResponse{}
	for token := ""; ; {
		req.Page = &consolev1.Page{Size: 500, Token: token}
		res, err := client.Host.ListStreams(e.ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		all.Streams = append(all.Streams, res.Msg.GetStreams()...)
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	t := newTable(e.stdout, "HOST", "STREAM", "EPOCH", "BATCHES", "EVENTS", "HEAD", "COMMITTED", "POSITION", "FORKS")
	for _, s := range all.GetStreams() {
		t.row(s.GetHostName(), s.GetKind(), strconv.Itoa(int(s.GetEpoch())), strconv.FormatUint(s.GetNumber(), 10), strconv.FormatUint(s.GetEvents(), 10),
			s.GetHash()[:min(16, len(s.GetHash()))], when(s.GetCommittedAt()), strconv.FormatUint(s.GetPosition(), 10), strconv.Itoa(int(s.GetForks())))
	}
	return t.flush()
}
