package cli

import (
	"fmt"
	"slices"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type notificationsChangeCmd struct {
	Target string `arg:"" help:"The target's name or id."`
	Reason string `help:"Why; kept in the audit log." required:""`

	Name              string   `help:"A new name."`
	Address           string   `help:"HOST:PORT of the mail or syslog server, or https URL of the webhook (see --url-file)."`
	URLFile           string   `name:"url-file" help:"File that holds the webhook's URL." type:"existingfile" placeholder:"FILE"`
	Format            string   `help:"Body of a webhook: json or ocsf." enum:"json,ocsf," default:""`
	AuthorizationFile string   `help:"File that holds the Authorization header of a webhook; an empty file sends none." type:"existingfile" placeholder:"FILE"`
	Security          string   `help:"How mail is secured: starttls or tls." enum:"starttls,tls," default:""`
	From              string   `help:"Sender of mails." placeholder:"ADDRESS"`
	To                []string `help:"Recipients of mails, instead of those before." placeholder:"ADDRESS"`
	User              string   `help:"User name for the mail server; - for none." placeholder:"NAME"`
	PasswordFile      string   `help:"File that holds the password for the mail server." type:"existingfile" placeholder:"FILE"`
	CA                string   `name:"ca" help:"File of the CA that the target's certificate is from; an empty file is the system's trust." type:"existingfile" placeholder:"FILE"`
	Level             []string `help:"Tell only of these levels; all for every level." placeholder:"LEVEL"`
	On                []string `help:"Tell only these: alert.open, alert.reopen, alert.escalate, alert.overdue; all for all." placeholder:"KIND"`
	JSON              bool     `name:"json" help:"Print JSON."`
}

// Help implements kong.HelpProvider.
func (notificationsChangeCmd) Help() string {
	return `What is not named stays. Its kind stays, and a webhook's signing secret.

Examples:
  assayctl notifications change siem --level all --reason "the SIEM sorts by itself"
  assayctl notifications change soc --address mail2.example.org:587 --password-file pw --reason "new mail server"

Where the target goes to another host or trusts another CA, its password or
Authorization header must be given anew: it was given for the one before.`
}

func (c *notificationsChangeCmd) request(target *consolev1.NotificationTarget) (*consolev1.ChangeNotificationTargetRequest, error) {
	req := &consolev1.ChangeNotificationTargetRequest{Target: target, Reason: c.Reason}
	if target.GetKind() == "webhook" {
		target.Address = "" // shown without its path: empty keeps it
	}
	for _, text := range []struct {
		to   *string
		from string
	}{{&target.Name, c.Name}, {&target.Address, c.Address}, {&target.Format, c.Format}, {&target.Security, c.Security}, {&target.From, c.From}, {&target.Username, c.User}} {
		if text.from != "" {
			*text.to = text.from
		}
	}
	if c.User == "-" {
		target.Username = ""
	}
	for _, list := range []struct {
		to   *[]string
		from []string
	}{{&target.To, c.To}, {&target.Levels, c.Level}, {&target.Kinds, c.On}} {
		if len(list.from) > 0 {
			*list.to = list.from
		}
		if slices.Equal(list.from, []string{"all"}) {
			*list.to = nil
		}
	}
	for _, file := range []struct {
		name string
		take func(text string)
	}{
		{c.URLFile, func(text string) { target.Address = text }}, {c.CA, func(text string) { target.Ca = text }},
		{c.PasswordFile, func(text string) { req.Password = &text }}, {c.AuthorizationFile, func(text string) { req.Authorization = &text }},
	} {
		if file.name == "" {
			continue
		}
		text, err := readSecret(file.name)
		if err != nil {
			return nil, err
		}
		file.take(text)
	}
	return req, nil
}

// Run changes a target.
func (c *notificationsChangeCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	target, err := findTarget(e, client, c.Target)
	if err != nil {
		return err
	}
	req, err := c.request(target)
	if err != nil {
		return err
	}
	res, err := client.Notification.ChangeNotificationTarget(e.ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	name := plain(res.Msg.GetTarget().GetName())
	_, err = fmt.Fprintf(e.stdout, "Changed %s. Test it: assayctl notifications test %s\n", name, res.Msg.GetTarget().GetId())
	return err
}
