package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

// eventKey is what records are counted by.
type eventKey struct {
	Computer, Channel string
	EventID           int64
}

// logs are generated event logs, a folder for each computer, and what is in them.
type logs struct {
	folders []string
	files   int
	total   int64
	count   map[eventKey]int64
}

// fresh are folders that nobody has imported.
type fresh []string

func (f *fresh) next() string {
	folder := (*f)[0]
	*f = (*f)[1:]
	return folder
}

// shape is one kind of record of a channel.
type shape struct {
	eventID uint16
	data    func(r *rand.Rand) []evtxtest.Field
}

type channel struct {
	name, provider string
	shapes         []shape
}

const (
	auditing = "Microsoft-Windows-Security-Auditing"
	sysmon   = "Microsoft-Windows-Sysmon"
)

// generate writes one log of each channel for each of so many computers, of
// about that many records in all. The same call gives the same bytes.
func generate(t *testing.T, dir string, computers int, records int64) *logs {
	t.Helper()
	made := &logs{count: map[eventKey]int64{}}
	each := int(records)/(computers*len(channels())) + 1
	for c := range computers {
		computer := fmt.Sprintf("DRILL-%02d.corp.example", c+1)
		folder := filepath.Join(dir, computer)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		made.folders = append(made.folders, folder)
		for i, ch := range channels() {
			seed := uint64(c*100 + i)
			name := filepath.Join(folder, fmt.Sprintf("%d.evtx", i+1))
			if err := os.WriteFile(name, made.log(computer, ch, rand.New(rand.NewPCG(seed, 7)), each), 0o644); err != nil {
				t.Fatal(err)
			}
			made.files++
		}
	}
	return made
}

// log is one file, counted.
func (l *logs) log(computer string, ch channel, r *rand.Rand, records int) []byte {
	w := evtxtest.NewWriter()
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	first := uint64(1 + r.IntN(1_000_000))
	list := make([]evtxtest.Record, records)
	for i := range list {
		at = at.Add(time.Duration(r.IntN(2_000_000)) * time.Microsecond).Truncate(100 * time.Nanosecond)
		s := ch.shapes[r.IntN(len(ch.shapes))]
		list[i] = w.Record(evtxtest.Event{
			RecordID: first + uint64(i), Time: at, Provider: ch.provider, EventID: s.eventID, Qualifiers: -1, Keywords: 0x8020000000000000,
			Channel: ch.name, Computer: computer, ProcessID: 4, ThreadID: uint32(r.IntN(9000)), Data: s.data(r),
		})
		l.count[eventKey{computer, ch.name, int64(s.eventID)}]++
		l.total++
	}
	return evtxtest.File(evtxtest.Options{}, list...)
}

func text(name, value string) evtxtest.Field { return evtxtest.Named(name, evtxtest.String(value)) }

func hex(name string, value uint64) evtxtest.Field {
	return evtxtest.Named(name, evtxtest.Hex64(value))
}

// subject is who does something, in events of the Security log.
func subject(r *rand.Rand) []evtxtest.Field {
	n := r.IntN(200)
	return []evtxtest.Field{
		evtxtest.Named("SubjectUserSid", evtxtest.SID(fmt.Sprintf("S-1-5-21-1000-2000-3000-%d", 1000+n))),
		text("SubjectUserName", fmt.Sprintf("user%03d", n)), text("SubjectDomainName", "CORP"), hex("SubjectLogonId", uint64(0x10000+n)),
	}
}

func logon(r *rand.Rand) []evtxtest.Field {
	n := r.IntN(200)
	return append(subject(r),
		evtxtest.Named("TargetUserSid", evtxtest.SID(fmt.Sprintf("S-1-5-21-1000-2000-3000-%d", 1000+n))),
		text("TargetUserName", fmt.Sprintf("user%03d", n)), text("TargetDomainName", "CORP"), hex("TargetLogonId", uint64(0x20000+r.IntN(100000))),
		evtxtest.Named("LogonType", evtxtest.Uint32([]uint32{2, 3, 5, 10}[r.IntN(4)])), text("IpAddress", fmt.Sprintf("10.1.%d.%d", r.IntN(256), r.IntN(256))),
		text("LogonProcessName", "NtLmSsp "), text("AuthenticationPackageName", "NTLM"), text("WorkstationName", fmt.Sprintf("WS-%03d", r.IntN(300))))
}

func process(r *rand.Rand) []evtxtest.Field {
	image := []string{`C:\Windows\System32\cmd.exe`, `C:\Windows\explorer.exe`, `C:\Program Files\App\app.exe`}[r.IntN(3)]
	return append(subject(r), hex("NewProcessId", uint64(r.IntN(1<<16))), text("NewProcessName", image), hex("ProcessId", uint64(r.IntN(1<<16))),
		text("CommandLine", fmt.Sprintf(`"%s" /run %x`, image, r.Uint64())), text("ParentProcessName", `C:\Windows\System32\services.exe`))
}

func ended(r *rand.Rand) []evtxtest.Field {
	return append(subject(r), evtxtest.Named("Status", evtxtest.Hex32(0)), hex("ProcessId", uint64(r.IntN(1<<16))), text("ProcessName", `C:\Windows\System32\cmd.exe`))
}

// seen begins the data of Sysmon's events.
func seen(r *rand.Rand) []evtxtest.Field {
	return []evtxtest.Field{
		text("RuleName", "-"), text("UtcTime", "2026-03-02 08:00:00.000"),
		evtxtest.Named("ProcessGuid", evtxtest.GUID(fmt.Sprintf("{%08X-0000-0000-0000-%012X}", r.Uint32(), r.Uint64()&0xffffffffffff))),
		evtxtest.Named("ProcessId", evtxtest.Uint32(uint32(r.IntN(1<<16)))), text("Image", `C:\Windows\System32\svchost.exe`),
	}
}

func created(r *rand.Rand) []evtxtest.Field {
	return append(seen(r), text("CommandLine", fmt.Sprintf(`svchost.exe -k n%x`, r.Uint64())), text("User", `CORP\user001`),
		text("Hashes", fmt.Sprintf("SHA256=%064X", r.Uint64())), text("ParentImage", `C:\Windows\System32\services.exe`))
}

func connected(r *rand.Rand) []evtxtest.Field {
	return append(seen(r), text("User", `CORP\user001`), text("Protocol", "tcp"), evtxtest.Named("Initiated", evtxtest.Bool(true)),
		text("SourceIp", "10.1.0.9"), evtxtest.Named("SourcePort", evtxtest.Uint16(uint16(r.IntN(1<<16)))),
		text("DestinationIp", fmt.Sprintf("192.0.2.%d", r.IntN(256))), evtxtest.Named("DestinationPort", evtxtest.Uint16(443)))
}

func file(r *rand.Rand) []evtxtest.Field {
	return append(seen(r), text("TargetFilename", fmt.Sprintf(`C:\Users\user%03d\file%x.tmp`, r.IntN(200), r.Uint32())), text("CreationUtcTime", "2026-03-02 08:00:00.000"))
}

func query(r *rand.Rand) []evtxtest.Field {
	return append(seen(r), text("QueryName", fmt.Sprintf("host%d.example.com", r.IntN(5000))), text("QueryStatus", "0"), text("QueryResults", "192.0.2.1;"))
}

func service(r *rand.Rand) []evtxtest.Field {
	return []evtxtest.Field{
		text("ServiceName", fmt.Sprintf("svc%d", r.IntN(500))), text("ImagePath", `C:\svc\svc.exe`), text("ServiceType", "user mode service"),
		text("StartType", "auto start"), text("AccountName", "LocalSystem"),
	}
}

func state(r *rand.Rand) []evtxtest.Field {
	return []evtxtest.Field{text("param1", fmt.Sprintf("Service %d", r.IntN(500))), text("param2", "running")}
}

func script(r *rand.Rand) []evtxtest.Field {
	return []evtxtest.Field{
		evtxtest.Named("MessageNumber", evtxtest.Uint32(1)), evtxtest.Named("MessageTotal", evtxtest.Uint32(1)),
		text("ScriptBlockText", fmt.Sprintf("Get-Item C:\\%x | Out-Null\nWrite-Output %d", r.Uint64(), r.IntN(1000))),
		text("ScriptBlockId", fmt.Sprintf("%08x-0000-0000-0000-%012x", r.Uint32(), r.Uint64()&0xffffffffffff)), text("Path", ""),
	}
}

// channels are what each computer logs: most of it has a table of its own, some
// is a log record.
func channels() []channel {
	return []channel{
		{"Security", auditing, []shape{{4624, logon}, {4625, logon}, {4688, process}, {4689, ended}}},
		{"Microsoft-Windows-Sysmon/Operational", sysmon, []shape{{1, created}, {3, connected}, {11, file}, {22, query}}},
		{"System", "Service Control Manager", []shape{{7045, service}, {7036, state}}},
		{"Microsoft-Windows-PowerShell/Operational", "Microsoft-Windows-PowerShell", []shape{{4104, script}}},
	}
}
