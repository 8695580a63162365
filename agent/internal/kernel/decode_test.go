package kernel

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// vectors are what the driver's own encoder wrote.
const vectors = "../../../driver/test/golden"

type vector struct {
	File     string         `json:"file"`
	KindName string         `json:"kind_name"`
	Variant  string         `json:"variant"`
	Header   map[string]any `json:"header"`
	Body     map[string]any `json:"body"`
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectors, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		ABI     int      `json:"abi_version"`
		Records []vector `json:"records"`
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&index); err != nil {
		t.Fatal(err)
	}
	if index.ABI != abiVersion || len(index.Records) < 50 {
		t.Fatalf("%d vectors of version %d", len(index.Records), index.ABI)
	}
	return index.Records
}

func readVector(t testing.TB, v vector) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectors, v.File))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBothSidesProveTheSameContract decodes every record that the driver's
// encoder wrote, and compares every field with what it says it wrote.
func TestBothSidesProveTheSameContract(t *testing.T) {
	t.Parallel()
	kinds := map[Kind]bool{}
	for _, v := range readVectors(t) {
		b := readVector(t, v)
		r, n, err := DecodeRecord(b)
		if err != nil || n != len(b) {
			t.Errorf("%s: %d of %d bytes, %v", v.File, n, len(b), err)
			continue
		}
		kinds[r.Kind] = true
		if r.Kind.String() != v.KindName {
			t.Errorf("%s: it is a %s", v.File, r.Kind)
		}
		for name, got := range map[string]any{"kind": uint16(r.Kind), "version": r.Version, "class": uint8(r.Class), "flags": r.Flags, "boot": r.Boot, "load": r.Load, "n": r.N,
			"lost_before": r.LostBefore, "system_time": r.SystemTime, "interrupt_time": r.InterruptTime, "pid": r.PID, "tid": r.TID, "pid_created": r.PIDCreated} {
			if want := fmt.Sprint(v.Header[name]); fmt.Sprint(got) != want {
				t.Errorf("%s: %s is %v, want %s", v.File, name, got, want)
			}
		}
		compareBody(t, v, b, r.Body)
	}
	if len(kinds) != len(kindNames) {
		t.Errorf("%d kinds of %d have vectors", len(kinds), len(kindNames))
	}
}

// fieldNames are the contract's names of fields that Go spells otherwise.
var fieldNames = map[string]string{
	"driver_version": "DriverVersion", "abi_version": "ABIVersion", "target_pid": "TargetPID", "target_created": "TargetCreated", "lost_class": "LostClass",
	"bus_type": "BusType", "file_system": "FileSystem", "guid": "GUID", "parent_created": "ParentCreated", "pid": "PID", "parent_pid": "ParentPID",
	"creator_pid": "CreatorPID", "creator_tid": "CreatorTID", "flags": "FlagsField", "command_line": "CommandLine", "status_known": "StatusKnown",
	"process_created": "ProcessCreated", "signature_level": "SignatureLevel", "signature_type": "SignatureType", "target_tid": "TargetTID", "source_pid": "SourcePID",
	"data_size": "DataSize", "file_id": "FileID", "created_old": "CreatedOld", "created_new": "CreatedNew", "new_path": "NewPath", "bytes_in": "BytesIn",
	"bytes_out": "BytesOut", "local_port": "LocalPort", "remote_port": "RemotePort", "bytes_known": "BytesKnown", "interface_luid": "InterfaceLUID",
}

func compareBody(t *testing.T, v vector, record []byte, body any) {
	t.Helper()
	value := reflect.ValueOf(body).Elem()
	if len(v.Body) != value.NumField() {
		t.Errorf("%s: %d fields, the contract has %d", v.File, value.NumField(), len(v.Body))
	}
	for name, want := range v.Body {
		goName := fieldNames[name]
		if goName == "" {
			goName = strings.ToUpper(name[:1]) + name[1:]
		}
		if _, isOpen := body.(*Open); isOpen && name == "reserved" {
			goName = "Unused"
		}
		field := value.FieldByName(goName)
		if !field.IsValid() {
			t.Errorf("%s: there is no field for %s", v.File, name)
			continue
		}
		switch got := field.Interface().(type) {
		case Text:
			compareText(t, v.File+" "+name, want.(map[string]any), record, got)
		case [16]byte:
			if hex.EncodeToString(got[:]) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %x, want %v", v.File, name, got, want)
			}
		default:
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %v, want %v", v.File, name, got, want)
			}
		}
	}
}

func compareText(t *testing.T, what string, want map[string]any, record []byte, got Text) {
	t.Helper()
	number := func(name string) uint64 {
		n, err := want[name].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return uint64(n)
	}
	offset, size, flags := number("offset"), number("size"), number("flags")
	if uint64(got.Whole) != number("whole") || got.Truncated != (flags&1 != 0) || got.Unknown != (flags&2 != 0) {
		t.Errorf("%s: %+v, want %v", what, got, want)
	}
	raw := record[offset : offset+size]
	sum := fnv.New64a()
	sum.Write(raw)
	if fmt.Sprintf("%016x", sum.Sum64()) != want["fnv1a64"] {
		t.Errorf("%s: the bytes are not those that were written", what)
	}
	asBytes, asText := string(raw), (&fields{record: record, body: []byte{byte(offset), byte(offset >> 8), byte(offset >> 16), 0, byte(size), byte(size >> 8), byte(size >> 16), 0, 0, 0, 0, 0, 0, 0, 0, 0}}).text().Value
	if got.Value != asBytes && got.Value != asText {
		t.Errorf("%s is %q", what, got.Value)
	}
}

// TestOlderAndNewerDrivers: a shorter body reads as zeros beyond its end, a longer
// one is read as far as it is known, and a kind that is not known is passed over.
func TestOlderAndNewerDrivers(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		if v.KindName != "process_exited" || v.Variant != "ordinary" {
			continue
		}
		whole := readVector(t, v)
		want, _, err := DecodeRecord(whole)
		if err != nil {
			t.Fatal(err)
		}
		short := append([]byte(nil), whole[:headerSize+16]...)
		short[0], short[12] = byte(len(short)), 16
		got, _, err := DecodeRecord(short)
		if err != nil || got.Body.(*Exit).Status != want.Body.(*Exit).Status || got.Body.(*Exit).StatusKnown != 0 {
			t.Errorf("an older record: %+v, %v", got.Body, err)
		}
		long := append(append([]byte(nil), whole...), 1, 2, 3, 4, 5, 6, 7, 8)
		long[0], long[12] = byte(len(long)), whole[12]+8
		if got, n, err := DecodeRecord(long); err != nil || n != len(long) || !reflect.DeepEqual(got.Body, want.Body) {
			t.Errorf("a newer record: %+v, %v", got.Body, err)
		}
		unknown := append([]byte(nil), whole...)
		unknown[4] = 63
		if got, n, err := DecodeRecord(unknown); err != nil || n != len(unknown) || got.Body != nil || got.Kind.String() != "unknown" {
			t.Errorf("a record of another kind: %+v, %v", got, err)
		}
	}
}

// TestEveryCutIsRefused cuts each vector at every length.
func TestEveryCutIsRefused(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		b := readVector(t, v)
		if len(b) > 2048 {
			continue
		}
		for n := range b {
			if _, _, err := DecodeRecord(b[:n]); err == nil {
				t.Errorf("%s cut at %d is taken", v.File, n)
			}
		}
	}
}

// batchOf makes an answer of records.
func batchOf(boot, load uint64, records ...[]byte) []byte {
	b := make([]byte, batchSize)
	for _, r := range records {
		b = append(b, r...)
	}
	put := func(at int, v uint64, n int) {
		for i := range n {
			b[at+i] = byte(v >> (8 * i))
		}
	}
	put(0, abiMagic, 4)
	put(4, abiVersion, 4)
	put(8, uint64(len(b)), 4)
	put(12, uint64(len(records)), 4)
	put(16, boot, 8)
	put(24, load, 8)
	return b
}

func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		if b := readVector(f, v); len(b) < 4096 {
			f.Add(batchOf(1, 2, b))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, err := DecodeBatch(b)
		if err != nil {
			return
		}
		total := 0
		for _, r := range batch.Records {
			total += headerSize
			if r.Class >= Classes {
				t.Errorf("class %d", r.Class)
			}
		}
		if total > len(b) {
			t.Error("more records than bytes")
		}
		_, _ = DecodeDescription(b)
	})
}

func BenchmarkDecode(b *testing.B) {
	var records [][]byte
	size := 0
	for _, v := range readVectors(b) {
		if v.Variant == "ordinary" {
			r := readVector(b, v)
			records, size = append(records, r), size+len(r)
		}
	}
	batch := batchOf(1, 2, records...)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeBatch(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "records/s")
}
