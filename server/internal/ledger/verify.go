package ledger

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/stamp"
)

// CertificateVerifier believes agents' certificates; *ca.Authority is one.
type CertificateVerifier interface {
	VerifyAgent(leaf *x509.Certificate, at time.Time) (assay.AgentID, error)
}

// VerifyConfig is what Verify needs.
type VerifyConfig struct {
	Certificates CertificateVerifier
	// Key is the ledger's newest; its name is the ledger's origin. Those before it
	// are believed as its chain of rotations says.
	Key note.Verifier
	Now func() time.Time
	// TimeStamps is the authority whose roots are known; tokens of others are only
	// verified to be of their checkpoint, and signed by whom they name. nil: none.
	TimeStamps *stamp.Authority
	// Page is how many positions are read at a time; 0: 1024. Three pages, of
	// about 20 KiB a position, are in memory at a time.
	Page int64
	// MaxProblems bounds those that are named; the rest is counted. 0: 1000.
	MaxProblems int
	// KeepKey, where there is one, has it kept now and then where the verification
	// is, and gone on where one was kept within a day and not finished. It is 32
	// secret bytes that are not in the database: what is kept there is believed only
	// if it was written with them.
	KeepKey []byte
	// Progress, where there is one, is called after each page.
	Progress func(done, total int64)
}

// Problem is a fault, named so that it can be found.
type Problem struct {
	// What is at fault: leaf, batch, payload, header, signature, chain,
	// certificate, epoch, fork, tree, checkpoint, cosignature, witness, time-stamp,
	// stream, agent, content, or the kind of a leaf.
	What string
	// Position is -1 where the fault is at none.
	Position int64
	Stream   string // empty where it is of none
	Number   uint64
	Detail   string
}

func (p Problem) String() string {
	text := p.What
	if p.Position >= 0 {
		text += fmt.Sprintf(" at position %d", p.Position)
	}
	if p.Stream != "" {
		text += fmt.Sprintf(" of stream %s number %d", p.Stream, p.Number)
	}
	return text + ": " + p.Detail
}

// Report is what a verification found.
type Report struct {
	StartedAt, FinishedAt time.Time
	// Size is how many leaves were verified, Tree how many of them were signed.
	Size    int64
	Tree    int64
	Batches int64
	Events  int64
	Forks   int64
	// Absent counts the batches whose payloads were erased, or deleted from the
	// archive, under a leaf that says so: their headers and leaves verify.
	Absent int64
	// Vouchers counts the signatures of agents, witnesses and time-stamping
	// authorities over checkpoints.
	Vouchers int64
	// Problems are faults of what is stored: it is not what was recorded.
	Problems []Problem
	// Defects are of batches that are stored as they came, and never held what
	// their header says: the agent's fault, and no sign of tampering here.
	Defects []Problem
	// Unnamed counts the problems and defects beyond those that are named.
	Unnamed int64
}

// Good reports whether all that is stored is what was recorded.
func (r *Report) Good() bool { return len(r.Problems) == 0 }

// Verify goes through everything that the database holds of the ledger in order
// of position, in bounded memory but for the streams' heads. An error means
// that it could not be read to the end, and nothing else.
func Verify(ctx context.Context, store *postgres.Store, cfg VerifyConfig) (*Report, error) {
	if cfg.Page == 0 {
		cfg.Page = 1024
	}
	if cfg.MaxProblems == 0 {
		cfg.MaxProblems = 1000
	}
	v, err := newVerifier(cfg)
	if err != nil {
		return nil, err
	}
	defer v.close()
	v.report.StartedAt = cfg.Now()
	if v.snapshot, err = store.LedgerSnapshot(ctx, tlog.StoredHashCount); err != nil {
		return nil, err
	}
	from := int64(0)
	if cfg.KeepKey != nil {
		if from, err = v.resume(ctx, store); err != nil {
			return nil, err
		}
	}
	v.report.Size, v.report.Tree = v.snapshot.Size, v.snapshot.Tree.Size
	v.begin()
	if err := v.verifyVouchers(ctx, store, from); err != nil {
		return nil, err
	}
	if err := v.walk(ctx, store, from); err != nil {
		return nil, err
	}
	if err := v.laterErasures(ctx, store); err != nil {
		return nil, err
	}
	if err := v.finishHolds(ctx, store); err != nil {
		return nil, err
	}
	v.finish()
	v.finishFindings()
	v.report.FinishedAt = cfg.Now()
	if cfg.KeepKey != nil {
		err = store.ForgetVerification(ctx)
	}
	return v.report, err
}

// Record keeps the report, so that a check can rest on it.
func Record(ctx context.Context, store *postgres.Store, r *Report) error {
	row := postgres.Verification{StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, Size: r.Size}
	_, _ = rand.Read(row.ID[:])
	for _, p := range r.Problems {
		row.Problems = append(row.Problems, p.String())
	}
	if r.Unnamed > 0 && len(r.Problems) > 0 {
		row.Problems = append(row.Problems, fmt.Sprintf("and %d more", r.Unnamed))
	}
	return store.RecordVerification(ctx, row)
}

// walk verifies all pages from a position on. The next page is read while one
// is verified.
func (v *verifier) walk(ctx context.Context, store *postgres.Store, from int64) error {
	ctx, cancel := context.WithCancel(ctx)
	group, reading := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		_ = group.Wait() // its error is told below, or is that it was cancelled here
	}()
	pages, kept := make(chan *postgres.LedgerPage, 1), v.cfg.Now()
	size, signed := v.snapshot.Size, v.snapshot.Tree.Size
	group.Go(func() error {
		defer close(pages)
		for from := from; from < size; from += v.cfg.Page {
			to := min(from+v.cfg.Page, size)
			page, err := store.LedgerPage(reading, from, to, tlog.StoredHashCount(min(from, signed)), tlog.StoredHashCount(min(to, signed)))
			if err != nil {
				return err
			}
			select {
			case pages <- page:
			case <-reading.Done():
				return reading.Err()
			}
		}
		return nil
	})
	for page := range pages {
		v.examine(page)
		v.page(page)
		if v.cfg.Progress != nil {
			v.cfg.Progress(page.To, size)
		}
		// What is not in the signed tree yet is verified again when it is: what is
		// kept is of the tree alone.
		ended := ctx.Err() != nil
		if v.cfg.KeepKey != nil && page.To <= signed && (ended || v.cfg.Now().Sub(kept) >= keepEvery) {
			kept = v.cfg.Now()
			if err := v.keep(context.WithoutCancel(ctx), store, page.To); err != nil {
				return err
			}
		}
		if ended {
			return ctx.Err()
		}
	}
	return group.Wait()
}

// page verifies one page: each leaf with its row, then that no row is left over.
func (v *verifier) page(p *postgres.LedgerPage) {
	next := 0
	for position := p.From; position < p.To; position++ {
		if next == len(p.Leaves) || p.Leaves[next].Position != position {
			v.problem("leaf", position, "it is missing")
			v.addMissing(p, position)
			v.checkpoint(p, position+1)
			continue
		}
		row := &p.Leaves[next]
		next++
		v.addLeaf(p, row)
		v.leaf(p, row)
		v.checkpoint(p, position+1)
	}
	v.leftOver(p)
}

// leaf verifies a leaf's row and hands it to who knows its kind. Rows are taken
// out of the page, so that what is left over is known.
func (v *verifier) leaf(p *postgres.LedgerPage, row *postgres.LeafRow) {
	leaf, err := evidence.ParseLeaf(row.Data)
	if err != nil {
		v.problem("leaf", row.Position, err.Error())
		return
	}
	if int16(leaf.Kind) != row.Kind {
		v.problem("leaf", row.Position, fmt.Sprintf("its row says %s, it is %s", evidence.LeafKind(row.Kind), leaf.Kind))
	}
	switch leaf.Kind {
	case evidence.LeafBatch:
		v.batchLeaf(p, row.Position, &leaf)
	case evidence.LeafFork:
		v.forkLeaf(p, row.Position, &leaf)
	case evidence.LeafEpoch:
		v.epochLeaf(p, row.Position, &leaf)
	case evidence.LeafCertificate:
		v.certificateLeaf(p, row.Position, &leaf)
	case evidence.LeafErasure:
		v.erasureLeaf(row.Position, &leaf)
		v.recordLeaf(p, row.Position, &leaf)
	case evidence.LeafHold:
		v.holdLeaf(row.Position, &leaf)
		v.recordLeaf(p, row.Position, &leaf)
	case evidence.LeafKey:
		v.keyLeaf(row.Position, &leaf)
		v.recordLeaf(p, row.Position, &leaf)
	default:
		v.recordLeaf(p, row.Position, &leaf)
	}
}

func (v *verifier) leftOver(p *postgres.LedgerPage) {
	for position, row := range p.Batches {
		v.streamProblem("batch", position, row.Stream, uint64(row.Number), "its position's leaf is not of a batch")
	}
	for position, row := range p.Forks {
		v.streamProblem("fork", position, row.Stream, uint64(row.Number), "its position's leaf is not of a fork")
	}
	for position, row := range p.Epochs {
		v.streamProblem("epoch", position, row.Stream, 0, "its position's leaf is not of an epoch")
	}
	for position := range p.Certificates {
		v.problem("certificate", position, "its position's leaf is not of a certificate")
	}
	for position := range p.Deeds {
		v.problem("alert", position, "its position's leaf is not of what was done to it")
	}
	for position, row := range p.Records {
		v.problem(row.Kind.String(), position, fmt.Sprintf("its position's leaf is not of a %s", row.Kind))
	}
}
