package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Archive is a blob store's objects. It is safe for concurrent use.
type Archive struct {
	bucket *blob.Bucket

	mu sync.Mutex
	// indexes are those of the objects that were read last, newest last.
	indexes []index
}

type index struct {
	object  string
	end     int64 // of the records
	entries []entry
}

// keptIndexes bounds the indexes in memory: 4 MiB each at most.
const keptIndexes = 8

// New returns the archive in a bucket, which stays the caller's.
func New(bucket *blob.Bucket) *Archive { return &Archive{bucket: bucket} }

// Source reads the batches of a segment that come after a position, in order.
type Source func(ctx context.Context, segment, after int64, limit int) ([]postgres.BatchRow, error)

// writePage is how many batches are read at a time.
const writePage = 256

// prefix is of the names of all objects of a segment. Each attempt to write one
// has a name of its own: an object is never written twice.
func prefix(segment int64) string { return fmt.Sprintf("segments/%08d-", segment) }

// Write writes a segment and reads it back in full. What it returns describes
// the object; nobody knows of it until that is recorded. Objects of attempts that
// were cut short are deleted first.
func (a *Archive) Write(ctx context.Context, segment int64, read Source) (g assay.Segment, err error) {
	if err := a.clean(ctx, segment); err != nil {
		return g, err
	}
	g = assay.Segment{Number: segment, Object: prefix(segment) + strings.ToLower(rand.Text())}
	// A writer whose context ends before it is closed leaves no object behind.
	writing, cancel := context.WithCancel(ctx)
	defer cancel()
	object, err := a.bucket.NewWriter(writing, g.Object, &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return g, unavailable("creating "+g.Object, err)
	}
	w := &writer{out: bufio.NewWriterSize(object, 1<<20), digest: sha256.New(), segment: &g}
	if err := w.write(ctx, read); err != nil {
		cancel()
		return g, errors.Join(err, ignoreCancelled(object.Close()))
	}
	if err := object.Close(); err != nil {
		return g, unavailable("writing "+g.Object, err)
	}
	copy(g.SHA256[:], w.digest.Sum(nil))
	return g, a.Check(ctx, &g)
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) || gcerrors.Code(err) == gcerrors.Canceled {
		return nil
	}
	return err
}

func unavailable(doing string, err error) error {
	kind, msg := assay.Unavailable, "the archive cannot be used now"
	if gcerrors.Code(err) == gcerrors.NotFound {
		kind, msg = assay.NotFound, "the archive has no such object"
	}
	return &assay.Error{Kind: kind, Msg: msg, Err: fmt.Errorf("%s: %w", doing, err)}
}

// clean deletes the segment's objects. It is for a segment that is not recorded.
func (a *Archive) clean(ctx context.Context, segment int64) error {
	list := a.bucket.List(&blob.ListOptions{Prefix: prefix(segment)})
	for {
		object, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = a.bucket.Delete(ctx, object.Key)
		}
		if err != nil {
			return unavailable("deleting unfinished objects", err)
		}
	}
}

// writer writes one object.
type writer struct {
	out     *bufio.Writer
	digest  hash.Hash
	segment *assay.Segment
	index   []byte
}

func (w *writer) put(b []byte) error {
	w.digest.Write(b)
	w.segment.Bytes += int64(len(b))
	if _, err := w.out.Write(b); err != nil {
		return unavailable("writing "+w.segment.Object, err)
	}
	return nil
}

func (w *writer) write(ctx context.Context, read Source) error {
	g := w.segment
	if err := w.put([]byte(magic)); err != nil {
		return err
	}
	after := g.Number*postgres.SegmentSize - 1
	for {
		rows, err := read(ctx, g.Number, after, writePage)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := w.batch(&rows[i]); err != nil {
				return err
			}
			after = rows[i].Position
		}
		if len(rows) < writePage {
			break
		}
	}
	end := footer{index: g.Bytes, records: g.Batches, segment: g.Number}
	if err := w.put(w.index); err != nil {
		return err
	}
	if err := w.put(end.bytes()); err != nil {
		return err
	}
	if err := w.out.Flush(); err != nil {
		return unavailable("writing "+g.Object, err)
	}
	return nil
}

func (w *writer) batch(r *postgres.BatchRow) error {
	g := w.segment
	if r.Payload == nil {
		return assay.Errorf(assay.Internal, "the batch at position %d has no payload to archive", r.Position)
	}
	record := appendRecord(make([]byte, 4, 4+fixedSize+16+len(r.Serial)+len(r.Header)+len(r.HeadSignature)+len(r.Payload)), r)
	if len(record)-4 > maxRecord {
		return assay.Errorf(assay.Internal, "the batch at position %d has %d bytes, at most %d can be archived", r.Position, len(record)-4, maxRecord)
	}
	binary.BigEndian.PutUint32(record, uint32(len(record)-4))
	w.index = appendEntry(w.index, entry{r.Position, g.Bytes})
	// By time, not by position: a clock may have been set back in between.
	if g.Batches == 0 || r.ReceivedAt.Before(g.FirstReceived) {
		g.FirstReceived = r.ReceivedAt
	}
	if r.ReceivedAt.After(g.LastReceived) {
		g.LastReceived = r.ReceivedAt
	}
	g.Batches++
	return w.put(record)
}

// Check reads an object in full and compares it with what is known of it. It is
// Invalid where they differ.
func (a *Archive) Check(ctx context.Context, g *assay.Segment) error {
	reader, err := a.bucket.NewReader(ctx, g.Object, nil)
	if err != nil {
		return unavailable("reading "+g.Object, err)
	}
	defer reader.Close()
	if reader.Size() != g.Bytes {
		return malformed("%s has %d bytes, %d were written", g.Object, reader.Size(), g.Bytes)
	}
	digest := sha256.New()
	c := &checker{in: bufio.NewReaderSize(io.TeeReader(reader, digest), 1<<20), segment: g}
	if err := c.check(); err != nil {
		return err
	}
	// Whatever the reader still holds is beyond the footer; there is nothing.
	if !bytes.Equal(digest.Sum(nil), g.SHA256[:]) {
		return malformed("%s is not what was written: its digest differs", g.Object)
	}
	return nil
}

// checker reads an object from its beginning to its end.
type checker struct {
	in      *bufio.Reader
	at      int64
	segment *assay.Segment
}

func (c *checker) take(n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := io.ReadFull(c.in, b)
	c.at += int64(got)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, malformed("it ends at byte %d", c.at)
		}
		return nil, unavailable("reading "+c.segment.Object, err)
	}
	return b, nil
}

func (c *checker) check() error {
	if b, err := c.take(len(magic)); err != nil {
		return err
	} else if string(b) != magic {
		return malformed("it does not begin like one")
	}
	entries := make([]entry, 0, c.segment.Batches)
	for range c.segment.Batches {
		at := c.at
		length, err := c.take(4)
		if err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(length)
		if n > maxRecord {
			return malformed("a record says it has %d bytes", n)
		}
		record, err := c.take(int(n))
		if err != nil {
			return err
		}
		row, err := parseRecord(record)
		if err != nil {
			return err
		}
		entries = append(entries, entry{row.Position, at})
	}
	end := c.at
	listed, err := c.take(len(entries) * entrySize)
	if err != nil {
		return err
	}
	var want []byte
	for _, e := range entries {
		want = appendEntry(want, e)
	}
	last, err := c.take(footerSize)
	if err != nil {
		return err
	}
	f, err := parseFooter(last, c.segment.Bytes)
	if err != nil {
		return err
	}
	if !bytes.Equal(listed, want) || f.index != end || f.segment != c.segment.Number {
		return malformed("its index is not of its records")
	}
	return nil
}

// Delete deletes an object; one that is not there is deleted.
func (a *Archive) Delete(ctx context.Context, object string) error {
	if err := a.bucket.Delete(ctx, object); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return unavailable("deleting "+object, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.indexes = slices.DeleteFunc(a.indexes, func(i index) bool { return i.object == object })
	return nil
}

// Payloads implements postgres.Archive.
func (a *Archive) Payloads(ctx context.Context, object string, positions []int64) ([][]byte, error) {
	idx, err := a.index(ctx, object)
	if err != nil {
		return nil, err
	}
	payloads := make([][]byte, len(positions))
	for i, position := range positions {
		at, ok := slices.BinarySearchFunc(idx.entries, position, func(e entry, want int64) int { return int(min(max(e.position-want, -1), 1)) })
		if !ok {
			return nil, malformed("%s has no batch at position %d", object, position)
		}
		end := idx.end
		if at+1 < len(idx.entries) {
			end = idx.entries[at+1].offset
		}
		if payloads[i], err = a.payload(ctx, object, idx.entries[at], end); err != nil {
			return nil, err
		}
	}
	return payloads, nil
}

func (a *Archive) payload(ctx context.Context, object string, e entry, end int64) ([]byte, error) {
	if end-e.offset < 4 || end-e.offset > maxRecord+4 {
		return nil, malformed("%s has %d bytes for the batch at position %d", object, end-e.offset, e.position)
	}
	b, err := a.read(ctx, object, e.offset, end-e.offset)
	if err != nil {
		return nil, err
	}
	row, err := parseRecord(b[4:])
	if err != nil {
		return nil, err
	}
	if row.Position != e.position || int(binary.BigEndian.Uint32(b)) != len(b)-4 {
		return nil, malformed("%s has another batch at position %d", object, e.position)
	}
	return row.Payload, nil
}

func (a *Archive) read(ctx context.Context, object string, offset, length int64) ([]byte, error) {
	reader, err := a.bucket.NewRangeReader(ctx, object, offset, length, nil)
	if err != nil {
		return nil, unavailable("reading "+object, err)
	}
	defer reader.Close()
	b := make([]byte, length)
	if _, err := io.ReadFull(reader, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, malformed("%s is cut short", object)
		}
		return nil, unavailable("reading "+object, err)
	}
	return b, nil
}

// index returns an object's index, from memory where it was read lately.
func (a *Archive) index(ctx context.Context, object string) (index, error) {
	a.mu.Lock()
	at := slices.IndexFunc(a.indexes, func(i index) bool { return i.object == object })
	if at >= 0 {
		found := a.indexes[at]
		a.indexes = append(slices.Delete(a.indexes, at, at+1), found)
		a.mu.Unlock()
		return found, nil
	}
	a.mu.Unlock()
	attributes, err := a.bucket.Attributes(ctx, object)
	if err != nil {
		return index{}, unavailable("reading "+object, err)
	}
	if attributes.Size < int64(footerSize) {
		return index{}, malformed("%s has %d bytes", object, attributes.Size)
	}
	last, err := a.read(ctx, object, attributes.Size-int64(footerSize), int64(footerSize))
	if err != nil {
		return index{}, err
	}
	f, err := parseFooter(last, attributes.Size)
	if err != nil {
		return index{}, err
	}
	listed, err := a.read(ctx, object, f.index, f.records*entrySize)
	if err != nil {
		return index{}, err
	}
	entries, err := parseIndex(listed, f)
	if err != nil {
		return index{}, err
	}
	found := index{object, f.index, entries}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.indexes) >= keptIndexes {
		a.indexes = slices.Delete(a.indexes, 0, 1)
	}
	a.indexes = append(a.indexes, found)
	return found, nil
}
