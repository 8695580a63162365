package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type policyCmd struct {
	Show   policyShowCmd   `cmd:"" default:"withargs" help:"Show lists, parameters and change windows."`
	List   policyListCmd   `cmd:"" help:"Set a list of the organisation, e.g. of approved devices."`
	Set    policySetCmd    `cmd:"" help:"Set or unset a parameter of a check."`
	Window policyWindowCmd `cmd:"" help:"Record an approved time of change."`
}

type policyShowCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows the policy.
func (c *policyShowCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Policy.GetPolicy(e.ctx, connect.NewRequest(&consolev1.GetPolicyRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "KIND", "NAME", "VALUES", "OWNER", "SINCE", "UNTIL", "BY", "POSITION")
	for _, p := range res.Msg.GetChanges() {
		t.row(p.GetKind(), p.GetName(), shorten(strings.Join(p.GetValues(), ", "), 80), orDash(p.GetOwner()), when(p.GetFrom()), when(p.GetTo()), p.GetBy(), fmt.Sprint(p.GetPosition()))
	}
	return t.flush()
}

func (e *env) changePolicy(change *consolev1.PolicyChange) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Policy.ChangePolicy(e.ctx, connect.NewRequest(&consolev1.ChangePolicyRequest{Change: change}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Recorded at ledger position %d.\n", res.Msg.GetChange().GetPosition())
	return err
}

type policyListCmd struct {
	Name  string `arg:"" help:"The list's name, e.g. removable_devices."`
	File  string `arg:"" help:"File with one entry a line; # begins a comment. An empty file unsets the list." type:"existingfile"`
	Owner string `help:"Who answers for the list." required:""`
	Since string `help:"Since when it holds (default: now)." placeholder:"TIME"`
}

// Run sets a list.
func (c *policyListCmd) Run(e *env) error {
	file, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("reading the list: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	since, err := parseTime(c.Since)
	if err != nil {
		return err
	}
	change := &consolev1.PolicyChange{Kind: "list", Name: c.Name, Owner: c.Owner, From: stampOf(since)}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line != "" {
			change.Values = append(change.Values, line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the list: %w", err)
	}
	return e.changePolicy(change)
}

type policySetCmd struct {
	Name   string   `arg:"" help:"The parameter as check/name, e.g. av.current/limit."`
	Values []string `arg:"" optional:"" help:"Its value; none unsets it."`
}

// Run sets a parameter.
func (c *policySetCmd) Run(e *env) error {
	return e.changePolicy(&consolev1.PolicyChange{Kind: "parameter", Name: c.Name, Values: c.Values})
}

type policyWindowCmd struct {
	Name   string   `arg:"" help:"The change's name or ticket."`
	From   string   `help:"Beginning." required:"" placeholder:"TIME"`
	To     string   `help:"End." required:"" placeholder:"TIME"`
	Reason string   `help:"What is changed and why." required:""`
	Check  []string `help:"Only for these checks."`
}

// Run records a change window.
func (c *policyWindowCmd) Run(e *env) error {
	from, err := parseTime(c.From)
	if err != nil {
		return err
	}
	to, err := parseTime(c.To)
	if err != nil {
		return err
	}
	return e.changePolicy(&consolev1.PolicyChange{Kind: "change_window", Name: c.Name, From: stampOf(from), To: stampOf(to), Checks: c.Check, Reason: c.Reason})
}
