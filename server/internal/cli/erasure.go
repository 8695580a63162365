package cli

import (
	"fmt"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type erasuresCmd struct {
	List    erasuresListCmd    `cmd:"" default:"withargs" help:"List erasures with their states."`
	Request erasuresRequestCmd `cmd:"" help:"Erase what a host sent in a month, once its retention has ended and no hold stands against it."`
}

type erasuresListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists erasures.
func (c *erasuresListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Erasure.ListErasures(e.ctx, connect.NewRequest(&consolev1.ListErasuresRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "HOST", "MONTH", "STATE", "REASON", "REQUESTED", "BY", "DUE", "DONE", "POSITION")
	for _, x := range res.Msg.GetErasures() {
		t.row(x.GetHostName(), x.GetMonth(), x.GetState(), shorten(x.GetReason(), 60), when(x.GetRequestedAt()), x.GetRequestedBy(), when(x.GetDueAt()), when(x.GetDoneAt()), fmt.Sprint(x.GetPosition()))
	}
	return t.flush()
}

type erasuresRequestCmd struct {
	Host   string `arg:"" help:"The host's id (assayctl hosts)."`
	Month  string `arg:"" help:"The month of receipt in UTC, as in 2026-03."`
	Reason string `help:"Why; kept in the ledger." required:""`
}

// Run requests an erasure.
func (c *erasuresRequestCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Erasure.RequestErasure(e.ctx, connect.NewRequest(&consolev1.RequestErasureRequest{HostId: c.Host, Month: c.Month, Reason: c.Reason}))
	if err != nil {
		return err
	}
	x := res.Msg.GetErasure()
	_, err = fmt.Fprintf(e.stdout, "What %s sent in %s will be erased after %s, unless a hold is placed on it. It cannot be undone then.\n", x.GetHostName(), x.GetMonth(), when(x.GetDueAt()))
	return err
}
