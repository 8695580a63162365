package cli

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type alertsCmd struct {
	List        alertsListCmd        `cmd:"" default:"withargs" help:"List alerts: those not closed, newest first."`
	Show        alertsShowCmd        `cmd:"" help:"Show an alert: its rule, what matched, its events and what was done."`
	Acknowledge alertsAcknowledgeCmd `cmd:"" help:"Say that somebody looks at alerts."`
	Close       alertsCloseCmd       `cmd:"" help:"Close alerts with a reason."`
	Reopen      alertsReopenCmd      `cmd:"" help:"Open closed alerts again."`
	Assign      alertsAssignCmd      `cmd:"" help:"Give alerts to somebody."`
	Escalate    alertsEscalateCmd    `cmd:"" help:"Raise the level of alerts."`
	Note        alertsNoteCmd        `cmd:"" help:"Add a note to an alert."`
	Detections  alertsDetectionsCmd  `cmd:"" help:"List single matches of rules, suppressed ones too."`
	Review      alertsReviewCmd      `cmd:"" help:"Record that you went through alerts and logs, as some requirements want each day."`
	Reviews     alertsReviewsCmd     `cmd:"" help:"List the reviews on record."`
	Policy      alertPolicyCmd       `cmd:"" help:"Show or change the clocks and when alerts open."`
}

type alertsListCmd struct {
	State    []string `help:"open, acknowledged, closed or all (default: those not closed)."`
	Level    []string `help:"Only these levels."`
	Host     string   `help:"Only this host, by name or id." placeholder:"HOST"`
	Pack     string   `help:"Only rules of this pack; checks: alerts of findings."`
	Rule     string   `help:"Only this rule." placeholder:"ID"`
	Assignee string   `help:"Only those given to this user; - for nobody's."`
	Overdue  bool     `help:"Only those past a clock."`
	Text     string   `help:"Look for this in title, host, rule and matched values."`
	Order    string   `help:"newest, oldest, level or due." default:"newest"`
	At       string   `help:"As things stood at this time." placeholder:"TIME"`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Help adds examples to --help.
func (alertsListCmd) Help() string {
	return "Examples:\n  assayctl alerts --overdue\n  assayctl alerts list --state all --host POS-01 --json\n  assayctl alerts list --order due --assignee -"
}

// Run lists alerts.
func (c *alertsListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	at, err := parseTime(c.At)
	if err != nil {
		return err
	}
	req := &consolev1.ListAlertsRequest{States: c.State, Levels: c.Level, Pack: c.Pack, Rule: c.Rule, Assignee: c.Assignee, Overdue: c.Overdue, Text: c.Text,
		Order: c.Order, AsOf: &consolev1.AsOf{Instant: stampOf(at)}}
	switch {
	case len(c.State) == 0:
		req.States = []string{"open", "acknowledged"}
	case len(c.State) == 1 && c.State[0] == "all":
		req.States = nil
	}
	if c.Host != "" {
		host, err := findHost(e.ctx, client, c.Host)
		if err != nil {
			return err
		}
		req.Host = host.GetId()
	}
	all := &consolev1.ListAlertsResponse{}
	for token := ""; ; {
		req.Page = &consolev1.Page{Size: 500, Token: token}
		res, err := client.Alert.ListAlerts(e.ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		all.Alerts, all.Total = append(all.GetAlerts(), res.Msg.GetAlerts()...), res.Msg.GetTotal()
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	return alertTable(e, all.GetAlerts())
}

func alertTable(e *env, alerts []*consolev1.Alert) error {
	t := newTable(e.stdout, "ALERT", "LEVEL", "STATE", "DUE", "ASSIGNEE", "COUNT", "LAST SEEN", "HOST", "EVENT", "WHAT")
	for _, a := range alerts {
		state := a.GetState()
		if a.GetReason() != "" {
			state += " (" + a.GetReason() + ")"
		}
		t.row(a.GetId(), a.GetLevel(), state, dueOf(a), orDash(a.GetAssignee()), fmt.Sprint(a.GetCount()), when(a.GetLastSeen()), a.GetHostName(),
			eventOf(a.GetLatest()), shorten(a.GetTitle(), 80))
	}
	return t.flush()
}

// dueOf tells the clock that runs, or has run out.
func dueOf(a *consolev1.Alert) string {
	for _, clock := range []struct {
		name string
		c    *consolev1.AlertClock
	}{{"acknowledge", a.GetAcknowledge()}, {"close", a.GetClose()}} {
		switch clock.c.GetState() {
		case "overdue":
			return "OVERDUE to " + clock.name + " since " + when(clock.c.GetDue())
		case "running":
			return clock.name + " by " + when(clock.c.GetDue())
		}
	}
	return "-"
}

func eventOf(d *consolev1.Detection) string {
	if d == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", d.GetEvent().GetPosition(), d.GetEvent().GetOrdinal())
}

type alertsShowCmd struct {
	ID   string `arg:"" help:"The alert's id."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run shows one alert.
func (c *alertsShowCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.GetAlert(e.ctx, connect.NewRequest(&consolev1.GetAlertRequest{Id: c.ID}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	a := res.Msg.GetAlert()
	t := newTable(e.stdout, strings.ToUpper(a.GetLevel()), a.GetTitle())
	for _, row := range [][2]string{
		{"Alert", a.GetId()}, {"Host", a.GetHostName() + " (" + a.GetHostId() + ")"}, {"Rule", a.GetPack() + "/" + a.GetRule()},
		{"State", strings.TrimSpace(a.GetState() + " " + a.GetReason())}, {"Due", dueOf(a)}, {"Assignee", orDash(a.GetAssignee())},
		{"Detections", fmt.Sprintf("%d, %s to %s", a.GetCount(), when(a.GetFirstSeen()), when(a.GetLastSeen()))},
		{"Opened", fmt.Sprintf("%s, ledger position %d", when(a.GetOpenedAt()), a.GetPosition())}, {"Finding", orDash(a.GetFinding())},
	} {
		t.row(row[0], row[1])
	}
	if d := a.GetLatest(); d != nil {
		t.row("Newest event", fmt.Sprintf("%s, grade %s, %s %d (assayctl events show %d/%d)", when(d.GetObservedAt()), d.GetGrade(), d.GetChannel(),
			d.GetEventId(), d.GetEvent().GetPosition(), d.GetEvent().GetOrdinal()))
		for _, m := range d.GetMatched() {
			t.row("  "+m.GetSelection()+"."+m.GetField(), shorten(m.GetValue(), 160))
		}
		for _, ref := range d.GetMembers() {
			t.row("  member", fmt.Sprintf("%d/%d", ref.GetPosition(), ref.GetOrdinal()))
		}
	}
	if res.Msg.GetRuleDescription() != "" {
		t.row("About", shorten(strings.Join(strings.Fields(res.Msg.GetRuleDescription()), " "), 240))
	}
	for _, action := range res.Msg.GetActions() {
		t.row(when(action.GetAt()), strings.Join(strings.Fields(action.GetKind()+" "+action.GetDetail()+" "+action.GetBy()+" "+action.GetNote()), " "))
	}
	return t.flush()
}

// changed tells what a change did.
func changed(e *env, what string, alerts []*consolev1.Alert, err error) error {
	if err != nil {
		return err
	}
	for _, a := range alerts {
		if _, err := fmt.Fprintf(e.stdout, "%s: %s on %s\n", what, plain(a.GetTitle()), plain(a.GetHostName())); err != nil {
			return err
		}
	}
	return nil
}

type alertsAcknowledgeCmd struct {
	IDs  []string `arg:"" name:"id" help:"The alerts' ids: all of them or none."`
	Note string   `help:"A note for all of them."`
}

// Run acknowledges.
func (c *alertsAcknowledgeCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.AcknowledgeAlerts(e.ctx, connect.NewRequest(&consolev1.AcknowledgeAlertsRequest{Ids: c.IDs, Note: c.Note}))
	if err != nil {
		return err
	}
	return changed(e, "Acknowledged", res.Msg.GetAlerts(), nil)
}

type alertsCloseCmd struct {
	IDs         []string `arg:"" name:"id" help:"The alerts' ids: all of them or none."`
	Reason      string   `help:"true_positive, benign, false_positive, duplicate or not_reproducible." required:""`
	Note        string   `help:"What came of it."`
	DuplicateOf string   `help:"With duplicate: the other alert." placeholder:"ID"`
}

// Run closes.
func (c *alertsCloseCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.CloseAlerts(e.ctx, connect.NewRequest(&consolev1.CloseAlertsRequest{Ids: c.IDs, Reason: c.Reason, Note: c.Note, DuplicateOf: c.DuplicateOf}))
	if err != nil {
		return err
	}
	return changed(e, "Closed", res.Msg.GetAlerts(), nil)
}

type alertsReopenCmd struct {
	IDs  []string `arg:"" name:"id" help:"The alerts' ids: all of them or none."`
	Note string   `help:"Why." required:""`
}

// Run opens again.
func (c *alertsReopenCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.ReopenAlerts(e.ctx, connect.NewRequest(&consolev1.ReopenAlertsRequest{Ids: c.IDs, Note: c.Note}))
	if err != nil {
		return err
	}
	return changed(e, "Opened again", res.Msg.GetAlerts(), nil)
}

type alertsAssignCmd struct {
	IDs  []string `arg:"" name:"id" help:"The alerts' ids: all of them or none."`
	To   string   `help:"The user's name; - takes them from everybody." required:""`
	Note string   `help:"A note for all of them."`
}

// Run assigns.
func (c *alertsAssignCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.AssignAlerts(e.ctx, connect.NewRequest(&consolev1.AssignAlertsRequest{Ids: c.IDs, Assignee: strings.TrimPrefix(c.To, "-"), Note: c.Note}))
	if err != nil {
		return err
	}
	return changed(e, "Assigned", res.Msg.GetAlerts(), nil)
}

type alertsEscalateCmd struct {
	IDs   []string `arg:"" name:"id" help:"The alerts' ids: all of them or none."`
	Level string   `help:"The new level: low, medium, high or critical." required:""`
	Note  string   `help:"Why."`
}

// Run raises the level.
func (c *alertsEscalateCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.EscalateAlerts(e.ctx, connect.NewRequest(&consolev1.EscalateAlertsRequest{Ids: c.IDs, Level: c.Level, Note: c.Note}))
	if err != nil {
		return err
	}
	return changed(e, "Escalated", res.Msg.GetAlerts(), nil)
}

type alertsNoteCmd struct {
	ID   string `arg:"" help:"The alert's id."`
	Note string `arg:"" help:"The note."`
}

// Run adds a note.
func (c *alertsNoteCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Alert.AddAlertNote(e.ctx, connect.NewRequest(&consolev1.AddAlertNoteRequest{Id: c.ID, Note: c.Note}))
	if err != nil {
		return err
	}
	return changed(e, "Noted", []*consolev1.Alert{res.Msg.GetAlert()}, nil)
}

type alertsDetectionsCmd struct {
	Alert      string `help:"Only those of this alert." placeholder:"ID"`
	Host       string `help:"Only this host, by name or id." placeholder:"HOST"`
	Pack       string `help:"Only rules of this pack."`
	Rule       string `help:"Only this rule." placeholder:"ID"`
	Suppressed string `help:"yes or no; both without it." enum:"yes,no," default:""`
	From       string `help:"Events from this time on." placeholder:"TIME"`
	To         string `help:"Events before this time." placeholder:"TIME"`
	Limit      int    `help:"At most so many." default:"500"`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Run lists detections.
func (c *alertsDetectionsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	req := &consolev1.ListDetectionsRequest{Alert: c.Alert, Pack: c.Pack, Rule: c.Rule, Suppressed: c.Suppressed}
	from, err := parseTime(c.From)
	if err != nil {
		return err
	}
	to, err := parseTime(c.To)
	if err != nil {
		return err
	}
	req.From, req.To = stampOf(from), stampOf(to)
	if c.Host != "" {
		host, err := findHost(e.ctx, client, c.Host)
		if err != nil {
			return err
		}
		req.Host = host.GetId()
	}
	all, err := detections(e.ctx, client, req, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	t := newTable(e.stdout, "EVENT", "OBSERVED", "LEVEL", "HOST", "RULE", "ALERT", "WHAT")
	for _, d := range all.GetDetections() {
		alert := orDash(d.GetAlert())
		if d.GetSuppression() != "" {
			alert = "suppressed by " + d.GetSuppression()
		}
		t.row(eventOf(d), when(d.GetObservedAt()), orDash(d.GetLevel()), d.GetHostName(), d.GetPack()+"/"+d.GetRule(), alert, shorten(d.GetTitle(), 80))
	}
	return t.flush()
}

func detections(ctx context.Context, client *Client, req *consolev1.ListDetectionsRequest, limit int) (*consolev1.ListDetectionsResponse, error) {
	all := &consolev1.ListDetectionsResponse{}
	for token := ""; len(all.GetDetections()) < limit; {
		req.Page = &consolev1.Page{Size: uint32(min(500, limit-len(all.GetDetections()))), Token: token}
		res, err := client.Alert.ListDetections(ctx, connect.NewRequest(req))
		if err != nil {
			return nil, err
		}
		all.Detections, all.Total = append(all.GetDetections(), res.Msg.GetDetections()...), res.Msg.GetTotal()
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
		all.NextPageToken = token
	}
	return all, nil
}
