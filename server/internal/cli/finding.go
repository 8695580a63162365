package cli

import (
	"fmt"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type findingsCmd struct {
	List  findingsListCmd  `cmd:"" default:"withargs" help:"List findings, newest first."`
	Close findingsCloseCmd `cmd:"" help:"Close a finding with its cause."`
}

type findingsListCmd struct {
	Host   string `help:"Only this host, by name or id." placeholder:"HOST"`
	Check  string `help:"Only this check." placeholder:"CHECK"`
	Status string `help:"open or closed; both without it." enum:"open,closed," default:""`
	At     string `help:"As things stood at this time." placeholder:"TIME"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists findings.
func (c *findingsListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	at, err := parseTime(c.At)
	if err != nil {
		return err
	}
	req := &consolev1.ListFindingsRequest{Check: c.Check, Status: c.Status, AsOf: &consolev1.AsOf{Instant: stampOf(at)}}
	if c.Host != "" {
		host, err := findHost(e.ctx, client, c.Host)
		if err != nil {
			return err
		}
		req.Host = host.GetId()
	}
	all := &consolev1.ListFindingsResponse{}
	for token := ""; ; {
		req.Page = &consolev1.Page{Size: 500, Token: token}
		res, err := client.Finding.ListFindings(e.ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		all.Findings, all.Total = append(all.GetFindings(), res.Msg.GetFindings()...), res.Msg.GetTotal()
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	t := newTable(e.stdout, "FINDING", "STATUS", "OPENED", "HOST", "CHECK", "GRADE", "EVENT", "WHAT")
	for _, f := range all.GetFindings() {
		event := "-"
		if refs := f.GetEvidence(); len(refs) > 0 {
			event = fmt.Sprintf("%d/%d", refs[len(refs)-1].GetPosition(), refs[len(refs)-1].GetOrdinal())
		}
		t.row(f.GetId(), f.GetStatus(), when(f.GetOpenedAt()), f.GetHostName(), f.GetCheck(), orDash(f.GetGrade()), event, shorten(f.GetTitle(), 100))
	}
	return t.flush()
}

type findingsCloseCmd struct {
	ID    string `arg:"" help:"The finding's id."`
	Cause string `help:"What caused it; kept with the finding." required:""`
}

// Run closes a finding.
func (c *findingsCloseCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Finding.CloseFinding(e.ctx, connect.NewRequest(&consolev1.CloseFindingRequest{Id: c.ID, Cause: c.Cause}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Closed: %s on %s\n", plain(res.Msg.GetFinding().GetTitle()), plain(res.Msg.GetFinding().GetHostName()))
	return err
}
