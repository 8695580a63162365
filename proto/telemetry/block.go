package telemetry

import (
	"fmt"
	"unsafe"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// Field numbers of Block (event.proto).
const (
	blockSeed   = 1
	blockEvents = 2
)

// BlockView is a Block taken apart. Events and Texts are the same events; both are
// parts of the bytes that were read, and good until those are written over.
type BlockView struct {
	Seed   []byte
	Events [][]byte
	Texts  []string
}

// SplitBlock takes a serialised Block apart. It fails where proto.Unmarshal does.
func SplitBlock(raw []byte) (BlockView, error) {
	// A copy would cost more than all the reading. Who writes over raw has no use for
	// the block any more.
	w := wire{rest: unsafe.String(unsafe.SliceData(raw), len(raw))}
	n := 0
	for count := w; count.next(); n++ {
	}
	b := BlockView{Events: make([][]byte, 0, n), Texts: make([]string, 0, n)}
	plain := true
	for plain && w.next() {
		// The reader works on strings: what it has read is cut out of raw too.
		end := len(raw) - len(w.rest)
		part := raw[end-len(w.bytes) : end : end]
		switch {
		case w.kind != wireBytes:
			plain = false
		case w.field == blockSeed:
			b.Seed = part
		case w.field == blockEvents:
			b.Events, b.Texts = append(b.Events, part), append(b.Texts, w.bytes)
		default:
			plain = false
		}
	}
	if plain && !w.failed {
		return b, nil
	}
	block := new(telemetryv1.Block)
	if err := proto.Unmarshal(raw, block); err != nil {
		return BlockView{}, fmt.Errorf("decoding block: %w", err)
	}
	b = BlockView{Seed: block.GetSeed(), Events: block.GetEvents()}
	for _, event := range b.Events {
		b.Texts = append(b.Texts, string(event))
	}
	return b, nil
}
