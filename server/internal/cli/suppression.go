package cli

import (
	"fmt"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type suppressionsCmd struct {
	List suppressionsListCmd `cmd:"" default:"withargs" help:"List suppressions, newest first."`
	Add  suppressionsAddCmd  `cmd:"" help:"Keep known detections from alerting, for a time."`
	End  suppressionsEndCmd  `cmd:"" help:"End a suppression before its time."`
}

type suppressionsListCmd struct {
	State string `help:"active or ended; both without it." enum:"active,ended," default:""`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Run lists suppressions.
func (c *suppressionsListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	all := &consolev1.ListSuppressionsResponse{}
	for token := ""; ; {
		res, err := client.Suppression.ListSuppressions(e.ctx, connect.NewRequest(&consolev1.ListSuppressionsRequest{State: c.State, Page: &consolev1.Page{Size: 500, Token: token}}))
		if err != nil {
			return err
		}
		all.Suppressions, all.Total = append(all.GetSuppressions(), res.Msg.GetSuppressions()...), res.Msg.GetTotal()
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	t := newTable(e.stdout, "SUPPRESSION", "STATE", "EXPIRES", "OWNER", "COUNT", "SCOPE", "REASON")
	for _, s := range all.GetSuppressions() {
		t.row(s.GetId(), s.GetState(), when(s.GetExpiresAt()), s.GetOwner(), fmt.Sprint(s.GetCount()), scopeText(s), shorten(s.GetReason(), 80))
	}
	return t.flush()
}

func scopeText(s *consolev1.Suppression) string {
	scope := s.GetScope()
	var parts []string
	if scope.GetRule() != "" {
		parts = append(parts, scope.GetPack()+"/"+scope.GetRule())
	}
	if s.GetHostName() != "" {
		parts = append(parts, "host "+s.GetHostName())
	}
	if scope.GetTag() != "" {
		parts = append(parts, "tag "+scope.GetTag())
	}
	for _, c := range scope.GetConditions() {
		parts = append(parts, c.GetField()+"="+c.GetValue())
	}
	return strings.Join(parts, ", ")
}

type suppressionsAddCmd struct {
	Pack      string   `help:"The rule's pack." placeholder:"NAME"`
	Rule      string   `help:"Only this rule." placeholder:"ID"`
	Host      string   `help:"Only this host, by name or id." placeholder:"HOST"`
	Tag       string   `help:"Only hosts with this tag."`
	Where     []string `help:"Only where a matched field has this value; * stands for any run of characters." placeholder:"FIELD=VALUE" sep:"none"`
	Owner     string   `help:"Who answers for it." required:""`
	Reason    string   `help:"Why it is accepted." required:""`
	Expires   string   `help:"When it ends, at most a year ahead." required:"" placeholder:"TIME"`
	CloseOpen bool     `help:"Also close the alerts that it covers, as benign."`
}

// Help adds examples to --help.
func (suppressionsAddCmd) Help() string {
	return "Example:\n  assayctl suppressions add --pack assay --rule ID --tag backup --where 'CommandLine=*vssadmin*list*' \\\n" +
		"    --owner 'IT operations' --reason 'nightly backup lists shadow copies' --expires 2027-03-01"
}

// Run adds a suppression.
func (c *suppressionsAddCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	expires, err := parseTime(c.Expires)
	if err != nil {
		return err
	}
	req := &consolev1.CreateSuppressionRequest{Owner: c.Owner, Reason: c.Reason, ExpiresAt: stampOf(expires), CloseOpen: c.CloseOpen,
		Scope: &consolev1.SuppressionScope{Pack: c.Pack, Rule: c.Rule, Tag: c.Tag}}
	if c.Host != "" {
		host, err := findHost(e.ctx, client, c.Host)
		if err != nil {
			return err
		}
		req.Scope.Host = host.GetId()
	}
	for _, text := range c.Where {
		field, value, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("%q is no condition: write FIELD=VALUE", text)
		}
		req.Scope.Conditions = append(req.Scope.Conditions, &consolev1.SuppressionCondition{Field: field, Value: value})
	}
	res, err := client.Suppression.CreateSuppression(e.ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Suppression %s until %s; %d alerts closed.\n", res.Msg.GetSuppression().GetId(), when(res.Msg.GetSuppression().GetExpiresAt()), res.Msg.GetClosed())
	return err
}

type suppressionsEndCmd struct {
	ID     string `arg:"" help:"The suppression's id."`
	Reason string `help:"Why it ends." required:""`
}

// Run ends a suppression.
func (c *suppressionsEndCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	_, err = client.Suppression.EndSuppression(e.ctx, connect.NewRequest(&consolev1.EndSuppressionRequest{Id: c.ID, Reason: c.Reason}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "Ended.")
	return err
}
