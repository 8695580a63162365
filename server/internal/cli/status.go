package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type statusCmd struct {
	Framework string `help:"Only this framework, e.g. pci-dss or hipaa." placeholder:"ID"`
	Host      string `help:"Only this host, by name or id." placeholder:"HOST"`
	At        string `help:"As things stood at this time (RFC 3339 or a date), by all that is known of it today." placeholder:"TIME"`
	TreeSize  uint64 `help:"As was known when the ledger had this size." placeholder:"N"`
	JSON      bool   `name:"json" help:"Print JSON."`
}

// Summary is the state of everything, as scripts read it.
type Summary struct {
	Hosts      int                         `json:"hosts"`
	Instant    time.Time                   `json:"instant"`
	Watermark  time.Time                   `json:"watermark"`
	TreeSize   uint64                      `json:"tree_size"`
	Frameworks map[string]FrameworkSummary `json:"frameworks"`
	Checks     []CheckSummary              `json:"checks"`
	Alerts     AlertSummary                `json:"alerts"`
	Ledger     LedgerSummary               `json:"ledger"`
}

// AlertSummary counts the alerts that are not closed.
type AlertSummary struct {
	Open         uint32 `json:"open"`
	Acknowledged uint32 `json:"acknowledged"`
	Overdue      uint32 `json:"overdue"` // past either clock
}

// FrameworkSummary lists a framework's requirements in the standard's order.
type FrameworkSummary struct {
	Version      string               `json:"version"`
	Requirements []RequirementSummary `json:"requirements"`
}

// RequirementSummary is a requirement's rolled-up state and its hosts by state.
type RequirementSummary struct {
	ID      string            `json:"id"`
	State   string            `json:"state"`
	Ceiling string            `json:"ceiling"`
	Grade   string            `json:"grade,omitempty"`
	Counts  map[string]uint32 `json:"counts"`
	title   string
	vector  string
}

// CheckSummary counts hosts by the state of a check.
type CheckSummary struct {
	ID     string            `json:"id"`
	Counts map[string]uint32 `json:"counts"`
	title  string
	vector string
}

// LedgerSummary is the evidence log's size and its newest verification.
type LedgerSummary struct {
	Size     uint64 `json:"size"`
	Verified bool   `json:"verified"`
}

// Run prints the status.
func (c *statusCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	at, err := parseTime(c.At)
	if err != nil {
		return err
	}
	asOf := &consolev1.AsOf{Instant: stampOf(at), TreeSize: c.TreeSize}
	var host *consolev1.Host
	if c.Host != "" {
		if host, err = findHost(e.ctx, client, c.Host); err != nil {
			return err
		}
	}
	summary, err := Summarise(e.ctx, client, asOf, c.Framework, host)
	if err != nil {
		return err
	}
	if c.JSON {
		return printValue(e.stdout, summary)
	}
	if host != nil {
		return e.printHostStatus(client, asOf, host)
	}
	return summary.Print(e.stdout)
}

// Summarise asks for the state of everything: of one framework and one host
// where they are given.
func Summarise(ctx context.Context, client *Client, asOf *consolev1.AsOf, framework string, host *consolev1.Host) (*Summary, error) {
	overview, err := client.Status.GetOverview(ctx, connect.NewRequest(&consolev1.GetOverviewRequest{AsOf: asOf}))
	if err != nil {
		return nil, err
	}
	ev := overview.Msg.GetEvaluated()
	s := &Summary{
		Hosts: int(overview.Msg.GetHosts()), Instant: ev.GetInstant().AsTime(), Watermark: ev.GetWatermark().AsTime(), TreeSize: ev.GetTreeSize(),
		Frameworks: map[string]FrameworkSummary{}, Ledger: LedgerSummary{Size: overview.Msg.GetLedgerSize(), Verified: overview.Msg.GetLedgerGood()},
	}
	checks := overview.Msg.GetChecks()
	if host != nil {
		s.Hosts, checks = 1, nil
	}
	for _, f := range overview.Msg.GetFrameworks() {
		if framework != "" && f.GetId() != framework {
			continue
		}
		part, hostChecks, err := summariseFramework(ctx, client, asOf, f.GetId(), host)
		if err != nil {
			return nil, err
		}
		s.Frameworks[f.GetId()] = part
		if host != nil {
			checks = append(checks, hostChecks...)
		}
	}
	if framework != "" && len(s.Frameworks) == 0 {
		return nil, fmt.Errorf("there is no framework %q", framework)
	}
	seen := map[string]bool{}
	for _, check := range checks {
		if !seen[check.GetId()] {
			seen[check.GetId()] = true
			s.Checks = append(s.Checks, CheckSummary{ID: check.GetId(), Counts: counts(check.GetHosts()), title: check.GetTitle(), vector: vector(check.GetHosts())})
		}
	}
	alerts, err := client.Alert.CountAlerts(ctx, connect.NewRequest(&consolev1.CountAlertsRequest{Host: host.GetId(), AsOf: asOf}))
	if err != nil {
		return nil, err
	}
	a := alerts.Msg
	s.Alerts = AlertSummary{Open: a.GetOpen(), Acknowledged: a.GetAcknowledged(), Overdue: max(a.GetOverdueAcknowledge(), a.GetOverdueClose())}
	return s, nil
}

func summariseFramework(ctx context.Context, client *Client, asOf *consolev1.AsOf, id string, host *consolev1.Host) (FrameworkSummary, []*consolev1.CheckSummary, error) {
	res, err := client.Status.GetFrameworkStatus(ctx, connect.NewRequest(&consolev1.GetFrameworkStatusRequest{Framework: id, AsOf: asOf, Host: host.GetId()}))
	if err != nil {
		return FrameworkSummary{}, nil, err
	}
	part := FrameworkSummary{Version: res.Msg.GetFramework().GetVersion()}
	titles, ceilings := map[string]string{}, map[string]string{}
	for _, r := range res.Msg.GetFramework().GetRequirements() {
		titles[r.GetId()], ceilings[r.GetId()] = r.GetTitle(), r.GetCeiling()
	}
	var checks []*consolev1.CheckSummary
	for _, r := range res.Msg.GetRequirements() {
		part.Requirements = append(part.Requirements, RequirementSummary{
			ID: r.GetId(), State: stateName(r.GetState()), Ceiling: ceilings[r.GetId()], Grade: r.GetGrade(), Counts: counts(r.GetHosts()),
			title: titles[r.GetId()], vector: vector(r.GetHosts()),
		})
		checks = append(checks, r.GetChecks()...)
	}
	return part, checks, nil
}

func (e *env) printHostStatus(client *Client, asOf *consolev1.AsOf, host *consolev1.Host) error {
	verdicts, err := allVerdicts(e.ctx, client, &consolev1.ListVerdictsRequest{AsOf: asOf, Host: host.GetId()})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s (%s)\n", plain(host.GetName()), host.GetKind())
	t := newTable(e.stdout, "CHECK", "STATE", "REASON", "GRADE", "COVERAGE", "DETAIL")
	for _, v := range verdicts {
		t.row(v.GetCheck(), stateName(v.GetState()), orDash(v.GetReason()), orDash(v.GetGrade()), percent(v.GetCoverage(), v.GetHasCoverage()), v.GetDetail())
	}
	return t.flush()
}

func allVerdicts(ctx context.Context, client *Client, req *consolev1.ListVerdictsRequest) ([]*consolev1.Verdict, error) {
	var all []*consolev1.Verdict
	for token := ""; ; {
		req.Page = &consolev1.Page{Size: 500, Token: token}
		res, err := client.Status.ListVerdicts(ctx, connect.NewRequest(req))
		if err != nil {
			return nil, err
		}
		all = append(all, res.Msg.GetVerdicts()...)
		if token = res.Msg.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// findHost finds the one host of a name or id.
func findHost(ctx context.Context, client *Client, name string) (*consolev1.Host, error) {
	hosts, err := allHosts(ctx, client, &consolev1.ListHostsRequest{})
	if err != nil {
		return nil, err
	}
	var found []*consolev1.Host
	for _, h := range hosts {
		if h.GetId() == name {
			return h, nil
		}
		if strings.EqualFold(h.GetName(), name) {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("there is no host %q (assayctl hosts lists them)", name)
	default:
		return nil, fmt.Errorf("%d hosts are named %q: name one by its id (assayctl hosts --json)", len(found), name)
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
