package kerneldump

import (
	"encoding/binary"
	"fmt"

	"github.com/assay-audit/assay/agent/internal/kernel"
)

// Decode prints what a captured buffer holds: answers to reads, one behind the
// other, or bare records.
func Decode(b []byte, p *Printer) error {
	whole := len(b)
	for len(b) > 0 {
		if !kernel.IsBatch(b) {
			r, n, err := kernel.DecodeRecord(b)
			if err != nil {
				return fmt.Errorf("at byte %d: %w", whole-len(b), err)
			}
			if err := p.Print(&r); err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		size := len(b)
		if len(b) >= 12 {
			size = min(size, max(int(binary.LittleEndian.Uint32(b[8:])), 1))
		}
		batch, err := kernel.DecodeBatch(b[:size])
		for i := range batch.Records {
			if err := p.Print(&batch.Records[i]); err != nil {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("in the answer at byte %d: %w", whole-len(b), err)
		}
		b = b[size:]
	}
	return nil
}
