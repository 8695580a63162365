package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// recordID names a record of a file that was imported by a stream, for ever.
type recordID struct {
	stream         evidence.StreamID
	file           [sha256.Size]byte
	chunk, ordinal uint32
}

// received is what the batches of one stream hold, read as they were received.
type received struct {
	batches int64
	events  int64
	records map[recordID]eventKey
	count   map[eventKey]int64
	reports map[string]int64 // the agent's own events by action
	// order is what each stream has: a record by file, chunk and ordinal, an event of
	// the agent's own by its action.
	order map[evidence.StreamID][]string
	gaps  []*telemetryv1.Gap
}

// readStream decodes all batches of all streams of that kind and holds them to
// what a chain is: numbers and sequences without a hole, each header naming the
// one before, positions in the same order, records of a file in the order of the
// file, and none of them twice in one stream.
func (w *world) readStream(t *testing.T, kind evidence.StreamKind) *received {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	r := &received{records: map[recordID]eventKey{}, count: map[eventKey]int64{}, reports: map[string]int64{}, order: map[evidence.StreamID][]string{}}
	chain := &chain{t: t}
	keys := w.keyring(t)
	rows, err := w.pool.Query(t.Context(), `SELECT b.position, a.host_id, b.header, b.payload FROM batch b
		JOIN stream s ON s.id = b.stream_id JOIN agent a ON a.id = s.agent_id WHERE s.kind = $1 ORDER BY b.stream_id, b.epoch, b.number`, int16(kind))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var position int64
		var host [16]byte
		var canonical, sealed []byte
		if err := rows.Scan(&position, &host, &canonical, &sealed); err != nil {
			t.Fatal(err)
		}
		header, err := evidence.ParseHeader(canonical)
		if err != nil {
			t.Fatalf("batch at %d: %v", position, err)
		}
		raw, err := decoder.DecodeAll(keys.open(host, sealed), nil)
		if err != nil {
			t.Fatalf("batch at %d: %v", position, err)
		}
		block := new(telemetryv1.Block)
		if err := proto.Unmarshal(raw, block); err != nil {
			t.Fatalf("batch at %d: %v", position, err)
		}
		chain.batch(position, &header)
		r.batches++
		for _, event := range block.GetEvents() {
			r.event(t, chain, event)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *received) event(t *testing.T, c *chain, raw []byte) {
	t.Helper()
	r.events++
	ev := new(telemetryv1.Event)
	if err := proto.Unmarshal(raw, ev); err != nil {
		t.Fatalf("event %d: %v", r.events, err)
	}
	switch body := ev.GetBody().(type) {
	case *telemetryv1.Event_AgentEvent:
		r.reports[body.AgentEvent.GetAction()]++
		r.order[c.header.Stream] = append(r.order[c.header.Stream], body.AgentEvent.GetAction())
		return
	case *telemetryv1.Event_Gap:
		r.gaps = append(r.gaps, body.Gap)
		return
	case *telemetryv1.Event_SourceHealth:
		return
	}
	id := recordID{c.header.Stream, [sha256.Size]byte(ev.GetPosition().GetFileSha256()), ev.GetPosition().GetChunk(), ev.GetPosition().GetOrdinal()}
	key := eventKey{ev.GetSubject().GetHost(), ev.GetRaw().GetChannel(), int64(ev.GetRaw().GetEventId())}
	if before, ok := r.records[id]; ok {
		c.wrong("record %d/%d of file %x came twice: %v, %v", id.chunk, id.ordinal, id.file[:4], before, key)
	}
	r.records[id] = key
	r.order[id.stream] = append(r.order[id.stream], fmt.Sprintf("%x/%d/%d", id.file[:8], id.chunk, id.ordinal))
	r.count[key]++
	c.record(id)
}

// chain is where a stream stands while it is read.
type chain struct {
	t        *testing.T
	begun    bool
	position int64
	header   evidence.Header
	hash     evidence.Hash
	last     map[[sha256.Size]byte]recordID // by file
	faults   int
}

// maxFaults bounds what is told of what is wrong with one thing.
const maxFaults = 20

func (c *chain) wrong(format string, args ...any) {
	c.t.Helper()
	if c.faults++; c.faults <= maxFaults {
		c.t.Errorf(format, args...)
	}
}

func (c *chain) batch(position int64, h *evidence.Header) {
	c.t.Helper()
	before := &c.header
	switch {
	case !c.begun || h.Stream != before.Stream:
		if h.Number != 1 || h.FirstSequence != 0 && h.FirstSequence != 1 {
			c.wrong("a stream begins with number %d, sequence %d", h.Number, h.FirstSequence)
		}
		c.last = map[[sha256.Size]byte]recordID{}
	case h.FirstSequence != before.FirstSequence+uint64(before.EventCount):
		c.wrong("epoch %d number %d begins with sequence %d, the batch before ends with %d", h.Epoch, h.Number, h.FirstSequence, before.FirstSequence+uint64(before.EventCount)-1)
	case position <= c.position:
		c.wrong("epoch %d number %d is at position %d, the batch before at %d", h.Epoch, h.Number, position, c.position)
	case h.Epoch == before.Epoch && (h.Number != before.Number+1 || h.Previous != c.hash):
		c.wrong("epoch %d number %d does not follow number %d", h.Epoch, h.Number, before.Number)
	case h.Epoch != before.Epoch && h.Number != 1:
		c.wrong("epoch %d begins with number %d", h.Epoch, h.Number)
	}
	c.begun, c.position, c.header, c.hash = true, position, *h, h.Hash()
}

func (c *chain) record(id recordID) {
	c.t.Helper()
	if before, ok := c.last[id.file]; ok && (id.chunk < before.chunk || id.chunk == before.chunk && id.ordinal <= before.ordinal) {
		c.wrong("record %d/%d of file %x comes after %d/%d", id.chunk, id.ordinal, id.file[:4], before.chunk, before.ordinal)
	}
	c.last[id.file] = id
}

// countTables counts the rows of all event tables of imported hosts.
func (w *world) countTables(t *testing.T) map[eventKey]int64 {
	t.Helper()
	count := map[eventKey]int64{}
	for _, table := range telemetry.Tables() {
		rows, err := w.pool.Query(t.Context(), `SELECT h.name, e.channel, coalesce(e.event_id, -1), count(*) FROM `+table.Name+` e
			JOIN host h ON h.id = e.host_id WHERE h.kind = 'imported' GROUP BY 1, 2, 3`)
		if err != nil {
			t.Fatalf("counting %s: %v", table.Name, err)
		}
		for rows.Next() {
			var key eventKey
			var n int64
			if err := rows.Scan(&key.Computer, &key.Channel, &key.EventID, &n); err != nil {
				t.Fatalf("counting %s: %v", table.Name, err)
			}
			count[key] += n
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("counting %s: %v", table.Name, err)
		}
	}
	return count
}

// sameCount says what differs between two counts.
func sameCount(t *testing.T, what string, got, want map[eventKey]int64) {
	t.Helper()
	keys := slices.Collect(maps.Keys(want))
	for key := range got {
		if _, ok := want[key]; !ok {
			keys = append(keys, key)
		}
	}
	wrong := 0
	for _, key := range keys {
		if got[key] != want[key] {
			if wrong++; wrong <= maxFaults {
				t.Errorf("%s: %d events %d of %q on %q, want %d", what, got[key], key.EventID, key.Channel, key.Computer, want[key])
			}
		}
	}
	if wrong > maxFaults {
		t.Errorf("%s: and %d more differences", what, wrong-maxFaults)
	}
}

func sum(count map[eventKey]int64) int64 {
	var n int64
	for _, c := range count {
		n += c
	}
	return n
}

// committed is how many events of that kind of stream the server holds; 0 and an
// error while it cannot be asked.
func (w *world) committed(ctx context.Context, kind evidence.StreamKind) (int64, error) {
	var n int64
	err := w.pool.QueryRow(ctx, `SELECT coalesce(sum(next_sequence), 0)::bigint FROM stream WHERE kind = $1`, int16(kind)).Scan(&n)
	return n, err
}

// verifyLedger runs the verification and returns its report.
func (w *world) verifyLedger(t *testing.T) (code int, report verification) {
	t.Helper()
	r := w.ctl(t, "ledger", "verify", "--json")
	if r.code == 2 {
		t.Fatalf("assayctl ledger verify: %s", r)
	}
	decode(t, r.stdout, &report)
	return r.code, report
}

// verification is what assayctl ledger verify says.
type verification struct {
	Good            bool
	Problems        []string
	Batches, Events int64 `json:",string"`
}

// mustVerify verifies the ledger, which must be good.
func (w *world) mustVerify(t *testing.T) verification {
	t.Helper()
	code, report := w.verifyLedger(t)
	if code != 0 || !report.Good {
		t.Errorf("the ledger does not verify (exit code %d): %v", code, report.Problems)
	}
	return report
}

// aside is what there is beside whole batches in their first epochs.
type aside struct {
	epochs int64 // beyond the first of their streams
	lost   int64 // leaves that say which acknowledged batches nobody has any more
	gaps   int64 // that agents told of
	broken int64 // ranges of coverage that nobody explains
}

// nothingAside checks that no batch was quarantined, forked or begun anew, and that
// nobody says that anything is missing.
func (w *world) nothingAside(t *testing.T) {
	t.Helper()
	w.onlyAside(t, aside{})
}

// onlyAside checks that what happened is on record, and nothing else.
func (w *world) onlyAside(t *testing.T, want aside) {
	t.Helper()
	for what, sql := range map[string]string{
		"quarantined batches":          `SELECT count(*) FROM quarantine`,
		"forked batches":               `SELECT count(*) FROM fork`,
		"batches without their leaf":   fmt.Sprintf(`SELECT count(*) FROM batch b LEFT JOIN leaf l USING (position) WHERE l.kind IS DISTINCT FROM %d`, evidence.LeafBatch),
		"positions without their leaf": `SELECT size - (SELECT count(*) FROM leaf) FROM ledger_head`,
	} {
		if n := w.number(t, sql); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	got := aside{
		epochs: w.number(t, `SELECT count(*) FROM epoch WHERE epoch > 1`),
		lost:   w.number(t, `SELECT count(*) FROM leaf WHERE kind = $1`, int16(evidence.LeafLost)),
		broken: w.number(t, `SELECT count(*) FROM coverage_range WHERE state = 'unexplained'`),
	}
	for _, kind := range []evidence.StreamKind{evidence.Control, evidence.Bulk} {
		for _, gap := range w.readStream(t, kind).gaps {
			got.gaps++
			if got.gaps > want.gaps {
				t.Errorf("a gap is told of: %v", gap)
			}
		}
	}
	if got != want {
		t.Errorf("beside whole batches of first epochs there is %+v, want %+v", got, want)
	}
}
