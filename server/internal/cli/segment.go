package cli

import (
	"fmt"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type segmentsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists archived segments.
func (c *segmentsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Segment.ListSegments(e.ctx, connect.NewRequest(&consolev1.ListSegmentsRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "SEGMENT", "POSITIONS", "OBJECT", "BYTES", "BATCHES", "RECEIVED FROM", "TO", "ARCHIVED", "LEFT THE DATABASE", "DELETED")
	for _, g := range res.Msg.GetSegments() {
		t.row(fmt.Sprint(g.GetNumber()), fmt.Sprintf("%d-%d", g.GetFrom(), g.GetTo()-1), g.GetObject(), fmt.Sprint(g.GetBytes()), fmt.Sprint(g.GetBatches()),
			when(g.GetFirstReceived()), when(g.GetLastReceived()), when(g.GetArchivedAt()), when(g.GetDroppedAt()), when(g.GetDeletedAt()))
	}
	return t.flush()
}
