package cli

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type alertsReviewCmd struct {
	Note string `arg:"" help:"What was looked at and what came of it."`
}

// Run records a review.
func (c *alertsReviewCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.RecordReview(e.ctx, connect.NewRequest(&consolev1.RecordReviewRequest{Note: c.Note}))
	if err != nil {
		return err
	}
	r := res.Msg.GetReview()
	_, err = fmt.Fprintf(e.stdout, "Recorded at ledger position %d: %d alerts not closed, %d overdue.\n", r.GetPosition(), r.GetOpen(), r.GetOverdue())
	return err
}

type alertsReviewsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists reviews.
func (c *alertsReviewsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	all := &consolev1.ListReviewsResponse{}
	for token := ""; ; {
		res, err := client.Alert.ListReviews(e.ctx, connect.NewRequest(&consolev1.ListReviewsRequest{Page: &consolev1.Page{Size: 500, Token: token}}))
		if err != nil {
			return err
		}
		all.Reviews, all.Total = append(all.GetReviews(), res.Msg.GetReviews()...), res.Msg.GetTotal()
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	t := newTable(e.stdout, "AT", "BY", "NOT CLOSED", "OVERDUE", "POSITION", "NOTE")
	for _, r := range all.GetReviews() {
		t.row(when(r.GetAt()), r.GetBy(), fmt.Sprint(r.GetOpen()), fmt.Sprint(r.GetOverdue()), fmt.Sprint(r.GetPosition()), shorten(r.GetNote(), 100))
	}
	return t.flush()
}

type alertPolicyCmd struct {
	Clock        []string      `help:"Set clocks of a level: level=acknowledge/close, as in high=1h/72h; none for no clock." placeholder:"LEVEL=ACK/CLOSE"`
	ReopenWithin time.Duration `help:"An event within this time of a closing opens the alert again." default:"-1s"`
	AlertFrom    string        `help:"The least level that opens alerts." placeholder:"LEVEL"`
	Reason       string        `help:"Why it changes."`
	JSON         bool          `name:"json" help:"Print JSON."`
}

// Help adds examples to --help.
func (alertPolicyCmd) Help() string {
	return "Examples:\n  assayctl alerts policy\n  assayctl alerts policy --clock critical=15m/24h --clock low=none/none --reason 'new on-call rota'"
}

// Run shows or changes the policy.
func (c *alertPolicyCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.GetAlertPolicy(e.ctx, connect.NewRequest(&consolev1.GetAlertPolicyRequest{}))
	if err != nil {
		return err
	}
	policy := res.Msg.GetPolicy()
	if len(c.Clock) > 0 || c.ReopenWithin >= 0 || c.AlertFrom != "" {
		if err := c.change(policy); err != nil {
			return err
		}
		res, err := client.Alert.ChangeAlertPolicy(e.ctx, connect.NewRequest(&consolev1.ChangeAlertPolicyRequest{Policy: policy, Reason: c.Reason}))
		if err != nil {
			return err
		}
		policy = res.Msg.GetPolicy()
	}
	if c.JSON {
		return printJSON(e.stdout, policy)
	}
	t := newTable(e.stdout, "LEVEL", "ACKNOWLEDGE WITHIN", "CLOSE WITHIN")
	for _, clock := range policy.GetClocks() {
		t.row(clock.GetLevel(), span(clock.GetAcknowledgeWithin()), span(clock.GetCloseWithin()))
	}
	if err := t.flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Alerts open from level %s on; an event within %s of a closing opens the alert again.\n", orDash(policy.GetAlertFrom()), span(policy.GetReopenWithin()))
	return err
}

func (c *alertPolicyCmd) change(policy *consolev1.AlertPolicy) error {
	if c.ReopenWithin >= 0 {
		policy.ReopenWithin = durationpb.New(c.ReopenWithin)
	}
	if c.AlertFrom != "" {
		policy.AlertFrom = c.AlertFrom
	}
	for _, text := range c.Clock {
		level, times, _ := strings.Cut(text, "=")
		acknowledge, closing, ok := strings.Cut(times, "/")
		if !ok {
			return fmt.Errorf("%q is no clock: write level=acknowledge/close, as in high=1h/72h", text)
		}
		for _, clock := range policy.GetClocks() {
			if clock.GetLevel() != level {
				continue
			}
			var err error
			if clock.AcknowledgeWithin, err = parseClock(acknowledge); err != nil {
				return err
			}
			if clock.CloseWithin, err = parseClock(closing); err != nil {
				return err
			}
			level = ""
		}
		if level != "" {
			return fmt.Errorf("%q is no level that has clocks", level)
		}
	}
	return nil
}

func parseClock(text string) (*durationpb.Duration, error) {
	if text == "none" {
		return nil, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("%q is no time: write 15m, 72h or none", text)
	}
	return durationpb.New(d), nil
}

func span(d *durationpb.Duration) string {
	if d == nil {
		return "-"
	}
	return strings.TrimSuffix(strings.TrimSuffix(d.AsDuration().String(), "0s"), "0m")
}
