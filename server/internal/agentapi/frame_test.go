package agentapi_test

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/assay-audit/assay/server/internal/agentapi"
)

func compressed(t testing.TB, raw []byte, options ...zstd.EOption) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(raw, nil)
}

func streamed(t *testing.T, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := encoder.Write(raw[:len(raw)/2]); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := encoder.Write(raw[len(raw)/2:]); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCheckFrame(t *testing.T) {
	t.Parallel()
	const maxRaw = 4 << 20
	raw := bytes.Repeat([]byte("an event like any other, "), 20_000)
	good := compressed(t, raw)
	for name, c := range map[string]struct {
		payload []byte
		size    int
		ok      bool
	}{
		"good":            {good, len(raw), true},
		"best level":      {compressed(t, raw, zstd.WithEncoderLevel(zstd.SpeedBestCompression)), len(raw), true},
		"one segment":     {compressed(t, raw[:100], zstd.WithSingleSegment(true)), 100, true},
		"no checksum":     {compressed(t, raw, zstd.WithEncoderCRC(false)), len(raw), true},
		"small":           {compressed(t, raw[:100]), 100, true},
		"other size":      {good, len(raw) + 1, false},
		"two frames":      {append(good[:len(good):len(good)], good...), len(raw), false},
		"a byte more":     {append(good[:len(good):len(good)], 0), len(raw), false},
		"cut":             {good[:len(good)-1], len(raw), false},
		"no size":         {streamed(t, raw), len(raw), false},
		"too large":       {compressed(t, make([]byte, maxRaw+1)), maxRaw + 1, false},
		"to be skipped":   {[]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 0, false},
		"empty":           {nil, 0, false},
		"not compression": {[]byte("hello, this is not zstd"), 23, false},
	} {
		if err := agentapi.CheckFrame(c.payload, uint32(c.size), maxRaw); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What passes decompresses to no more than it stated.
func FuzzCheckFrame(f *testing.F) {
	const maxRaw = 64 << 10
	f.Add(compressed(f, []byte("some events")), uint32(11))
	f.Add(compressed(f, make([]byte, 10_000)), uint32(10_000))
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte, size uint32) {
		if agentapi.CheckFrame(payload, size, maxRaw) != nil || size < 256 {
			return
		}
		if raw, err := decoder.DecodeAll(payload, nil); err == nil && len(raw) != int(size) {
			t.Errorf("stated %d bytes, holds %d", size, len(raw))
		}
	})
}
