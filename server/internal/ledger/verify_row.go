package ledger

import (
	"bytes"
	"fmt"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// recordLeaf verifies that the row beside a leaf says what the leaf does.
func (v *verifier) recordLeaf(p *postgres.LedgerPage, position int64, leaf *evidence.Leaf) {
	if leaf.Kind == evidence.LeafFinding {
		v.findingLeaf(position, leaf)
		return
	}
	record, known, err := postgres.NormalRecord(leaf.Kind, leaf.Body)
	if !known {
		return // the tree binds its bytes, and it has no row
	}
	if err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	row, ok := p.Records[position]
	delete(p.Records, position)
	switch {
	case !ok:
		v.problem(leaf.Kind.String(), position, "its row is missing")
	case row.Kind != leaf.Kind:
		v.problem(leaf.Kind.String(), position, fmt.Sprintf("its row is of a %s", row.Kind))
	case !bytes.Equal(row.Record, record):
		v.problem(leaf.Kind.String(), position, "its row does not say what the leaf does")
	}
	if leaf.Kind == evidence.LeafOperator {
		v.deed(p, position, leaf)
	}
}

// deed verifies that the rows of alerts say of what a person did what the leaf does.
func (v *verifier) deed(p *postgres.LedgerPage, position int64, leaf *evidence.Leaf) {
	said, err := postgres.NormalDeed(leaf.Body)
	rows := p.Deeds[position]
	delete(p.Deeds, position)
	if err == nil && !bytes.Equal(said, rows) { // an error is told already
		v.problem("alert", position, "the rows of what was done to alerts do not say what the leaf does")
	}
}

// findingDigests are of what a finding's newest leaf says.
type findingDigests struct {
	Position int64         `json:"position"`
	Facts    evidence.Hash `json:"facts"`
	Whole    evidence.Hash `json:"whole"`
}

func (v *verifier) findingLeaf(position int64, leaf *evidence.Leaf) {
	said, err := postgres.NormalFinding(leaf.Body)
	if err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	v.findings[said.ID] = findingDigests{position, said.Facts, said.Whole}
}

// finishFindings compares the rows of all findings with their newest leaves.
func (v *verifier) finishFindings() {
	for i := range v.snapshot.Findings {
		row := &v.snapshot.Findings[i]
		said, ok := v.findings[row.ID]
		delete(v.findings, row.ID)
		switch {
		case !ok:
			v.finding(-1, row.ID, "no leaf speaks of it")
		case said.Facts != row.Facts, !row.ClosedByPerson && said.Whole != row.Whole:
			v.finding(said.Position, row.ID, "its row does not say what its newest leaf does")
		}
	}
	for id, said := range v.findings {
		v.finding(said.Position, id, "its row is missing")
	}
}

func (v *verifier) finding(position int64, id assay.FindingID, detail string) {
	v.problem("finding", position, fmt.Sprintf("%s: %s", id, detail))
}
