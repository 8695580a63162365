package ruleimport

import (
	"context"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/rule"
)

// Options say how a pack is imported.
type Options struct {
	Enable string // as Choose takes it
	Reason string
	DryRun bool
}

// Outcome is what became of an import.
type Outcome struct {
	Difference
	TurnedOn []string
	// AlreadyInForce: the very same contents were; nothing was done.
	AlreadyInForce bool
}

// Import puts a pack in force. Rules that the pack had before keep their state;
// what is new is turned on as the options say. A dry run says what would become
// of it.
func Import(ctx context.Context, store *postgres.Store, pack *assay.RulePack, o Options) (Outcome, error) {
	var done Outcome
	_, digest, before, ok, err := store.PackInForce(ctx, pack.Name)
	if err != nil {
		return done, err
	}
	done.Difference = Compare(before, pack.Rules)
	if ok && digest == pack.Digest {
		done.AlreadyInForce = true
		return done, nil
	}
	known, err := store.KnownRules(ctx, pack.Name)
	if err != nil {
		return done, err
	}
	var fresh []assay.Rule
	for i := range pack.Rules {
		if !known[pack.Rules[i].ID] {
			fresh = append(fresh, pack.Rules[i])
		}
	}
	if done.TurnedOn, err = Choose(fresh, o.Enable); err != nil || o.DryRun {
		return done, err
	}
	// A version that was here before comes back in force as it is.
	packs, err := store.RulePacks(ctx)
	if err != nil {
		return done, err
	}
	for i := range packs {
		if p := &packs[i]; p.Name == pack.Name && p.Digest == pack.Digest {
			pack.Version = p.Version
			return done, store.UsePack(ctx, pack.Name, p.Version, pack.ImportedBy, o.Reason)
		}
	}
	_, err = store.ImportPack(ctx, pack, done.TurnedOn, o.Reason)
	return done, err
}

// ImportBuiltin puts the pack that came with the program in force, unless it was
// here before: a server of an older release that starts again among newer ones
// takes nothing back. New rules of it are turned on.
func ImportBuiltin(ctx context.Context, store *postgres.Store, sources []rule.Source, by string) (*assay.RulePack, error) {
	files := make([]assay.PackFile, len(sources))
	for i, s := range sources {
		files[i] = assay.PackFile{Path: s.Name, Data: s.Data}
	}
	pack, err := Read(assay.BuiltinPack, "", files)
	if err != nil {
		return nil, err
	}
	packs, err := store.RulePacks(ctx)
	if err != nil {
		return nil, err
	}
	for i := range packs {
		if packs[i].Name == pack.Name && packs[i].Digest == pack.Digest {
			return nil, nil
		}
	}
	pack.Builtin, pack.ImportedBy = true, by
	_, err = Import(ctx, store, pack, Options{Enable: "all", Reason: "came with the server"})
	if assay.KindOf(err) == assay.Conflict {
		return nil, nil // another server that started at the same time was quicker
	}
	return pack, err
}
