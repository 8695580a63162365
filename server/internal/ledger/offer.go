package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// offerFor is how long agents are offered the same checkpoint to cosign, so that
// thousands that come within it cost one proof for each size they come with.
const offerFor = time.Minute

// maxProofs bounds the consistency proofs in memory, of about 1 KiB each.
const maxProofs = 4096

// offers are what agents are shown. The zero value has none.
type offers struct {
	mu      sync.Mutex
	current postgres.Checkpoint        // under mu
	proofs  map[span]([]evidence.Hash) // under mu
}

// span names a consistency proof. The root is part of it: should the ledger ever
// be another, no proof of the old one is taken for its.
type span struct {
	old, size int64
	root      evidence.Hash
}

// Offered returns the checkpoint that agents are to cosign now, which holds what
// the caller knows already; or NotFound while there is none.
func (p *Prover) Offered(ctx context.Context, known int64) (postgres.Checkpoint, error) {
	latest, err := p.Latest(ctx)
	if err != nil {
		return latest, err
	}
	p.offers.mu.Lock()
	defer p.offers.mu.Unlock()
	c := &p.offers.current
	if c.Size < known || c.Size > latest.Size || c.Size == 0 || latest.SignedAt.Sub(c.SignedAt) >= offerFor {
		*c = latest
	}
	return *c, nil
}

// ConsistencyOf is Consistency to a checkpoint, remembered.
func (p *Prover) ConsistencyOf(ctx context.Context, oldSize int64, c postgres.Checkpoint) ([]evidence.Hash, error) {
	key := span{oldSize, c.Size, c.Root}
	p.offers.mu.Lock()
	proof, ok := p.offers.proofs[key]
	p.offers.mu.Unlock()
	if ok {
		return proof, nil
	}
	proof, err := p.Consistency(ctx, oldSize, c.Size)
	if err != nil {
		return nil, err
	}
	p.offers.mu.Lock()
	defer p.offers.mu.Unlock()
	if p.offers.proofs == nil || len(p.offers.proofs) >= maxProofs {
		p.offers.proofs = map[span][]evidence.Hash{}
	}
	p.offers.proofs[key] = proof
	return proof, nil
}

// RootOf computes the root of the first size leaves, from the stored hashes.
func (p *Prover) RootOf(ctx context.Context, size int64) (evidence.Hash, error) {
	return rootOf(size, p.reader(ctx))
}
