package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/assay-audit/assay/proto/evidence"
)

// A frame on disk: magic, body length, CRC-32C of the body, body. The body is
// the canonical header, then signature, payload and progress entries, each with
// its length. The magic lets a scan find the next frame behind a broken one.
const (
	frameMagic  = 0xA55A7F01
	framePrefix = 4 + 4 + 4

	// maxFrame bounds a frame's body in bytes, and so what a broken length can
	// make a reader allocate.
	maxFrame     = 16 << 20
	maxSignature = 1 << 10
	maxKey       = 1 << 10
	maxPosition  = 1 << 10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// errBadFrame: the bytes at this offset are no frame.
	errBadFrame = errors.New("no valid frame")
	// errTooLarge: the draft cannot be stored at all.
	errTooLarge = errors.New("batch exceeds the frame limit")
)

// Batch is a stored batch.
type Batch struct {
	Header        evidence.Header
	Canonical     []byte // the header's canonical bytes
	Hash          evidence.Hash
	HeadSignature []byte // nil where the batch closes nothing
	Payload       []byte

	progress []entry
}

// Size is what the batch costs on the wire, in bytes.
func (b *Batch) Size() int { return len(b.Canonical) + len(b.HeadSignature) + len(b.Payload) }

type entry struct {
	key      string
	position []byte
}

// sortedEntries makes a frame's bytes a function of its content.
func sortedEntries(progress map[string][]byte) []entry {
	entries := make([]entry, 0, len(progress))
	for _, key := range slices.Sorted(maps.Keys(progress)) {
		entries = append(entries, entry{key: key, position: progress[key]})
	}
	return entries
}

// appendFrame appends one frame to b.
func appendFrame(b, canonical, signature, payload []byte, progress []entry) ([]byte, error) {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, frameMagic)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, canonical...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(signature)))
	b = append(b, signature...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(progress)))
	for _, e := range progress {
		if len(e.key) > maxKey || len(e.position) > maxPosition {
			return b[:start], errTooLarge
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.key)))
		b = append(b, e.key...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.position)))
		b = append(b, e.position...)
	}
	body := b[start+framePrefix:]
	if len(body) > maxFrame || len(signature) > maxSignature {
		return b[:start], errTooLarge
	}
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(body)))
	binary.BigEndian.PutUint32(b[start+8:], crc32.Checksum(body, castagnoli))
	return b, nil
}

// readFrame reads the frame at offset of a file that is valid up to end. It
// returns the offset behind it. A frame that is short, broken or not one at all
// is errBadFrame; other errors are the disk's.
func readFrame(f io.ReaderAt, offset, end int64) (Batch, int64, error) {
	var prefix [framePrefix]byte
	if end-offset < framePrefix {
		return Batch{}, 0, errBadFrame
	}
	if _, err := f.ReadAt(prefix[:], offset); err != nil {
		return Batch{}, 0, shortIsBad(err)
	}
	length := int64(binary.BigEndian.Uint32(prefix[4:]))
	if binary.BigEndian.Uint32(prefix[:]) != frameMagic || length > maxFrame || length > end-offset-framePrefix {
		return Batch{}, 0, errBadFrame
	}
	body := make([]byte, length)
	if _, err := f.ReadAt(body, offset+framePrefix); err != nil {
		return Batch{}, 0, shortIsBad(err)
	}
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(prefix[8:]) {
		return Batch{}, 0, errBadFrame
	}
	batch, ok := parseBody(body)
	if !ok {
		return Batch{}, 0, errBadFrame
	}
	return batch, offset + framePrefix + length, nil
}

// shortIsBad turns a file that ends early into a bad frame.
func shortIsBad(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errBadFrame
	}
	return err
}

func parseBody(body []byte) (Batch, bool) {
	r := take{b: body}
	batch := Batch{Canonical: r.bytes(evidence.HeaderSize)}
	if signature := r.bytes(int(r.u16())); len(signature) > 0 {
		batch.HeadSignature = signature
	}
	batch.Payload = r.bytes(int(r.u32()))
	count := r.u32()
	if int64(count)*4 > int64(len(r.b)) {
		return Batch{}, false
	}
	for range count {
		key := r.bytes(int(r.u16()))
		batch.progress = append(batch.progress, entry{key: string(key), position: r.bytes(int(r.u16()))})
	}
	if r.short || len(r.b) > 0 {
		return Batch{}, false
	}
	header, err := evidence.ParseHeader(batch.Canonical)
	if err != nil {
		return Batch{}, false
	}
	batch.Header, batch.Hash = header, evidence.HashHeader(batch.Canonical)
	return batch, true
}

// take cuts parts off the front of b; the first that is missing sets short.
type take struct {
	b     []byte
	short bool
}

func (t *take) bytes(n int) []byte {
	if n < 0 || n > len(t.b) {
		t.short, t.b = true, nil
		return nil
	}
	part := t.b[:n:n]
	t.b = t.b[n:]
	return part
}

func (t *take) u16() uint16 {
	if b := t.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (t *take) u32() uint32 {
	if b := t.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (t *take) u64() uint64 {
	if b := t.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
