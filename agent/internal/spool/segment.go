package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/assay-audit/assay/proto/evidence"
)

// A segment file begins with a header that says where its frames stand in
// their chain, so that the chain survives the loss of the state file and of
// other segments.
const (
	segmentMagic   = "ASSAYSPL"
	segmentVersion = 1
	segmentHeader  = 8 + 2 + 4 + 1 + 1 + 16 + 4 + 8 + 32 + 8 + 4
	segmentSuffix  = ".seg"
)

var errBadSegment = errors.New("no valid segment header")

// chainPoint is a place in a chain: the batch that the next one follows.
type chainPoint struct {
	Number   uint64        `json:"number"`
	Hash     evidence.Hash `json:"-"`
	Sequence uint64        `json:"next_sequence"` // of the next event
}

// segment is one file. The active one is the last and the only one written to.
type segment struct {
	generation uint32
	base       chainPoint // before the first frame
	last       chainPoint // after the last valid frame; base where there is none
	size       int64      // valid bytes
	// committedAt is the server's commit time of the last frame, ticks; 0 unknown.
	committedAt int64
	// broken is set where frames are missing between base and last.
	broken bool
}

func (s *segment) name() string {
	return fmt.Sprintf("%08x-%016x%s", s.generation, s.base.Number+1, segmentSuffix)
}

// parseName reads a segment's file name; other files are not ours to touch.
func parseName(name string) (generation uint32, first uint64, ok bool) {
	if len(name) != 8+1+16+len(segmentSuffix) {
		return 0, 0, false
	}
	var g uint32
	var n uint64
	if _, err := fmt.Sscanf(name, "%08x-%016x"+segmentSuffix, &g, &n); err != nil || n == 0 {
		return 0, 0, false
	}
	return g, n, fmt.Sprintf("%08x-%016x%s", g, n, segmentSuffix) == name
}

func (g *generation) segmentHeader(kind evidence.StreamKind, base chainPoint) []byte {
	b := make([]byte, 0, segmentHeader)
	b = append(b, segmentMagic...)
	b = binary.BigEndian.AppendUint16(b, segmentVersion)
	b = binary.BigEndian.AppendUint32(b, g.ID)
	granted := byte(0)
	if g.Granted {
		granted = 1
	}
	b = append(b, byte(kind), granted)
	b = append(b, g.stream[:]...)
	b = binary.BigEndian.AppendUint32(b, g.Epoch)
	b = binary.BigEndian.AppendUint64(b, base.Number)
	b = append(b, base.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, base.Sequence)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// readSegmentHeader returns the generation as the file knows it and the point
// its frames follow.
func readSegmentHeader(f io.ReaderAt, kind evidence.StreamKind) (generation, chainPoint, error) {
	b := make([]byte, segmentHeader)
	if _, err := f.ReadAt(b, 0); err != nil {
		if errors.Is(shortIsBad(err), errBadFrame) {
			return generation{}, chainPoint{}, errBadSegment
		}
		return generation{}, chainPoint{}, fmt.Errorf("reading segment header: %w", err)
	}
	if crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) || string(b[:8]) != segmentMagic {
		return generation{}, chainPoint{}, errBadSegment
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != segmentVersion {
		return generation{}, chainPoint{}, fmt.Errorf("spool segment has version %d, this program knows %d", v, segmentVersion)
	}
	r := take{b: b[10:]}
	g := generation{ID: r.u32()}
	flags := r.bytes(2)
	if evidence.StreamKind(flags[0]) != kind {
		return generation{}, chainPoint{}, fmt.Errorf("spool segment belongs to the %s stream, not to %s",
			evidence.StreamKind(flags[0]), kind)
	}
	g.Granted = flags[1] == 1
	copy(g.stream[:], r.bytes(len(g.stream)))
	g.Epoch = r.u32()
	base := chainPoint{Number: r.u64()}
	copy(base.Hash[:], r.bytes(len(base.Hash)))
	base.Sequence = r.u64()
	g.setTexts()
	return g, base, nil
}

// hole is a run of frames that is missing: numbers first to last.
type hole struct {
	first, last       uint64
	firstSeq, lastSeq uint64
	fromTime, toTime  int64 // observed times of the neighbours, 0 unknown
}

// scan reads the frames of a segment from its start to end and calls visit for
// each valid one, in order. Behind a broken frame it looks for the next valid
// frame of the same chain and reports the hole between. It returns the last
// point and the offset behind the last valid frame: what follows is torn.
func scan(f io.ReaderAt, g *generation, base chainPoint, end int64, visit func(Batch, int64) error) (chainPoint, int64, []hole, error) {
	var holes []hole
	at, point := int64(segmentHeader), base
	seen := int64(0) // observed time of the last valid frame
	for valid := at; ; {
		batch, next, err := readFrame(f, at, end)
		if err == nil && !batch.follows(g, point) {
			err = errBadFrame
		}
		if errors.Is(err, errBadFrame) {
			batch, at, next, err = resync(f, g, point, at+1, end)
			if err == nil {
				holes = append(holes, hole{
					first: point.Number + 1, last: batch.Header.Number - 1,
					firstSeq: point.Sequence, lastSeq: batch.Header.FirstSequence - 1,
					fromTime: seen, toTime: batch.Header.ObservedFrom,
				})
			}
		}
		if errors.Is(err, errBadFrame) {
			return point, valid, holes, nil
		}
		if err != nil {
			return point, valid, holes, fmt.Errorf("reading segment: %w", err)
		}
		if err := visit(batch, at); err != nil {
			return point, valid, holes, err
		}
		point, seen = batch.point(), batch.Header.ObservedTo
		at, valid = next, next
	}
}

// follows reports whether b is the next batch of the chain.
func (b *Batch) follows(g *generation, p chainPoint) bool {
	return b.of(g) && b.Header.Number == p.Number+1 && b.Header.Previous == p.Hash
}

func (b *Batch) of(g *generation) bool {
	return b.Header.Stream == g.stream && b.Header.Epoch == g.Epoch
}

func (b *Batch) point() chainPoint {
	return chainPoint{
		Number: b.Header.Number, Hash: b.Hash,
		Sequence: b.Header.FirstSequence + uint64(b.Header.EventCount),
	}
}

// resync finds the next frame of the chain behind a broken one.
func resync(f io.ReaderAt, g *generation, p chainPoint, from, end int64) (Batch, int64, int64, error) {
	const window = 1 << 16
	buf := make([]byte, window+3)
	for from+framePrefix <= end {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), end-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return Batch{}, 0, 0, err
		}
		for i := 0; i+4 <= n; i++ {
			if binary.BigEndian.Uint32(buf[i:]) != frameMagic {
				continue
			}
			batch, next, err := readFrame(f, from+int64(i), end)
			if errors.Is(err, errBadFrame) {
				continue
			}
			if err != nil {
				return Batch{}, 0, 0, err
			}
			if batch.of(g) && batch.Header.Number > p.Number+1 {
				return batch, from + int64(i), next, nil
			}
		}
		if n < 4 {
			break
		}
		from += int64(n - 3)
	}
	return Batch{}, 0, 0, errBadFrame
}
