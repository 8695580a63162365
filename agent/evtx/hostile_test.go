package evtx_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

// What reading one hostile input may take.
const (
	watchdog     = 2 * time.Second
	maxAllocated = 256 << 20
)

// readBounded reads a file to its end and fails if that takes too long or
// allocates too much. It must not run beside other tests, whose allocations
// would count.
func readBounded(tb testing.TB, data []byte) result {
	tb.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	timer := time.AfterFunc(10*watchdog, func() { panic(fmt.Sprintf("evtx: still reading after %v", 10*watchdog)) })
	var r result
	file, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
	if err == nil {
		// Records are counted, not kept: a caller need not keep them either.
		for position, record := range file.Records() {
			if position.Offset <= 0 || position.Offset >= int64(len(data)) {
				tb.Fatalf("a record at offset %d of %d", position.Offset, len(data))
			}
			if len(r.records) < 10 {
				r.records = append(r.records, record)
			}
			r.positions = append(r.positions, position)
		}
		r.problems = file.Problems()
	}
	timer.Stop()
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > maxAllocated {
		tb.Fatalf("allocated %d MiB for %d bytes", allocated>>20, len(data))
	}
	if elapsed > watchdog {
		tb.Fatalf("took %v for %d bytes", elapsed, len(data))
	}
	return r
}

// hostileLogs are well-formed logs that try to cost more than their size.
func hostileLogs() map[string][]byte {
	log := func(bodies ...evtxtest.Fragment) []byte {
		w := evtxtest.NewWriter()
		var records []evtxtest.Record
		for i, b := range bodies {
			records = append(records, w.Record(evtxtest.Event{RecordID: uint64(i + 1), Time: moment, Body: b}))
		}
		return evtxtest.File(evtxtest.Options{}, records...)
	}
	repeat := func(n, index int) (content []evtxtest.Content) {
		return slices.Repeat([]evtxtest.Content{evtxtest.Sub(index)}, n)
	}
	big := evtxtest.String(strings.Repeat("x", 10_000))
	wide := evtxtest.El("EventData", evtxtest.El("Data", repeat(8000, 0)...))
	template := &evtxtest.Template{ID: 1, Root: wide}

	// Each level repeats its value eight times: 8^12 leaves.
	var tree evtxtest.Fragment = evtxtest.El("Data", evtxtest.Text("leaf"))
	for i := range 12 {
		tree = evtxtest.Of(uint32(100+i), evtxtest.El("Data", repeat(8, 0)...), evtxtest.BinXML(tree))
	}
	var deep evtxtest.Fragment = evtxtest.El("Data", evtxtest.Text("leaf"))
	for i := range 40 {
		deep = evtxtest.Of(uint32(200+i), evtxtest.El("Data", evtxtest.Sub(0)), evtxtest.BinXML(deep))
	}
	nested := evtxtest.El("a", evtxtest.Text("leaf"))
	for range 200 {
		nested = evtxtest.El("a", nested)
	}
	array := evtxtest.Raw(0x84, bytes.Repeat([]byte{1}, 30_000))
	shared := evtxtest.El("EventData", slices.Repeat([]evtxtest.Content{evtxtest.El("Data", evtxtest.Sub(0))}, 1500)...)
	many := make([]evtxtest.Fragment, 900)
	manyTemplate := &evtxtest.Template{ID: 5, Root: evtxtest.El("EventData", evtxtest.El("Data", repeat(2000, 0)...))}
	for i := range many {
		many[i] = &evtxtest.Instance{Template: manyTemplate, Values: []evtxtest.Value{evtxtest.Hex64(1 << 63)}}
	}
	return map[string][]byte{
		"a value repeated":          log(&evtxtest.Instance{Template: template, Values: []evtxtest.Value{big}}),
		"a tree of values":          log(tree),
		"values in values":          log(deep),
		"elements in elements":      log(nested, evtxtest.El("UserData", nested)),
		"arrays repeated":           log(evtxtest.Of(3, shared, array)),
		"one template, many events": log(many...),
	}
}

func TestHostileLogs(t *testing.T) { //nolint:paralleltest // measures allocations
	for name, file := range hostileLogs() {
		r := readBounded(t, file)
		if len(r.problems) == 0 {
			t.Errorf("%s: read without a problem: %d records", name, len(r.records))
		}
		for _, p := range r.problems {
			if p.Severity != evtx.Damage || !strings.Contains(p.Text, "cannot be decoded") {
				t.Errorf("%s: %v", name, p)
			}
		}
	}
}

// TestOverlappingDefinitions: sixty template definitions share their bytes, each
// nested in the one before, and each record compiles another.
func TestOverlappingDefinitions(t *testing.T) { //nolint:paralleltest // measures allocations
	const (
		stubs, spacing = 60, 540
		region         = evtxtest.ChunkSize - stubs*spacing - 100
	)
	file := threeChunks(evtxtest.Options{})[:chunkAt(1)]
	chunk := file[chunkAt(0):]
	event := bytes.Index(chunk, []byte("\x05\x00E\x00v\x00e\x00n\x00t\x00")) - 6
	for i := range stubs {
		at := region + i*spacing
		// The header of the definition reads as ten characters of text to the
		// definitions around it.
		copy(chunk[at:], "\x45\x01\x0a\x00")
		put32(chunk, at+20, uint32(evtxtest.ChunkSize-at-24))
		copy(chunk[at+24:], "\x01\xff\xff")
		put32(chunk, at+31, uint32(event))
		chunk[at+35] = 0x02
		for j := at + 36; j+3 <= at+spacing; j += 3 {
			copy(chunk[j:], "\x48x\x00")
		}
	}
	for i := range stubs {
		chunk[region+stubs*spacing+i] = 0x04
	}
	at, number := int(get32(chunk, 48)), uint64(11)
	for i := range stubs {
		copy(chunk[at:], "**\x00\x00")
		put32(chunk, at+4, 64)
		put64(chunk, at+8, number)
		copy(chunk[at+24:], "\x0f\x01\x01\x00\x0c\x01\x00\x00\x00\x00")
		put32(chunk, at+34, uint32(region+i*spacing))
		put32(chunk, at+60, 64)
		at, number = at+64, number+1
	}
	put32(chunk, 48, uint32(at))
	put64(chunk, 16, number-1)
	put64(chunk, 32, number-1)
	file[42] = 1
	evtxtest.Reseal(file)
	r := readBounded(t, file)
	// Sizes fall from 32 KiB by 540 bytes; eight of them make the limit.
	if len(r.positions) != 10+8 || len(r.problems) != stubs-8 || !strings.Contains(r.problems[0].Text, "more work than a genuine chunk") {
		t.Errorf("%d records, %d problems: %v", len(r.positions), len(r.problems), r.problems[:1])
	}
}

// mutate changes a file in one of four ways.
func mutate(random *rand.Rand, file []byte) []byte {
	b := slices.Clone(file)
	switch random.IntN(4) {
	case 0:
		return b[:random.IntN(len(b))]
	case 1:
		for range 30 {
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		}
	case 2:
		if at := random.IntN(len(b)-4) &^ 3; at > 8 {
			binary.LittleEndian.PutUint32(b[at:], 0xffffffff)
		}
	case 3:
		// A record size of 0, found as the files' own records are.
		if at := bytes.Index(b[random.IntN(len(b)):], []byte("**\x00\x00")); at > 0 && at+8 < len(b) {
			binary.LittleEndian.PutUint32(b[at+4:], 0)
		}
	}
	return b
}

// TestMutations damages logs in a few hundred ways, the same each time.
func TestMutations(t *testing.T) { //nolint:paralleltest // measures allocations
	files := [][]byte{threeChunks(evtxtest.Options{}), threeChunks(evtxtest.Options{NoChecksums: true})}
	hostile := hostileLogs()
	for _, name := range slices.Sorted(maps.Keys(hostile)) {
		files = append(files, hostile[name])
	}
	random := rand.New(rand.NewPCG(1, 2))
	damaged := 0
	for i := range 400 {
		b := mutate(random, files[i%len(files)])
		if i%3 == 0 {
			// A forger makes the checksums match; the parser then believes more.
			if len(b) > evtxtest.FileHeaderSize {
				evtxtest.Reseal(b)
			}
		}
		if len(readBounded(t, b).problems) > 0 {
			damaged++
		}
	}
	if damaged < 200 {
		t.Errorf("only %d of 400 mutations were noticed", damaged)
	}
}

// TestSampleMutations does the same to genuine logs.
func TestSampleMutations(t *testing.T) { //nolint:paralleltest // measures allocations
	random := rand.New(rand.NewPCG(3, 4))
	for i, s := range samples(t) {
		if len(s.data) > 400_000 && i%4 != 0 {
			continue
		}
		for range 3 {
			readBounded(t, mutate(random, s.data))
		}
	}
}
