package cli

import (
	"fmt"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type holdsCmd struct {
	List    holdsListCmd    `cmd:"" default:"withargs" help:"List holds, released ones too."`
	Place   holdsPlaceCmd   `cmd:"" help:"Keep all that a host sent, whatever else would erase or delete it."`
	Release holdsReleaseCmd `cmd:"" help:"End a hold."`
}

type holdsListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists holds.
func (c *holdsListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Hold.ListHolds(e.ctx, connect.NewRequest(&consolev1.ListHoldsRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "HOLD", "HOST", "REASON", "PLACED", "BY", "RELEASED", "BY", "POSITION")
	for _, h := range res.Msg.GetHolds() {
		host := h.GetHostName()
		if h.GetHostId() == "" {
			host = "all hosts"
		}
		t.row(h.GetId(), host, shorten(h.GetReason(), 60), when(h.GetPlacedAt()), h.GetPlacedBy(), when(h.GetReleasedAt()), orDash(h.GetReleasedBy()), fmt.Sprint(h.GetPosition()))
	}
	return t.flush()
}

type holdsPlaceCmd struct {
	Host   string `arg:"" optional:"" help:"The host's id (assayctl hosts)."`
	All    bool   `help:"On all hosts."`
	Reason string `help:"Why; kept in the ledger." required:""`
}

// Run places a hold.
func (c *holdsPlaceCmd) Run(e *env) error {
	if (c.Host == "") != c.All {
		return fmt.Errorf("name one host, or all of them with --all")
	}
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Hold.PlaceHold(e.ctx, connect.NewRequest(&consolev1.PlaceHoldRequest{HostId: c.Host, Reason: c.Reason}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Hold %s is placed: nothing that it is on is erased or deleted until it is released.\n", res.Msg.GetId())
	return err
}

type holdsReleaseCmd struct {
	ID     string `arg:"" help:"The hold's id."`
	Reason string `help:"Why; kept in the ledger." required:""`
}

// Run releases a hold.
func (c *holdsReleaseCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	if _, err := client.Hold.ReleaseHold(e.ctx, connect.NewRequest(&consolev1.ReleaseHoldRequest{Id: c.ID, Reason: c.Reason})); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "The hold is released.")
	return err
}
