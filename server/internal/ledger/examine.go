package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// maxRaw bounds a decompressed block in bytes: no more is ever taken in.
const maxRaw = 4 << 20

// examination is what can be said of a batch's row alone, whatever else the
// ledger holds. It is nearly all of the work, and rows do not wait for each other.
type examination struct {
	hash      evidence.Hash // of the header's bytes
	header    evidence.Header
	malformed error // the header cannot be read
	// named: the payload is the one that the header names. defect says what its
	// content is not that the header says.
	named  bool
	defect error
}

// examiner examines batches, one at a time.
type examiner struct {
	zstd *zstd.Decoder
	raw  []byte // of the block before, to be written over
}

func newExaminer() (*examiner, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("creating decoder: %w", err)
	}
	return &examiner{zstd: decoder}, nil
}

func (e *examiner) close() { e.zstd.Close() }

func (e *examiner) examine(row *postgres.BatchRow) (x examination) {
	x.hash = evidence.HashHeader(row.Header)
	if x.header, x.malformed = evidence.ParseHeader(row.Header); x.malformed != nil || row.Absence != postgres.Present {
		return x
	}
	if x.named = sha256.Sum256(row.Payload) == x.header.PayloadSHA256; x.named {
		x.defect = e.content(&x.header, row.Payload)
	}
	return x
}

// content opens a payload and re-derives the commitment root from its events.
func (e *examiner) content(header *evidence.Header, payload []byte) error {
	if header.RawSize > maxRaw || uint64(header.PayloadSize) != uint64(len(payload)) {
		return fmt.Errorf("sizes %d and %d are not the header's", len(payload), header.RawSize)
	}
	if cap(e.raw) < int(header.RawSize) {
		e.raw = make([]byte, 0, header.RawSize)
	}
	raw, err := e.zstd.DecodeAll(payload, e.raw[:0:header.RawSize])
	if err != nil {
		return errors.New("the payload cannot be decompressed")
	}
	if len(raw) != int(header.RawSize) {
		return fmt.Errorf("the block has %d bytes, the header says %d", len(raw), header.RawSize)
	}
	block, err := telemetry.SplitBlock(raw)
	if err != nil {
		return errors.New("the block cannot be decoded")
	}
	if len(block.Events) != int(header.EventCount) {
		return fmt.Errorf("the block has %d events, the header says %d", len(block.Events), header.EventCount)
	}
	if evidence.CommitmentRoot(evidence.Commitments(block.Seed, block.Events)) != header.Commitments {
		return errors.New("the events are not those that the header commits to")
	}
	return nil
}

// examine examines all batches and forks of a page, over all processors.
func (v *verifier) examine(p *postgres.LedgerPage) {
	rows := make([]*postgres.BatchRow, 0, len(p.Batches)+len(p.Forks))
	for _, list := range []map[int64]postgres.BatchRow{p.Batches, p.Forks} {
		for _, row := range list {
			rows = append(rows, &row)
		}
	}
	results := make([]examination, len(rows))
	var wait sync.WaitGroup
	for n, e := range v.examiners {
		wait.Go(func() {
			for i := n; i < len(rows); i += len(v.examiners) {
				results[i] = e.examine(rows[i])
			}
		})
	}
	wait.Wait()
	v.examined = make(map[int64]examination, len(rows))
	for i, row := range rows {
		v.examined[row.Position] = results[i]
	}
}
