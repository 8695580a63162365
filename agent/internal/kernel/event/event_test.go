package event_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/drivertest"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

var update = flag.Bool("update", false, "write testdata/events.json")

const at = 134087000000000000 // 2025-11-27

var drives = []event.Drive{{Device: `\Device\HarddiskVolume3`, Letter: "C:"}, {Device: `\Device\HarddiskVolume9`, Letter: "E:", Removable: true}}

// decode is what the agent reads of a record.
func decode(t testing.TB, r drivertest.Record) *kernel.Record {
	t.Helper()
	d := drivertest.Load(0x1dc5f00, at-1000, 1<<20)
	d.Post(r)
	port, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = port.Close() }()
	if err := port.Submit(kernel.ReadRequest(true, 0, [kernel.Classes]uint64{})); err != nil {
		t.Fatal(err)
	}
	b, err := port.Next()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := kernel.DecodeBatch(b)
	if err != nil {
		t.Fatal(err)
	}
	return &batch.Records[0]
}

func body() *drivertest.Builder { return new(drivertest.Builder) }

func by(class kernel.Class, kind kernel.Kind, b *drivertest.Builder) drivertest.Record {
	return drivertest.Record{Class: class, Kind: kind, Time: at, PID: 100, TID: 7, PIDCreated: at - 500, Body: b}
}

var system, _ = hex.DecodeString("010100000000000512000000")

func processBody(pid uint32, image, command string) *drivertest.Builder {
	return body().U64(at-500+uint64(pid-100), at-900).U32(pid, 50, 50, 3, 1, 2, 0x3000, 0).Text(image).Text(command).Bytes(system)
}

func fileBody(path, to string, holes, route uint32) *drivertest.Builder {
	return body().U64(0, 0, 0, at-10000, at).U32(holes, route, 2, 0x120116).Text(`\Device\HarddiskVolume3`).Text(path).Text(to).Bytes(nil)
}

func keyBody(kind uint32, key, name string, data []byte) *drivertest.Builder {
	return body().U32(kind, uint32(len(data))).Text(key).Text(name).Bytes(data)
}

func ends(inbound uint8, localPort, remotePort uint16) func(*drivertest.Builder) *drivertest.Builder {
	return func(b *drivertest.Builder) *drivertest.Builder {
		local, remote := make([]byte, 16), make([]byte, 16)
		copy(local, []byte{192, 0, 2, 1})
		copy(remote, []byte{198, 51, 100, 9})
		return b.Raw(local).Raw(remote).U16(localPort, remotePort)
	}
}

func flowBody(inbound uint8, refused uint32) *drivertest.Builder {
	return ends(inbound, 50000, 443)(body().U64(77, 88, 1000, 2000)).U8(4, 6, inbound, 1).U64(5).U32(refused, 0).Bytes(nil)
}

func payloadBody(protocol, inbound, hint uint8, remotePort uint16, data []byte) *drivertest.Builder {
	return ends(inbound, 50000, remotePort)(body().U64(77, 88, 0, uint64(len(data)))).U8(4, protocol, inbound, hint).Bytes(data)
}

func question(t testing.TB, response bool) []byte {
	t.Helper()
	name := dnsmessage.MustNewName("www.example.com.")
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, Response: response},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	if response {
		m.Answers = []dnsmessage.Resource{
			{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 1}, Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("cdn.example.")}},
			{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{203, 0, 113, 5}}},
		}
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hello is a ClientHello of our own making: SNI, ALPN, one GREASE cipher.
func hello() []byte {
	extensions := "0000000e000c0000096c6f63616c686f7374" + "00100005000302" + "6832" + "000a00040002001d" + "000b00020100" + "000d000400020403" + "002b0003020304"
	raw := "0303" + strings.Repeat("11", 32) + "00" + "00060a0a13011302" + "0100" + hexLen(extensions) + extensions
	raw = "01" + "00" + hexLen(raw) + raw
	b, err := hex.DecodeString("160301" + hexLen(raw) + raw)
	if err != nil {
		panic(err)
	}
	return b
}

func hexLen(s string) string {
	n := len(s) / 2
	return hex.EncodeToString([]byte{byte(n >> 8), byte(n)})
}

// script is one record after the other, as one host would make them.
func script(t testing.TB) map[string]drivertest.Record {
	request := "POST /login HTTP/1.1\r\nHost: intranet.example\r\nUser-Agent: evil/1.0\r\nContent-Length: 3\r\n\r\na=b"
	return map[string]drivertest.Record{
		"01 started":             by(kernel.ClassControl, kernel.KindStarted, body().U32(0x10000, 1, 0, 0, 1, 0)),
		"02 started passive":     by(kernel.ClassControl, kernel.KindStarted, body().U32(0x10000, 1, 1, 1, 3, 0)),
		"03 found":               by(kernel.ClassProcess, kernel.KindProcessFound, body().U64(at-900, 0).U32(50, 4, 0, 0, 0, 0, 0xFFFFFFFF, 0).Text(`\Device\HarddiskVolume3\Windows\explorer.exe`).Text("").Bytes(system)),
		"04 process":             by(kernel.ClassProcess, kernel.KindProcessCreated, processBody(100, `\Device\HarddiskVolume3\Windows\System32\cmd.exe`, `cmd.exe /c set ASSAY_TOKEN=secret`)),
		"05 other process":       by(kernel.ClassProcess, kernel.KindProcessCreated, processBody(101, `\??\C:\Windows\System32\svchost.exe`, "svchost.exe -k NetworkService")),
		"06 driver":              by(kernel.ClassImage, kernel.KindImageLoaded, body().U64(0xfffff80000000000, 4096, 0).U32(0, 1, 1, 0).Text(`\SystemRoot\System32\drivers\bad.sys`)),
		"07 library":             by(kernel.ClassImage, kernel.KindImageLoaded, body().U64(0x7ff000000000, 8192, at-500).U32(100, 0, 12, 0).Text(`\Device\HarddiskVolume3\Temp\x.dll`)),
		"08 remote thread":       by(kernel.ClassObject, kernel.KindThreadRemote, body().U64(at-499).U32(101, 4444)),
		"09 process opened":      by(kernel.ClassObject, kernel.KindProcessOpened, body().U64(at-499).U32(101, 0x1410, 0x1fffff, 1, 100, 0)),
		"10 value set":           by(kernel.ClassRegistry, kernel.KindKeySet, keyBody(1, `\REGISTRY\MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Run`, "Evil", []byte("e\x00v\x00i\x00l\x00\x00\x00"))),
		"11 number set":          by(kernel.ClassRegistry, kernel.KindKeySet, keyBody(4, `\REGISTRY\MACHINE\SYSTEM\ControlSet001\Control\Lsa`, "RunAsPPL", []byte{0, 0, 0, 0})),
		"12 value deleted":       by(kernel.ClassRegistry, kernel.KindKeyValueDeleted, keyBody(0, `\REGISTRY\USER\S-1-5-21-1-2-3-1001\Software`, "", nil)),
		"13 key deleted":         by(kernel.ClassRegistry, kernel.KindKeyDeleted, keyBody(0, `\REGISTRY\MACHINE\SOFTWARE\X`, "", nil)),
		"14 key created":         by(kernel.ClassRegistry, kernel.KindKeyCreated, keyBody(0, `\REGISTRY\MACHINE\SOFTWARE\Y`, "", nil)),
		"15 key renamed":         by(kernel.ClassRegistry, kernel.KindKeyRenamed, keyBody(0, `\REGISTRY\MACHINE\SOFTWARE\Y`, "Z", nil)),
		"16 file created":        by(kernel.ClassFile, kernel.KindFileCreated, fileBody(`\Users\a\x.exe`, "", 0, 0)),
		"17 file written":        by(kernel.ClassFile, kernel.KindFileWritten, fileBody(`\Users\a\x.exe`, "", 64, 0)),
		"18 file renamed":        by(kernel.ClassFile, kernel.KindFileRenamed, fileBody(`\Users\a\x.exe`, `\??\C:\Users\a\y.exe`, 8, 4)),
		"19 renamed in place":    by(kernel.ClassFile, kernel.KindFileRenamed, fileBody(`\Users\a\x.exe`, `y.exe`, 0, 0)),
		"20 file deleted":        by(kernel.ClassFile, kernel.KindFileDeleted, fileBody(`\Users\a\y.exe`, "", 0, 1)),
		"21 file linked":         by(kernel.ClassFile, kernel.KindFileLinked, fileBody(`\Users\a\y.exe`, `\Users\a\z.exe`, 0, 0)),
		"22 times set":           by(kernel.ClassFile, kernel.KindFileTimesSet, fileBody(`\Users\a\y.exe`, "", 0, 0)),
		"23 stream created":      by(kernel.ClassFile, kernel.KindFileStreamCreated, fileBody(`\Users\a\y.exe:hidden`, "", 0, 0)),
		"24 file mapped":         by(kernel.ClassFile, kernel.KindFileMapped, fileBody(`\Users\a\y.exe`, "", 1, 0)),
		"25 connected":           by(kernel.ClassNetwork, kernel.KindFlowConnected, flowBody(0, 0)),
		"26 accepted":            by(kernel.ClassNetwork, kernel.KindFlowAccepted, flowBody(1, 0)),
		"27 listening":           by(kernel.ClassNetwork, kernel.KindFlowListening, flowBody(0, 0)),
		"28 refused":             by(kernel.ClassNetwork, kernel.KindFlowRefused, flowBody(0, 48)),
		"29 listen refused":      by(kernel.ClassNetwork, kernel.KindFlowRefused, flowBody(0, 50)),
		"30 question":            by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(17, 0, 1, 53, question(t, false))),
		"31 answer":              by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(17, 1, 1, 53, question(t, true))),
		"32 asked by others":     by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(17, 1, 1, 53, question(t, false))),
		"33 request":             by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(6, 0, 2, 80, []byte(request))),
		"34 response":            by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(6, 1, 2, 80, []byte("HTTP/1.1 302 Found\r\nServer: nginx\r\nContent-Type: text/html\r\n\r\n"))),
		"35 hello":               by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(6, 0, 3, 443, hello())),
		"36 neither":             by(kernel.ClassPayload, kernel.KindPayloadCopied, payloadBody(6, 0, 3, 443, []byte("SSH-2.0-x\r\n"))),
		"37 flow ended":          by(kernel.ClassNetwork, kernel.KindFlowEnded, flowBody(0, 0)),
		"38 volume":              by(kernel.ClassControl, kernel.KindVolumeArrived, body().U32(7, 1, 2, 1).Text(`\\?\Volume{1}`).Text(`\Device\HarddiskVolume9`).Text("Vend").Text("Stick").Text("SER1").Text("DATA")),
		"39 file on it":          by(kernel.ClassFile, kernel.KindFileCreated, body().U64(0, 0, 0, 0, 0).U32(0, 0, 2, 0).Text(`\Device\HarddiskVolume9`).Text(`\loot.zip`).Bytes([]byte{}).Bytes(nil)),
		"40 volume left":         by(kernel.ClassControl, kernel.KindVolumeLeft, body().U32(0, 0, 0, 0).Bytes([]byte{}).Text(`\Device\HarddiskVolume9`).Bytes(nil).Bytes(nil).Bytes(nil).Bytes(nil)),
		"41 fixed volume":        by(kernel.ClassControl, kernel.KindVolumeArrived, body().U32(17, 0, 2, 0).Bytes([]byte{}).Text(`\Device\HarddiskVolume4`).Bytes(nil).Bytes(nil).Bytes(nil).Bytes(nil)),
		"42 tampering":           by(kernel.ClassControl, kernel.KindTamper, body().U32(2, 0).U64(0).U32(0x10000, 0).Text(`\Device\HarddiskVolume3\ProgramData\Assay\spool`)),
		"43 tampering with us":   by(kernel.ClassControl, kernel.KindTamper, body().U32(1, 101).U64(at-499).U32(1, 0xC0000022).Bytes([]byte{})),
		"44 exit":                by(kernel.ClassProcess, kernel.KindProcessExited, body().U64(at-500).U32(100, 0xC0000005, 1, 0)),
		"45 a kind of tomorrow":  by(kernel.ClassFile, 63, body().U64(1)),
		"46 an unknown actor":    {Class: kernel.ClassFile, Kind: kernel.KindFileDeleted, Time: at, PID: 9999, Body: fileBody(`\x`, "", 0, 3)},
		"47 a binary value":      by(kernel.ClassRegistry, kernel.KindKeySet, keyBody(3, `\REGISTRY\MACHINE\SOFTWARE\X`, "B", []byte{0xde, 0xad})),
		"48 a value in two sets": by(kernel.ClassRegistry, kernel.KindKeySet, keyBody(7, `\REGISTRY\MACHINE\SYSTEM\ControlSet0012\X`, "M", []byte("a\x00\x00\x00b\x00\x00\x00\x00\x00"))),
		"49 perhaps created":     {Class: kernel.ClassRegistry, Kind: kernel.KindKeyCreated, Time: at, PID: 100, TID: 7, PIDCreated: at - 500, Flags: kernel.RecordUnsure, Body: keyBody(0, `\REGISTRY\MACHINE\SOFTWARE\Y`, "", nil)},
	}
}

// TestEvents plays a script and compares every event in full with what was reviewed.
func TestEvents(t *testing.T) {
	t.Parallel()
	records := script(t)
	m := event.New(event.Config{Processes: process.NewTable([16]byte{7}), Drives: func() []event.Drive { return drives }})
	got := map[string][]any{}
	for _, name := range slices.Sorted(maps.Keys(records)) {
		got[name] = []any{}
		for _, ev := range m.Events(decode(t, records[name])) {
			if ev.GetGrade() != telemetryv1.Grade_GRADE_A || ev.GetSource() != telemetryv1.Source_SOURCE_KERNEL || ev.GetObservedAt() != at-116444736000000000 {
				t.Errorf("%s is %v", name, ev)
			}
			if telemetry.Of(ev) == nil {
				t.Errorf("%s has no table", name)
			}
			got[name] = append(got[name], plain(t, ev))
		}
	}
	file := filepath.Join("testdata", "events.json")
	text, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)+"\n"); diff != "" {
		t.Errorf("events differ (-update writes them):\n%s", diff)
	}
	if strings.Contains(string(text), "secret") {
		t.Error("a secret of ours travels on")
	}
}

// TestProcessStartAsSent keeps one event whole, as the server gets it: a test of
// the server reads the file and wants a rule to hold for it.
func TestProcessStartAsSent(t *testing.T) {
	t.Parallel()
	r := by(kernel.ClassProcess, kernel.KindProcessCreated, processBody(100, `\Device\HarddiskVolume3\Windows\System32\whoami.exe`, `whoami.exe /priv`))
	m := event.New(event.Config{Processes: process.NewTable([16]byte{7}), Drives: func() []event.Drive { return drives }})
	events := m.Events(decode(t, r))
	if len(events) != 1 {
		t.Fatalf("a process start makes %d events", len(events))
	}
	file := filepath.Join("testdata", "process-start.json")
	if *update {
		// protojson varies its spaces on purpose; the file shall not.
		var text bytes.Buffer
		if err := json.Indent(&text, []byte(protojson.Format(events[0])), "", " "); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text.Bytes(), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := new(telemetryv1.Event)
	if err := protojson.Unmarshal(text, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, events[0], protocmp.Transform()); diff != "" {
		t.Errorf("the event differs (-update writes it):\n%s", diff)
	}
}

// plain is an event as JSON of one form: raw fields as name=value.
func plain(t *testing.T, ev *telemetryv1.Event) map[string]any {
	t.Helper()
	var fields []string
	for _, f := range ev.GetRaw().GetData() {
		fields = append(fields, f.GetName()+"="+f.GetValue())
	}
	id := ev.GetRaw().GetEventId()
	ev.Raw, ev.Grade, ev.Source, ev.Subject, ev.Mode, ev.ObservedAt, ev.InterruptTime, ev.BootId, ev.Position = nil, 0, 0, nil, 0, 0, 0, "", nil
	b, err := protojson.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	out["id"], out["raw"] = id, fields
	return out
}

// FuzzEvents: whatever a driver sends that decodes, makes events that are valid and
// bounded, and nothing panics.
func FuzzEvents(f *testing.F) {
	for _, r := range script(f) {
		d := drivertest.Load(1, 2, 1<<20)
		d.Post(r)
		f.Add(d.Bytes(r.Class))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := event.New(event.Config{Processes: process.NewTable([16]byte{7}), Drives: func() []event.Drive { return drives }})
		for range 64 {
			r, n, err := kernel.DecodeRecord(b)
			if err != nil {
				return
			}
			b = b[n:]
			for _, ev := range m.Events(&r) {
				if ev.GetBody() == nil {
					t.Errorf("%v has no body", ev)
				}
				if _, err := protojson.Marshal(ev); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	var records []*kernel.Record
	for _, r := range script(b) {
		records = append(records, decode(b, r))
	}
	m := event.New(event.Config{Processes: process.NewTable([16]byte{7}), Drives: func() []event.Drive { return drives }})
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range records {
			m.Events(r)
		}
	}
	b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "records/s")
}
