package telemetry

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// split compares SplitBlock with protobuf's reader.
func split(t testing.TB, raw []byte) {
	t.Helper()
	block := new(telemetryv1.Block)
	wantErr := proto.Unmarshal(raw, block)
	b, err := SplitBlock(raw)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("SplitBlock says %v, protobuf %v: %x", err, wantErr, raw)
	}
	if err != nil {
		return
	}
	same := func(text string, event []byte) bool { return text == string(event) }
	if !bytes.Equal(b.Seed, block.GetSeed()) || !slices.EqualFunc(b.Events, block.GetEvents(), bytes.Equal) || !slices.EqualFunc(b.Texts, block.GetEvents(), same) {
		t.Fatalf("%+v of %v", b, block)
	}
}

func TestSplitBlock(t *testing.T) {
	t.Parallel()
	raw, err := proto.Marshal(&telemetryv1.Block{Seed: make([]byte, 32), Events: [][]byte{{1, 2}, {}, bytes.Repeat([]byte{3}, 300)}})
	if err != nil {
		t.Fatal(err)
	}
	split(t, raw)
	for n := range raw {
		split(t, raw[:n])
	}
	split(t, append(bytes.Clone(raw), raw...))
	split(t, append(bytes.Clone(raw), 0x18, 0x01)) // an unknown field
	split(t, append([]byte{0x08, 0x01}, raw...))   // the seed as a number
}

func FuzzSplitBlock(f *testing.F) {
	f.Add([]byte("\x0a\x02ab\x12\x01c\x12\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) { split(t, raw) })
}
