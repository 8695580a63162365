package ledger

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/witness"
)

// vouchersPage is how many signatures of others are read at a time, about 3 KiB each.
const vouchersPage = 2048

// vouchers say how far the signatures of others have been verified.
type vouchers struct {
	Agents    postgres.CosignatureKey `json:"agents"`
	AgentsEnd bool                    `json:"agents_end"`
	// Size and Name are of the newest witness's cosignature, or time-stamp.
	Witnesses    sizedName `json:"witnesses"`
	WitnessesEnd bool      `json:"witnesses_end"`
	Stamps       sizedName `json:"stamps"`
	StampsEnd    bool      `json:"stamps_end"`
}

type sizedName struct {
	Size int64  `json:"size"`
	Name string `json:"name"`
}

// verifyVouchers verifies what agents, witnesses and authorities have signed. It
// comes before the leaves: what is kept of an unfinished verification is of the
// signed tree alone.
func (v *verifier) verifyVouchers(ctx context.Context, store *postgres.Store, from int64) error {
	kept := v.cfg.Now()
	for _, read := range []func(context.Context, *postgres.Store) (bool, error){v.cosignatures, v.witnesses, v.timeStamps} {
		for more := true; more; {
			var err error
			if more, err = read(ctx, store); err != nil {
				return err
			}
			ended := ctx.Err() != nil
			if v.cfg.KeepKey != nil && (ended || v.cfg.Now().Sub(kept) >= keepEvery) {
				kept = v.cfg.Now()
				if err := v.keep(context.WithoutCancel(ctx), store, from); err != nil {
					return err
				}
			}
			if ended {
				return ctx.Err()
			}
		}
	}
	return nil
}

// beyond reports whether a checkpoint came after the verification began.
func (v *verifier) beyond(c *postgres.Vouched) bool {
	return !c.Missing && c.Checkpoint.Size > v.snapshot.Tree.Size
}

// voucher counts a signature of a checkpoint, unless that came later, and names what is
// wrong with it by the checkpoint and by who is said to have signed.
func (v *verifier) voucher(what string, c *postgres.Vouched, size int64, by string, judge func() (detail string)) {
	if v.beyond(c) {
		return
	}
	v.report.Vouchers++
	if detail := judge(); detail != "" {
		v.problem(what, -1, fmt.Sprintf("of the checkpoint of size %d by %s: %s", size, by, detail))
	}
}

const noCheckpoint = "there is no such checkpoint"

// statement returns what somebody must have signed. ok is false for a checkpoint
// that is at fault itself, which is named where its leaves are.
func (v *verifier) statement(c *postgres.Vouched) (evidence.Checkpoint, bool) {
	opened, err := v.openCheckpoint(c.Checkpoint.Note, c.Checkpoint.Size)
	return opened, err == nil && opened.Size == c.Checkpoint.Size && opened.Root == c.Checkpoint.Root
}

// cosignatures verifies a page of what agents signed.
func (v *verifier) cosignatures(ctx context.Context, store *postgres.Store) (more bool, err error) {
	at := &v.vouchers
	if at.AgentsEnd {
		return false, nil
	}
	page, err := store.CosignatureRows(ctx, at.Agents, vouchersPage)
	if err != nil {
		return false, err
	}
	details := v.judgeCosignatures(page)
	for i := range page {
		row := &page[i]
		at.Agents = postgres.CosignatureKey{Size: row.Size, Agent: row.Agent}
		v.voucher("cosignature", &row.Vouched, row.Size, "agent "+row.Agent.String(), func() string { return details[i] })
	}
	at.AgentsEnd = len(page) < vouchersPage
	return !at.AgentsEnd, nil
}

// judgeCosignatures says what is wrong with each of a page, "" for nothing. The
// signatures are verified over all processors.
func (v *verifier) judgeCosignatures(page []postgres.CosignatureRow) []string {
	details, works := make([]string, len(page)), make([]func(), 0, len(page))
	statements := map[int64]evidence.Checkpoint{} // those that are sound
	for i := range page {
		row := &page[i]
		statement, known := statements[row.Size]
		if !known && !row.Missing {
			if statement, known = v.statement(&row.Vouched); known {
				statements[row.Size] = statement
			}
		}
		switch {
		case row.Missing:
			details[i] = noCheckpoint
		case !known || v.beyond(&row.Vouched):
		default:
			by, detail := v.cosigner(row)
			if details[i] = detail; detail == "" {
				works = append(works, func() {
					if err := row.Check(statement, by.key); err != nil {
						details[i] = "it is not what the agent signed"
					}
				})
			}
		}
	}
	v.spread(works)
	return details
}

func (v *verifier) spread(works []func()) {
	var wait sync.WaitGroup
	for n := range v.examiners {
		wait.Go(func() {
			for i := n; i < len(works); i += len(v.examiners) {
				works[i]()
			}
		})
	}
	wait.Wait()
}

// cosigner is the certificate that a cosignature came by, or what is wrong with it.
func (v *verifier) cosigner(row *postgres.CosignatureRow) (judged, string) {
	if row.DER == nil {
		return judged{}, fmt.Sprintf("the certificate %x, by which it came, is not in the ledger", row.Serial)
	}
	by := v.signers.of(string(row.Serial), row.DER, row.ReceivedAt)
	switch {
	case by.err != nil:
		return by, by.err.Error()
	case by.agent != row.Agent || row.Owner != row.Agent:
		return by, "it came by another agent's certificate"
	case by.key == nil:
		return by, "its certificate's key is none that cosigns"
	}
	return by, ""
}

// witnesses verifies a page of what witnesses signed, each by its own key. Which
// keys are to be trusted is for who reads them: one that is no longer asked has
// signed what it signed.
func (v *verifier) witnesses(ctx context.Context, store *postgres.Store) (more bool, err error) {
	at := &v.vouchers
	if at.WitnessesEnd {
		return false, nil
	}
	page, err := store.WitnessRows(ctx, at.Witnesses.Size, at.Witnesses.Name, vouchersPage)
	if err != nil {
		return false, err
	}
	for i := range page {
		row := &page[i]
		at.Witnesses = sizedName{row.Size, row.Key}
		v.voucher("witness", &row.Vouched, row.Size, row.Name, func() string { return v.witnessed(row) })
	}
	at.WitnessesEnd = len(page) < vouchersPage
	return !at.WitnessesEnd, nil
}

func (v *verifier) witnessed(row *postgres.WitnessRow) string {
	if row.Missing {
		return noCheckpoint
	}
	statement, ok := v.statement(&row.Vouched)
	if !ok {
		return ""
	}
	peer, err := witness.NewPeer(row.Key)
	if err != nil || peer.Key != row.Key {
		return "its key cannot be read"
	}
	line, at, err := peer.Verify(statement, row.Line)
	switch {
	case err != nil:
		return "it is not what the witness signed: " + err.Error()
	case peer.Name() != row.Name:
		return "its key is that of " + peer.Name()
	case line != row.Line || !at.Equal(row.SignedAt):
		return "it was signed at another time, or is not alone"
	}
	return ""
}

// timeStamps verifies a page of tokens: each is of its checkpoint, and one of an
// authority whose roots are known was signed below them.
func (v *verifier) timeStamps(ctx context.Context, store *postgres.Store) (more bool, err error) {
	at := &v.vouchers
	if at.StampsEnd {
		return false, nil
	}
	page, err := store.TimeStampRows(ctx, at.Stamps.Size, at.Stamps.Name, vouchersPage)
	if err != nil {
		return false, err
	}
	for i := range page {
		row := &page[i]
		at.Stamps = sizedName{row.Size, row.Authority}
		v.voucher("time-stamp", &row.Vouched, row.Size, row.Authority, func() string { return v.stamped(row) })
	}
	at.StampsEnd = len(page) < vouchersPage
	return !at.StampsEnd, nil
}

func (v *verifier) stamped(row *postgres.TimeStampRow) string {
	if row.Missing {
		return noCheckpoint
	}
	statement, ok := v.statement(&row.Vouched)
	if !ok {
		return ""
	}
	verify := stamp.VerifyAlone
	if known := v.cfg.TimeStamps; known != nil && known.URL == row.Authority {
		verify = known.Verify
	}
	at, err := verify(statement, row.Token)
	switch {
	case err != nil:
		return err.Error()
	case !at.Truncate(time.Microsecond).Equal(row.StampedAt):
		return "its row says another time than its token"
	}
	return ""
}
