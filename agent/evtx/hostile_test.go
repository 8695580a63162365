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

// readBounded reads a file to its end and fails if that takes too much processor
// time or memory. It must not run beside other tests, whose allocations would count.
func readBounded(tb testing.TB, data []byte) (r result) {
	tb.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := evtxtest.CPUTime()
	timer := time.AfterFunc(30*watchdog, func() { panic(fmt.Sprintf("evtx: still reading after %v", 30*watchdog)) })
	defer timer.Stop()
	file, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
	if err != nil {
		return r
	}
	for position, record := range file.Records() {
		if position.Offset <= 0 || position.Offset >= int64(len(data)) {
			tb.Fatalf("a record at offset %d of %d", position.Offset, len(data))
		}
		if len(r.records) < 10 { // a caller need not keep records either
			r.records = append(r.records, record)
		}
		r.positions = append(r.positions, position)
	}
	r.problems = file.Problems()
	if used := evtxtest.CPUTime() - start; used > watchdog {
		tb.Fatalf("took %v of the processor for %d bytes", used, len(data))
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > maxAllocated {
		tb.Fatalf("allocated %d MiB for %d bytes", allocated>>20, len(data))
	}
	return r
}

// validLog marks those of the hostile logs that are within the bounds.
const validLog = "valid: "

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
	references := slices.Repeat([]evtxtest.Content{evtxtest.CharRef('x')}, 15_000)
	instructions := slices.Repeat([]evtxtest.Content{evtxtest.PI("target", "")}, 5000)
	// A long list that is dropped for its last piece, instantiated again and again.
	dropped := evtxtest.El("Data", append(slices.Repeat([]evtxtest.Content{evtxtest.Sub(0), evtxtest.Text("x")}, 2000), evtxtest.Opt(1))...)
	many := make([]evtxtest.Fragment, 300)
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
		"a dropped list repeated": log(evtxtest.Of(6, evtxtest.El("EventData", repeat(2000, 0)...),
			evtxtest.BinXML(evtxtest.Of(7, dropped, evtxtest.Uint8(1), evtxtest.Null())))),
		validLog + "references":   log(evtxtest.El("EventData", evtxtest.El("Data", references...)), evtxtest.Of(8, evtxtest.El("Data", references[:1000]...))),
		validLog + "instructions": log(evtxtest.El("EventData", instructions...)),
	}
}

func TestHostileLogs(t *testing.T) { //nolint:paralleltest // measures allocations
	const work, deep = "more work than a genuine chunk", "nested deeper"
	want := map[string]struct {
		records int
		problem string
	}{
		"a value repeated":          {0, "more text than a record can hold"},
		"a tree of values":          {0, work},
		"values in values":          {0, deep},
		"elements in elements":      {0, deep},
		"arrays repeated":           {0, "more fields than a record can hold"},
		"one template, many events": {233 + 22, work}, // 8 MiB of 36,000 bytes each, and the next chunk
		"a dropped list repeated":   {0, work},
		validLog + "references":     {2, ""},
		validLog + "instructions":   {1, ""},
	}
	logs := hostileLogs()
	if len(logs) != len(want) {
		t.Errorf("%d logs, %d expectations", len(logs), len(want))
	}
	for name, file := range logs {
		r, w := readBounded(t, file), want[name]
		if len(r.positions) != w.records || (w.problem == "") != (len(r.problems) == 0) {
			t.Errorf("%s: %d records, %d problems", name, len(r.positions), len(r.problems))
		}
		for _, p := range r.problems {
			if p.Severity != evtx.Damage || !strings.Contains(p.Text, "cannot be decoded") || !strings.Contains(p.Text, w.problem) {
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

// TestOverlappingNames: each element's name starts two bytes behind the last
// one's, and goes on to the end of the chunk.
func TestOverlappingNames(t *testing.T) { //nolint:paralleltest // measures allocations
	file := evtxtest.Log(evtxtest.Options{}, evtxtest.Event{
		RecordID: 1, Time: moment, Body: evtxtest.El("EventData", slices.Repeat([]evtxtest.Content{evtxtest.El("a")}, 1500)...),
	})
	chunk := file[chunkAt(0):]
	for i := range evtxtest.ChunkSize / 4 {
		put32(chunk, evtxtest.ChunkSize/2+2*(i%8000), 0x20002000) // 8,192 characters long
	}
	// An element: open token, size, name offset, end of the empty element.
	at, n := bytes.Index(chunk, []byte("a\x00\x00\x00\x03")), 0
	for at += 5; at+10 < evtxtest.ChunkSize && chunk[at] == 0x01 && chunk[at+9] == 0x03; at += 10 {
		put32(chunk, at+5, uint32(evtxtest.ChunkSize/2+2*n))
		n++
	}
	evtxtest.Reseal(file)
	if r := readBounded(t, file); n != 1499 || len(r.positions) != 0 || !strings.Contains(r.problems[0].Text, "more work than a genuine chunk") {
		t.Errorf("%d elements, %d records, problems %v", n, len(r.positions), r.problems)
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
