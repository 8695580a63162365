package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// buckets are a store in memory, in a folder, and behind a server that speaks S3.
func buckets(t *testing.T) map[string]*blob.Bucket {
	t.Helper()
	// The client of S3 takes its credentials from the environment alone.
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	backend := s3mem.New()
	if err := backend.CreateBucket("assay"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	all := map[string]*blob.Bucket{"memory": memblob.OpenBucket(nil)}
	for name, address := range map[string]string{
		"folder": "file://" + filepath.Join(t.TempDir(), "archive"),
		"s3":     "s3://assay?region=us-east-1&prefix=evidence/&use_path_style=true&disable_https=true&endpoint=" + url.QueryEscape(server.URL),
	} {
		bucket, err := OpenBucket(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = bucket
	}
	for _, bucket := range all {
		t.Cleanup(func() {
			if err := bucket.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return all
}

const segment = 3

// batches are some of a segment, with the holes that other leaves leave.
func batches(n int) []postgres.BatchRow {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	rows := make([]postgres.BatchRow, n)
	position := int64(segment * postgres.SegmentSize)
	for i := range rows {
		position += int64(1 + r.IntN(3))
		rows[i] = postgres.BatchRow{
			Position: position, Stream: assay.StreamID(text(16)), Lane: int16(r.IntN(256)), Epoch: int32(1 + i%3), Number: int64(i),
			Serial: text(16), Header: text(220), Payload: text(1 + r.IntN(3000)),
			ReceivedAt: time.Date(2026, 3, 1, 0, 0, i, 0, time.UTC),
		}
		if i%5 == 0 {
			rows[i].HeadSignature = text(71)
		}
	}
	return rows
}

func source(rows []postgres.BatchRow) Source {
	return func(_ context.Context, _, after int64, limit int) ([]postgres.BatchRow, error) {
		var page []postgres.BatchRow
		for _, r := range rows {
			if r.Position > after && len(page) < limit {
				page = append(page, r)
			}
		}
		return page, nil
	}
}

func names(t *testing.T, bucket *blob.Bucket) []string {
	t.Helper()
	var all []string
	list := bucket.List(nil)
	for {
		object, err := list.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object.Key)
	}
}

// TestWhatWasWrittenIsRead writes a segment and reads every payload out of it
// again, in each kind of store.
func TestWhatWasWrittenIsRead(t *testing.T) {
	rows := batches(700)
	for name, bucket := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			a := New(bucket)
			g, err := a.Write(t.Context(), segment, source(rows))
			if err != nil {
				t.Fatal(err)
			}
			if g.Batches != 700 || !g.FirstReceived.Equal(rows[0].ReceivedAt) || !g.LastReceived.Equal(rows[699].ReceivedAt) {
				t.Errorf("it is described as %+v", g)
			}
			positions := make([]int64, len(rows))
			for i := range rows {
				positions[len(rows)-1-i] = rows[i].Position
			}
			got, err := New(bucket).Payloads(t.Context(), g.Object, positions)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				if !bytes.Equal(got[len(rows)-1-i], rows[i].Payload) {
					t.Errorf("the payload at position %d is another", rows[i].Position)
				}
			}
			if _, err := a.Payloads(t.Context(), g.Object, []int64{rows[0].Position - 1}); assay.KindOf(err) != assay.Invalid {
				t.Errorf("a position without a batch: %v", err)
			}
			// Written again, as after a crash before it was recorded: the first goes.
			again, err := a.Write(t.Context(), segment, source(rows))
			if err != nil {
				t.Fatal(err)
			}
			if left := names(t, bucket); len(left) != 1 || left[0] != again.Object || again.SHA256 != g.SHA256 {
				t.Errorf("after it was written again the store holds %v", left)
			}
			if err := a.Delete(t.Context(), again.Object); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Payloads(t.Context(), again.Object, positions[:1]); assay.KindOf(err) != assay.NotFound {
				t.Errorf("reading what was deleted: %v", err)
			}
			if err := a.Delete(t.Context(), again.Object); err != nil {
				t.Errorf("deleting again: %v", err)
			}
		})
	}
}

// TestFailedWriteLeavesNothing: a source that fails in the middle.
func TestFailedWriteLeavesNothing(t *testing.T) {
	rows := batches(600)
	for name, bucket := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			broken := errors.New("broken")
			_, err := New(bucket).Write(t.Context(), segment, func(ctx context.Context, n, after int64, limit int) ([]postgres.BatchRow, error) {
				if after > rows[300].Position {
					return nil, broken
				}
				return source(rows)(ctx, n, after, limit)
			})
			if !errors.Is(err, broken) {
				t.Errorf("the error is %v", err)
			}
			if left := names(t, bucket); len(left) != 0 {
				t.Errorf("the store holds %v", left)
			}
		})
	}
}

// TestEveryFlippedBitIsFound alters an object at every byte and cuts it at every
// length: the check refuses each, and reading a payload never gives another's.
func TestEveryFlippedBitIsFound(t *testing.T) {
	t.Parallel()
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	rows := batches(3)
	for i := range rows {
		rows[i].Payload = rows[i].Payload[:20]
	}
	g, err := New(bucket).Write(t.Context(), segment, source(rows))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := bucket.ReadAll(t.Context(), g.Object)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, altered []byte) {
		if err := bucket.WriteAll(t.Context(), g.Object, altered, nil); err != nil {
			t.Fatal(err)
		}
		a := New(bucket)
		if err := a.Check(t.Context(), &g); assay.KindOf(err) != assay.Invalid {
			t.Errorf("%s: the check says %v", what, err)
		}
		for _, r := range rows {
			got, err := a.Payloads(t.Context(), g.Object, []int64{r.Position})
			if err == nil && len(got[0]) != len(r.Payload) {
				t.Errorf("%s: the payload at position %d has %d bytes", what, r.Position, len(got[0]))
			}
		}
	}
	for i := range whole {
		altered := bytes.Clone(whole)
		altered[i] ^= 0x40
		try(fmt.Sprintf("byte %d flipped", i), altered)
		try(fmt.Sprintf("cut at %d", i), whole[:i])
	}
	try("a byte added", append(bytes.Clone(whole), 0))
}

func TestAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "/var/lib", "http://x", "file://host/x", "file:x", "file:///a/../b", "s3://"} {
		bucket, err := OpenBucket(t.Context(), address)
		if err == nil {
			t.Errorf("%q is taken for a store", address)
			_ = bucket.Close()
		}
	}
}

func FuzzParse(f *testing.F) {
	rows := batches(1)
	record := appendRecord(nil, &rows[0])
	f.Add(record)
	f.Add(footer{index: 16, records: 0, segment: 1}.bytes())
	f.Add(appendEntry(nil, entry{1, 16}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRecord(b); err == nil && !bytes.Equal(appendRecord(nil, &r), b) {
			t.Error("a record is parsed into another")
		}
		f, err := parseFooter(b, int64(len(b)))
		if err == nil && !bytes.Equal(f.bytes(), b) {
			t.Error("a footer is parsed into another")
		}
		_, _ = parseIndex(b, footer{index: 1 << 40})
	})
}
