package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/consoleapi"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// database is where everything is kept.
type database struct {
	Database string `help:"Postgres connection string." required:"" env:"ASSAY_DATABASE" placeholder:"URL"`
}

func (d *database) open(e *env) (*postgres.Database, error) {
	return postgres.Connect(e.ctx, d.Database, postgres.Config{Now: e.now})
}

type initCmd struct {
	Keys   string `help:"Folder for the keys; it must not exist or be empty." required:"" env:"ASSAY_KEYS" type:"path" placeholder:"DIR"`
	Origin string `help:"Name of the ledger in its checkpoints, for ever (default: a random one)." placeholder:"NAME"`
}

// Run makes the keys and prints what others need to know of them.
func (c *initCmd) Run(e *env) error {
	if err := ca.Create(c.Keys, ca.CreateConfig{Origin: c.Origin, Now: e.now}); err != nil {
		return err
	}
	authority, err := ca.Load(c.Keys, e.now)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "CA hash (agents pin it): %s\nLedger key (auditors verify with it): %s\n", authority.Hash(), authority.LedgerKey())
	return err
}

type migrateCmd struct{ database }

// Run migrates the database.
func (c *migrateCmd) Run(e *env) error {
	db, err := c.open(e)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(e.ctx)
}

type userCmd struct {
	Create   userCreateCmd   `cmd:"" help:"Create a user."`
	Password userPasswordCmd `cmd:"" help:"Set a user's password and end their sessions."`
}

type passwordSource struct {
	PasswordFile string `help:"File that holds the password; without it one line of standard input is read." type:"existingfile" placeholder:"FILE"`
}

const maxPasswordInput = 4096

func (p *passwordSource) hash(e *env) (string, error) {
	var text string
	if p.PasswordFile != "" {
		raw, err := os.ReadFile(p.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("reading the password file: %w", err)
		}
		text = string(raw)
	} else {
		line, err := bufio.NewReader(io.LimitReader(e.stdin, maxPasswordInput)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		text = line
	}
	return consoleapi.HashPassword(strings.TrimRight(text, "\r\n"))
}

// operator names whoever runs a command on the server itself, for the audit.
const operator = "server operator"

type userCreateCmd struct {
	database
	passwordSource
	Name string `arg:"" help:"Name to sign in with."`
	Role string `help:"admin or viewer." enum:"admin,viewer" default:"viewer"`
}

// Run creates the user.
func (c *userCreateCmd) Run(e *env) error {
	hash, err := c.hash(e)
	if err != nil {
		return err
	}
	if err := assay.CheckText("user name", c.Name, assay.MaxUserName); err != nil {
		return err
	}
	role, err := assay.ParseRole(c.Role)
	if err != nil {
		return err
	}
	db, err := c.open(e)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.CreateUser(e.ctx, assay.User{ID: uuid.New(), Name: c.Name, Role: role, PasswordHash: hash}, operator)
}

type userPasswordCmd struct {
	database
	passwordSource
	Name string `arg:"" help:"The user's name."`
}

// Run sets the password.
func (c *userPasswordCmd) Run(e *env) error {
	hash, err := c.hash(e)
	if err != nil {
		return err
	}
	db, err := c.open(e)
	if err != nil {
		return err
	}
	defer db.Close()
	err = db.SetPassword(e.ctx, c.Name, hash, operator)
	if assay.KindOf(err) == assay.NotFound {
		return fmt.Errorf("there is no user %q", c.Name)
	}
	return err
}

type projectCmd struct {
	Rebuild projectRebuildCmd `cmd:"" help:"Empty projections; running servers fill them again from the evidence."`
}

type projectRebuildCmd struct {
	database
	storage
	Pass []string `help:"facts, detections (of checks) or rules; all without it." enum:"facts,detections,rules" default:"facts,detections,rules"`

	From string        `help:"Make only the event tables anew, for what was received from this day on, without emptying them." placeholder:"DAY"`
	To   string        `help:"The last of those days (default: yesterday)." placeholder:"DAY"`
	Keep time.Duration `help:"How long days that are older than the hot period then stay." default:"168h"`
	Rate int           `help:"At most so many events a second; 0: as fast as it goes." default:"20000"`
}

// Help is the command's long help.
func (projectRebuildCmd) Help() string {
	return `Without --from, passes are emptied and running servers fill them again from the evidence.

With --from, the event tables of past days are made anew beside the ones in use and take their place week by week:
nothing is missing meanwhile. Days that left the hot period are read from the archive and come back. It may be
interrupted: the same command goes on where it was. Servers may run.

Examples:
  assay-server project rebuild --database $URL
  assay-server project rebuild --database $URL --keys keys --archive file:///srv/archive --from 2026-01-05 --to 2026-01-11`
}

// Run resets the passes to this program's versions, or rebuilds some days.
func (c *projectRebuildCmd) Run(e *env) error {
	if c.From != "" || c.To != "" {
		return c.days(e)
	}
	db, err := c.database.open(e)
	if err != nil {
		return err
	}
	defer db.Close()
	versions := map[string]int{project.FactsPass: project.FactsVersion, project.DetectionsPass: project.DetectionsVersion, project.RulesPass: project.RulesVersion}
	for _, pass := range c.Pass {
		if err := db.ResetPass(e.ctx, pass, versions[pass]); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s: emptied; servers now rebuild it\n", pass)
	}
	return nil
}
