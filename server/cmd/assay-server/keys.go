package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/evaluate"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// takeIntoUse puts on record which key signs the ledger, what judges and by
// which frameworks, where the ledger does not say so already.
func (s *server) takeIntoUse(ctx context.Context) error {
	store := s.cfg.db.Store
	if err := store.EnsureLedgerKey(ctx, s.authority.LedgerKey()); err != nil {
		return err
	}
	engine, err := postgres.NewRecord(evidence.LeafEngine, "engine", evidence.EngineRecord{
		Version: version, Engine: evaluate.EngineVersion, Facts: project.FactsVersion, Detections: project.DetectionsVersion, Selectors: s.selectors,
	})
	if err != nil {
		return err
	}
	records := []postgres.Record{engine}
	for _, f := range s.library.Frameworks() {
		pack, err := postgres.NewRecord(evidence.LeafPack, "framework "+f.ID, evidence.FrameworkRecord{
			Kind: evidence.FrameworkPack, ID: f.ID, Version: f.Version, SHA256: f.Digest,
		})
		if err != nil {
			return err
		}
		records = append(records, pack)
	}
	taken, err := store.TakeIntoUse(ctx, records)
	if err == nil && taken > 0 {
		s.cfg.log.InfoContext(ctx, "taken into use and recorded", slog.Int("records", taken), slog.String("version", version))
	}
	return err
}

type keysCmd struct {
	Show   keysShowCmd   `cmd:"" help:"Print the keys that checkpoints are verified with."`
	Rotate keysRotateCmd `cmd:"" help:"Make a new key for the ledger; the old one signs that it follows."`
	Retire keysRetireCmd `cmd:"" help:"Delete the key before the ledger's, which then signs no more."`
}

type keysFolder struct {
	Keys string `help:"Folder of the keys (assay-server init)." required:"" env:"ASSAY_KEYS" type:"path" placeholder:"DIR"`
}

type keysShowCmd struct{ keysFolder }

// Run prints what auditors verify with.
func (c *keysShowCmd) Run(e *env) error {
	authority, err := ca.Load(c.Keys, e.now)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "CA hash (agents pin it): %s\nLedger key (auditors verify with it): %s\n", authority.Hash(), authority.LedgerKey())
	if len(authority.LedgerSigners()) > 1 {
		fmt.Fprintln(e.stdout, "The key before it signs too, until: assay-server keys retire")
	}
	return nil
}

type keysRotateCmd struct {
	keysFolder
	database
	DiscardOld bool `help:"Do not let the old key sign beside the new one: for one that others may have."`
}

// Help is the command's long help.
func (keysRotateCmd) Help() string {
	return `A leaf of the ledger says that the new key follows the old; both sign it. Agents take the new key over at their next
checkpoint by that word alone. Auditors need not be told either, as long as they can read the ledger from the old key on.
Servers that run take the new key from the same folder by themselves; on other machines copy the folder first.
Until keys retire checkpoints are signed by both keys, so that programs which know only the old one go on.
A rotation that was cut short is ended by the same command.

Examples:
  assay-server keys rotate --keys /etc/assay/keys --database $URL
  assay-server keys rotate --keys /etc/assay/keys --database $URL --discard-old`
}

// Run rotates the ledger's key: the next one is on disk before the ledger names
// it, and takes its place after.
func (c *keysRotateCmd) Run(e *env) error {
	authority, err := ca.Load(c.Keys, e.now)
	if err != nil {
		return err
	}
	db, err := c.open(e)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.CheckSchema(e.ctx); err != nil {
		return err
	}
	record, previous, err := authority.NextLedgerKey()
	if err != nil {
		return err
	}
	if err := db.RotateLedgerKey(e.ctx, record, previous, operator); err != nil {
		return err
	}
	if err := authority.TakeNextLedgerKey(!c.DiscardOld); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Ledger key (auditors verify with it): %s\nIt follows: %s\n", authority.LedgerKey(), previous)
	return err
}

type keysRetireCmd struct{ keysFolder }

// Run deletes the old key.
func (c *keysRetireCmd) Run(e *env) error {
	authority, err := ca.Load(c.Keys, e.now)
	if err != nil {
		return err
	}
	if err := authority.RetireLedgerKey(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "Checkpoints are signed by the ledger's key alone, by each server from its next start on.")
	return err
}
