package cli

import (
	"fmt"
	"os"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type notificationsCmd struct {
	List       notificationsListCmd       `cmd:"" default:"withargs" help:"List targets with what became of their messages."`
	Add        notificationsAddCmd        `cmd:"" help:"Add a webhook, mail or syslog target."`
	Change     notificationsChangeCmd     `cmd:"" help:"Change what a target is or is told of."`
	Test       notificationsTestCmd       `cmd:"" help:"Send a test message now and show what came of it."`
	Disable    notificationsDisableCmd    `cmd:"" help:"Turn a target off; what waits for it is cancelled."`
	Enable     notificationsEnableCmd     `cmd:"" help:"Turn a target on again."`
	Deliveries notificationsDeliveriesCmd `cmd:"" help:"Show the log of deliveries, newest first."`
	Retry      notificationsRetryCmd      `cmd:"" help:"Try a failed delivery again."`
}

type notificationsListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists targets.
func (c *notificationsListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Notification.ListNotificationTargets(e.ctx, connect.NewRequest(&consolev1.ListNotificationTargetsRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "TARGET", "NAME", "KIND", "ADDRESS", "ON", "LEVELS", "KINDS", "DELIVERED", "PENDING", "FAILED", "LAST ERROR")
	for _, n := range res.Msg.GetTargets() {
		on := "on"
		if !n.GetEnabled() {
			on = "off"
		}
		t.row(n.GetId(), n.GetName(), n.GetKind(), n.GetAddress(), on, orAll(n.GetLevels()), orAll(n.GetKinds()),
			fmt.Sprint(n.GetDelivered()), fmt.Sprint(n.GetPending()), fmt.Sprint(n.GetFailed()), orDash(shorten(n.GetLastError(), 80)))
	}
	return t.flush()
}

func orAll(list []string) string {
	if len(list) == 0 {
		return "all"
	}
	return strings.Join(list, ",")
}

type notificationsAddCmd struct {
	Kind    string `arg:"" help:"webhook, email or syslog." enum:"webhook,email,syslog"`
	Name    string `arg:"" help:"What to call it."`
	Address string `arg:"" optional:"" help:"HOST:PORT of the mail or syslog server, or https URL of the webhook (see --url-file)."`

	URLFile           string   `name:"url-file" help:"File that holds the webhook's URL: for URLs whose path is a password, which a command line would show to others." type:"existingfile" placeholder:"FILE"`
	Format            string   `help:"Body of a webhook: json or ocsf." enum:"json,ocsf" default:"json"`
	AuthorizationFile string   `help:"File that holds the Authorization header of a webhook." type:"existingfile" placeholder:"FILE"`
	Security          string   `help:"How mail is secured: starttls or tls." enum:"starttls,tls" default:"starttls"`
	From              string   `help:"Sender of mails." placeholder:"ADDRESS"`
	To                []string `help:"Recipients of mails." placeholder:"ADDRESS"`
	User              string   `help:"User name for the mail server." placeholder:"NAME"`
	PasswordFile      string   `help:"File that holds the password for the mail server." type:"existingfile" placeholder:"FILE"`
	CA                string   `name:"ca" help:"File of the CA that the target's certificate is from (default: the system's trust)." type:"existingfile" placeholder:"FILE"`
	Level             []string `help:"Tell only of these levels, e.g. high,critical." placeholder:"LEVEL"`
	On                []string `help:"Tell only these: alert.open, alert.reopen, alert.escalate, alert.overdue." placeholder:"KIND"`
	JSON              bool     `name:"json" help:"Print JSON."`
}

// Help implements kong.HelpProvider.
func (notificationsAddCmd) Help() string {
	return `Examples:
  assayctl notifications add webhook siem --url-file url --format ocsf --level high,critical
  assayctl notifications add email soc mail.example.org:587 --from assay@example.org --to soc@example.org --user assay --password-file pw
  assayctl notifications add syslog collector logs.example.org:6514 --ca collector-ca.pem

The secret to verify a webhook's signature with is printed once and never again.`
}

// maxSecretFile bounds a file that holds a secret, in bytes.
const maxSecretFile = 16 << 10

func readSecret(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > maxSecretFile {
		return "", fmt.Errorf("reading %s: it has more than %d bytes", name, maxSecretFile)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

func (c *notificationsAddCmd) request() (*consolev1.CreateNotificationTargetRequest, error) {
	target := &consolev1.NotificationTarget{Name: c.Name, Kind: c.Kind, Address: c.Address, Levels: c.Level, Kinds: c.On}
	req := &consolev1.CreateNotificationTargetRequest{Target: target}
	var err error
	if target.Ca, err = readSecret(c.CA); err != nil {
		return nil, err
	}
	switch c.Kind {
	case "webhook":
		target.Format = c.Format
		if c.URLFile != "" {
			if target.Address, err = readSecret(c.URLFile); err != nil {
				return nil, err
			}
		}
		if req.Authorization, err = readSecret(c.AuthorizationFile); err != nil {
			return nil, err
		}
	case "email":
		target.Security, target.From, target.To, target.Username = c.Security, c.From, c.To, c.User
		if req.Password, err = readSecret(c.PasswordFile); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// Run adds a target.
func (c *notificationsAddCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	req, err := c.request()
	if err != nil {
		return err
	}
	res, err := client.Notification.CreateNotificationTarget(e.ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	target := res.Msg.GetTarget()
	fmt.Fprintf(e.stdout, "Added %s (%s). Test it: assayctl notifications test %s\n", plain(target.GetName()), target.GetId(), target.GetId())
	if secret := res.Msg.GetSigningSecret(); secret != "" {
		fmt.Fprintf(e.stdout, "Signing secret, shown this once: %s\n", secret)
	}
	return nil
}

// findTarget finds a target by id or name.
func findTarget(e *env, client *Client, text string) (*consolev1.NotificationTarget, error) {
	res, err := client.Notification.ListNotificationTargets(e.ctx, connect.NewRequest(&consolev1.ListNotificationTargetsRequest{}))
	if err != nil {
		return nil, err
	}
	for _, t := range res.Msg.GetTargets() {
		if t.GetId() == text || strings.EqualFold(t.GetName(), text) {
			return t, nil
		}
	}
	return nil, fmt.Errorf("there is no target %q (assayctl notifications list)", text)
}

type notificationsTestCmd struct {
	Target string `arg:"" help:"The target's name or id."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run tests a target; a failure is bad news, exit code 1.
func (c *notificationsTestCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	target, err := findTarget(e, client, c.Target)
	if err != nil {
		return err
	}
	res, err := client.Notification.TestNotificationTarget(e.ctx, connect.NewRequest(&consolev1.TestNotificationTargetRequest{Id: target.GetId()}))
	if err != nil {
		return err
	}
	delivery := res.Msg.GetDelivery()
	if delivery.GetState() != "delivered" {
		e.code = ExitBad
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	_, err = fmt.Fprintf(e.stdout, "%s: %s\n", delivery.GetState(), lastAttempt(delivery))
	return err
}

func lastAttempt(d *consolev1.Delivery) string {
	attempts := d.GetAttempts()
	if len(attempts) == 0 {
		return "not tried yet"
	}
	last := attempts[len(attempts)-1]
	return fmt.Sprintf("%s (%d ms)", plain(last.GetDetail()), last.GetMilliseconds())
}

type notificationsDisableCmd struct {
	Target string `arg:"" help:"The target's name or id."`
	Reason string `help:"Why; kept in the audit log." required:""`
}

// Run turns a target off.
func (c *notificationsDisableCmd) Run(e *env) error {
	return setTarget(e, c.Target, c.Reason, false)
}

type notificationsEnableCmd struct {
	Target string `arg:"" help:"The target's name or id."`
	Reason string `help:"Why; kept in the audit log." required:""`
}

// Run turns a target on.
func (c *notificationsEnableCmd) Run(e *env) error { return setTarget(e, c.Target, c.Reason, true) }

func setTarget(e *env, name, reason string, enabled bool) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	target, err := findTarget(e, client, name)
	if err != nil {
		return err
	}
	req := &consolev1.SetNotificationTargetEnabledRequest{Id: target.GetId(), Enabled: enabled, Reason: reason}
	if _, err := client.Notification.SetNotificationTargetEnabled(e.ctx, connect.NewRequest(req)); err != nil {
		return err
	}
	state := map[bool]string{true: "on", false: "off"}[enabled]
	_, err = fmt.Fprintf(e.stdout, "%s is %s.\n", plain(target.GetName()), state)
	return err
}

type notificationsDeliveriesCmd struct {
	Target string `help:"Only to this target, by name or id." placeholder:"TARGET"`
	State  string `help:"pending, delivered, failed or cancelled; all without it." enum:"pending,delivered,failed,cancelled," default:""`
	Alert  string `help:"Only of this alert." placeholder:"ID"`
	Limit  uint32 `help:"At most this many, up to 500." default:"100"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run shows the log.
func (c *notificationsDeliveriesCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	req := &consolev1.ListDeliveriesRequest{State: c.State, Alert: c.Alert, Page: &consolev1.Page{Size: c.Limit}}
	if c.Target != "" {
		target, err := findTarget(e, client, c.Target)
		if err != nil {
			return err
		}
		req.Target = target.GetId()
	}
	res, err := client.Notification.ListDeliveries(e.ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "DELIVERY", "STATE", "OF", "TO", "WHAT", "LEVEL", "ATTEMPTS", "NEXT", "NEWEST ATTEMPT")
	for _, d := range res.Msg.GetDeliveries() {
		t.row(d.GetId(), d.GetState(), when(d.GetOccurredAt()), d.GetTargetName(), d.GetKind(), d.GetLevel(),
			fmt.Sprintf("%d of %d", len(d.GetAttempts()), d.GetMaxAttempts()), when(d.GetNextAttemptAt()), shorten(lastAttempt(d), 100))
	}
	return t.flush()
}

type notificationsRetryCmd struct {
	ID string `arg:"" help:"The delivery's id."`
}

// Run tries a failed delivery again.
func (c *notificationsRetryCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	if _, err := client.Notification.RetryDelivery(e.ctx, connect.NewRequest(&consolev1.RetryDeliveryRequest{Id: c.ID})); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "It is tried again now: assayctl notifications deliveries")
	return err
}
