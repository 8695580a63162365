package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/assay-audit/assay/server/internal/postgres"
)

// recoveryFindings are what is held and how it stands to what there is.
type recoveryFindings struct {
	Tree    treeReport   `json:"tree"`
	Held    *treeReport  `json:"held,omitempty"` // the largest
	Missing []heldReport `json:"missing,omitempty"`
	// Contradicted is the smallest size at which somebody holds another root than
	// the ledger has: a server ran after the restore. 0: none.
	Contradicted int64 `json:"contradicted,omitempty"`
	Hosts        int64 `json:"hosts"`
	Heard        int64 `json:"heard"`
	// Unknown are agents that enrolled after the backup.
	Unknown []string `json:"unknown,omitempty"`
}

type treeReport struct {
	Size int64  `json:"size"`
	Root string `json:"root"`
	tree postgres.Tree
}

type heldReport struct {
	Size    int64     `json:"size"`
	Holder  string    `json:"holder"`
	ShownAt time.Time `json:"shown_at"`
}

func reportTree(t postgres.Tree) treeReport { return treeReport{t.Size, t.Root.String(), t} }

func (r *recovery) find() (*recoveryFindings, error) {
	ctx := r.env.ctx
	tree, err := r.store.Tree(ctx)
	if err != nil {
		return nil, err
	}
	f := &recoveryFindings{Tree: reportTree(tree)}
	held, err := r.store.Held(ctx)
	if err != nil {
		return nil, err
	}
	for i := range held {
		h := &held[i]
		f.Missing = append(f.Missing, heldReport{h.Size, h.Holder, h.ShownAt})
		if i == 0 {
			largest := reportTree(h.Tree)
			f.Held = &largest
		}
		if h.Size <= tree.Size {
			f.Contradicted = h.Size // they come in falling order
		}
	}
	if f.Hosts, err = r.store.Speaking(ctx); err != nil {
		return nil, err
	}
	f.Heard, _, _ = r.heard()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, by := range r.shown {
		if by.unknown {
			f.Unknown = append(f.Unknown, id.String())
		}
	}
	slices.Sort(f.Unknown)
	return f, nil
}

// shownMissing bounds what the report lists.
const shownMissing = 20

func (r *recovery) report(f *recoveryFindings) error {
	if r.cmd.JSON {
		return json.NewEncoder(r.env.stdout).Encode(f)
	}
	w := r.env.stdout
	fmt.Fprintf(w, "The ledger %s has %d leaves signed. %d agents were heard, of %d hosts.\n", r.authority.Origin(), f.Tree.Size, f.Heard, f.Hosts)
	for _, id := range f.Unknown {
		fmt.Fprintf(w, "Agent %s is not known here: it enrolled after the backup and must enrol again.\n", id)
	}
	if len(f.Missing) == 0 {
		fmt.Fprintln(w, "Nobody was found to hold a checkpoint that it does not have.")
		if f.Heard < f.Hosts {
			fmt.Fprintln(w, "Not all have been heard: listen with --wait, ask auditors and witnesses for theirs (--checkpoint), then start the servers.")
		}
		return nil
	}
	fmt.Fprintf(w, "%d checkpoints are held that it does not have:\n", len(f.Missing))
	for i, h := range f.Missing {
		if i == shownMissing {
			fmt.Fprintf(w, "  and %d more\n", len(f.Missing)-i)
			break
		}
		fmt.Fprintf(w, "  of %d leaves, by %s\n", h.Size, h.Holder)
	}
	if f.Contradicted > 0 {
		fmt.Fprintf(w, "A server ran after the restore and signed other leaves below %d: give the size that the backup had signed with --kept.\n", f.Contradicted)
	} else {
		// A server's own leaves may be signed before the first agent comes.
		fmt.Fprintln(w, "If a server was started on this database after the restore, give the size that the backup had signed with --kept.")
	}
	_, err := fmt.Fprintln(w, "To begin the ledger that follows: the same command with --open.")
	return err
}
