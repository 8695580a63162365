package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

const (
	// copyConnections is where two cores are full.
	copyConnections = 2
	// copyEvents is how many rows a transaction has: past the knee where the cost
	// of a row has levelled out.
	copyEvents = 10_000
)

// chunk is the rows of one transaction by table.
type chunk map[string][][]any

// maxCopied is how many rows the yardstick copies at most: its rate is the same for
// more, and all of them are held in memory.
const maxCopied = 200_000

// rows are those that the projection makes of a database's batches, in the order
// of the ledger.
type rows struct {
	chunks []chunk
	n      int
}

// rowsOf reads them from the batches as received.
func rowsOf(ctx context.Context, db *database) (*rows, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("making decompressor: %w", err)
	}
	defer decoder.Close()
	stored, err := db.pool.Query(ctx, `SELECT b.position, a.host_id, b.received_at, b.payload
		FROM batch b JOIN stream s ON s.id = b.stream_id JOIN agent a ON a.id = s.agent_id ORDER BY b.position`)
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	all, current := &rows{}, chunk{}
	var position int64
	var host [16]byte
	var received time.Time
	var payload []byte
	_, err = pgx.ForEachRow(stored, []any{&position, &host, &received, &payload}, func() error {
		events, err := decodeBlock(decoder, payload)
		if err != nil {
			return err
		}
		for ordinal, ev := range events {
			table := telemetry.Of(ev)
			if table == nil || all.n == maxCopied {
				continue
			}
			current[table.Name] = append(current[table.Name], table.Values(telemetry.Placement{
				HostID: host, Position: position, Ordinal: int32(ordinal), ReceivedAt: received}, ev))
			if all.n++; all.n%copyEvents == 0 {
				all.chunks, current = append(all.chunks, current), chunk{}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	if len(current) > 0 {
		all.chunks = append(all.chunks, current)
	}
	return all, nil
}

func decodeBlock(decoder *zstd.Decoder, payload []byte) ([]*telemetryv1.Event, error) {
	raw, err := decoder.DecodeAll(payload, nil)
	if err != nil {
		return nil, fmt.Errorf("decompressing block: %w", err)
	}
	block := new(telemetryv1.Block)
	if err := proto.Unmarshal(raw, block); err != nil {
		return nil, fmt.Errorf("decoding block: %w", err)
	}
	events := make([]*telemetryv1.Event, len(block.GetEvents()))
	for i, encoded := range block.GetEvents() {
		events[i] = new(telemetryv1.Event)
		if err := proto.Unmarshal(encoded, events[i]); err != nil {
			return nil, fmt.Errorf("decoding event: %w", err)
		}
	}
	return events, nil
}

// rawCopy is the yardstick: the same rows by COPY BINARY over connections of its
// own, with nothing else done, encoding included.
func rawCopy(ctx context.Context, db *database, all *rows) (result Ingest, err error) {
	connections := make([]*pgx.Conn, copyConnections)
	for i := range connections {
		conn, err := pgx.Connect(ctx, db.cluster.dsn(db.name))
		if err != nil {
			return result, fmt.Errorf("connecting for COPY: %w", err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what it did is counted below
		connections[i] = conn
	}
	before, err := db.cluster.usage.read(ctx, db)
	if err != nil {
		return result, err
	}
	next := make(chan chunk)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(next)
		for _, c := range all.chunks {
			select {
			case next <- c:
			case <-running.Done():
				return running.Err()
			}
		}
		return nil
	})
	for _, conn := range connections {
		group.Go(func() error {
			for c := range next {
				if err := copyChunk(running, conn, c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return result, err
	}
	after, err := db.cluster.usage.read(ctx, db)
	if err != nil {
		return result, err
	}
	if stored, err := typedRows(ctx, db); err != nil || stored != int64(all.n) {
		return result, fmt.Errorf("copying rows: %d of %d are stored (%w)", stored, all.n, err)
	}
	result = newIngest(all.n, after.since(before))
	result.ClientCPU = after.since(before).process / float64(all.n) * 1e6
	return result, nil
}

func copyChunk(ctx context.Context, conn *pgx.Conn, c chunk) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var buffer []byte
		for _, name := range slices.Sorted(maps.Keys(c)) {
			buffer = appendRows(buffer[:0], c[name])
			columns := strings.Join(telemetry.ByName(name).ColumnNames(), ", ")
			_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(buffer), "COPY "+name+" ("+columns+") FROM STDIN BINARY")
			if err != nil {
				return fmt.Errorf("copying into %s: %w", name, err)
			}
		}
		return nil
	})
}

// appendRows writes a COPY BINARY stream.
func appendRows(b []byte, rows [][]any) []byte {
	b = append(b, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	for _, row := range rows {
		b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
		for _, value := range row {
			b = appendField(b, value)
		}
	}
	return append(b, 0xff, 0xff)
}

// pgEpoch is where Postgres counts microseconds from.
var pgEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func appendField(b []byte, value any) []byte {
	length := func(n int) { b = binary.BigEndian.AppendUint32(b, uint32(n)) }
	switch v := value.(type) {
	case nil:
		return binary.BigEndian.AppendUint32(b, math.MaxUint32)
	case [16]byte:
		length(16)
		return append(b, v[:]...)
	case string:
		length(len(v))
		return append(b, v...)
	case bool:
		length(1)
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case int32:
		length(4)
		return binary.BigEndian.AppendUint32(b, uint32(v))
	case int64:
		length(8)
		return binary.BigEndian.AppendUint64(b, uint64(v))
	case float64:
		length(8)
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	case time.Time:
		length(8)
		return binary.BigEndian.AppendUint64(b, uint64(v.UnixMicro()-pgEpoch))
	case []string:
		return appendTexts(b, v)
	}
	// The registry's kinds are all above; a new one is a fault of this file.
	panic(fmt.Sprintf("bench: no encoding of %T", value))
}

func appendTexts(b []byte, list []string) []byte {
	const textOID = 25
	size := 12
	dimensions := uint32(0)
	if len(list) > 0 {
		size, dimensions = 20, 1
	}
	for _, s := range list {
		size += 4 + len(s)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, textOID)
	if dimensions == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, s := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}
