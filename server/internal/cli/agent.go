package cli

import (
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type agentsCmd struct {
	List   agentsListCmd   `cmd:"" default:"withargs" help:"List agents."`
	Revoke agentsRevokeCmd `cmd:"" help:"Revoke an agent: nothing of it is taken any more."`
}

type agentsListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists agents.
func (c *agentsListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	all := &consolev1.ListAgentsResponse{}
	for token := ""; ; {
		res, err := client.Agent.ListAgents(e.ctx, connect.NewRequest(&consolev1.ListAgentsRequest{Page: &consolev1.Page{Size: 500, Token: token}}))
		if err != nil {
			return err
		}
		all.Agents = append(all.Agents, res.Msg.GetAgents()...)
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	if c.JSON {
		return printJSON(e.stdout, all)
	}
	t := newTable(e.stdout, "AGENT", "HOST", "RIGHTS", "KEY", "ENROLLED", "LAST SEEN", "CERTIFICATE UNTIL", "REVOKED")
	for _, a := range all.GetAgents() {
		t.row(a.GetId(), a.GetHostName(), strings.Join(a.GetRights(), " "), a.GetKeyKind(), when(a.GetEnrolledAt()), when(a.GetLastSeenAt()),
			when(a.GetCertificateExpiresAt()), strings.TrimSpace(when(a.GetRevokedAt())+" "+a.GetRevokedReason()))
	}
	return t.flush()
}

type agentsRevokeCmd struct {
	ID               string `arg:"" help:"The agent's id."`
	Reason           string `help:"Why; kept in the ledger." required:""`
	CompromisedSince string `help:"From when on its key is doubted." placeholder:"TIME"`
}

// Run revokes an agent.
func (c *agentsRevokeCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	since, err := parseTime(c.CompromisedSince)
	if err != nil {
		return err
	}
	_, err = client.Agent.RevokeAgent(e.ctx, connect.NewRequest(&consolev1.RevokeAgentRequest{Id: c.ID, Reason: c.Reason, CompromisedSince: stampOf(since)}))
	if err == nil {
		_, err = fmt.Fprintln(e.stdout, "Revoked. Its stream ends within 10 seconds.")
	}
	return err
}

type tokensCmd struct {
	List   tokensListCmd   `cmd:"" default:"withargs" help:"List enrolment tokens."`
	Create tokensCreateCmd `cmd:"" help:"Make an enrolment token; its secret is shown once."`
	Revoke tokensRevokeCmd `cmd:"" help:"Revoke a token: nobody enrols with it any more."`
}

type tokensListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists tokens.
func (c *tokensListCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Agent.ListTokens(e.ctx, connect.NewRequest(&consolev1.ListTokensRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "TOKEN", "NAME", "RIGHTS", "TAGS", "USES LEFT", "EXPIRES", "REVOKED", "MADE BY")
	for _, k := range res.Msg.GetTokens() {
		t.row(k.GetId(), k.GetName(), strings.Join(k.GetRights(), " "), strings.Join(k.GetTags(), " "), strconv.Itoa(int(k.GetUsesLeft())),
			when(k.GetExpiresAt()), when(k.GetRevokedAt()), k.GetCreatedBy())
	}
	return t.flush()
}

type tokensCreateCmd struct {
	Name  string   `arg:"" help:"What the token is for."`
	Right []string `help:"Rights: enrol, import." default:"enrol" enum:"enrol,import"`
	Tag   []string `help:"Tags for every host that enrols with it."`
	Uses  uint32   `help:"How many agents may enrol with it." default:"1"`
	Hours uint32   `help:"How long it is valid." default:"24"`
	JSON  bool     `name:"json" help:"Print JSON."`
}

// Run makes a token and prints the command that uses it.
func (c *tokensCreateCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Agent.CreateToken(e.ctx, connect.NewRequest(&consolev1.CreateTokenRequest{Name: c.Name, Rights: c.Right, Tags: c.Tag, Uses: c.Uses, ValidHours: c.Hours}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	_, err = fmt.Fprintf(e.stdout, "%s\n\nPut it into a file on the host (it is shown only now), then:\n  assay-agent enrol --server %s --ca-hash %s --token-file FILE\n",
		res.Msg.GetSecret(), res.Msg.GetServer(), res.Msg.GetCaHash())
	return err
}

type tokensRevokeCmd struct {
	ID string `arg:"" help:"The token's id."`
}

// Run revokes a token.
func (c *tokensRevokeCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	_, err = client.Agent.RevokeToken(e.ctx, connect.NewRequest(&consolev1.RevokeTokenRequest{Id: c.ID}))
	return err
}
