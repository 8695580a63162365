package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/assay-audit/assay/agent/internal/enrol"
)

type enrolCommand struct {
	state
	Server    string `required:"" help:"The server's port for agents." placeholder:"HOST:PORT"`
	CAHash    string `required:"" name:"ca-hash" help:"SHA-256 of the CA's root certificate, given to you beside the token." placeholder:"HEX"`
	TokenFile string `help:"File that holds the enrolment token, - for standard input; without it, the variable ASSAY_TOKEN is read." placeholder:"FILE"`
	Replace   bool   `help:"Enrol anew although there is a usable identity."`
}

// Help is the command's long help.
func (enrolCommand) Help() string {
	return `The key is made on this host and never leaves it. The token is never taken from the command line, which other
programs can read.

Examples:
  assay-agent enrol --server assay.example.com:8444 --ca-hash 9f86d0...0a08 --token-file token.txt
  ASSAY_TOKEN=... assay-agent enrol --server 10.0.0.5:8444 --ca-hash 9f86d0...0a08 --dir ./state`
}

// tokenVariable is where the token is read from without a file.
const tokenVariable = "ASSAY_TOKEN"

func (c *enrolCommand) Run(e *env) error {
	token := os.Getenv(tokenVariable)
	if c.TokenFile != "" {
		var err error
		if token, err = enrol.ReadToken(c.TokenFile); err != nil {
			return err
		}
	}
	if token == "" {
		return errors.New("no token: give --token-file FILE or set " + tokenVariable)
	}
	host, err := enrol.ThisHost()
	if err != nil {
		return err
	}
	identity, err := enrol.Enrol(e.ctx, enrol.Config{
		Dir: c.Dir, Server: c.Server, CAHash: c.CAHash, Token: token, Host: host,
		AgentVersion: e.version, Replace: c.Replace, Now: e.now,
	})
	if err != nil {
		return err
	}
	info := identity.Info()
	_, err = fmt.Fprintf(e.stdout, "enrolled as agent %s (host %s) at %s\ncertificate valid until %s, renewed from %s\n",
		info.AgentID, info.HostID, info.Server, info.NotAfter.UTC().Format(time.RFC3339), identity.Due().UTC().Format(time.RFC3339))
	return err
}
