package bench

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

// Providers, channels and keywords as Windows writes them.
const (
	securityProvider = "Microsoft-Windows-Security-Auditing"
	securityGUID     = "{54849625-5478-4994-a5ba-3e3b0328c30d}"
	sysmonProvider   = "Microsoft-Windows-Sysmon"
	sysmonGUID       = "{5770385f-c22a-43e0-bf4c-06f5698ffbd9}"
	securityChannel  = "Security"
	sysmonChannel    = "Microsoft-Windows-Sysmon/Operational"
	systemSID        = "S-1-5-18"
	auditSuccess     = 0x8020000000000000
	operational      = 0x8000000000000000
)

// program is what processes of a host run.
type program struct {
	image, command, description, company, hashes string
}

// process is a running one.
type process struct {
	program
	pid     uint32
	guid    string
	parent  *process
	user    *account
	started time.Time
}

type account struct {
	name, sid string
	logon     uint64
}

// host is a made-up Windows machine whose audit policy and Sysmon tell nearly
// everything. Its records are a function of its number and the time given.
type host struct {
	name, address string
	random        *rand.Rand
	at            time.Time
	accounts      []account
	programs      []program
	live          []*process
	records       map[string]uint64 // newest record id by channel
}

// liveProcesses is how many processes a host has at any time.
const liveProcesses = 60

func newHost(number int, at time.Time) *host {
	h := &host{
		name: fmt.Sprintf("WS-%04d", number), address: fmt.Sprintf("10.%d.%d.%d", number>>16&255, number>>8&255, number&255),
		random: rand.New(rand.NewPCG(uint64(number), 0x6173736179)), at: at.UTC().Truncate(time.Millisecond), records: map[string]uint64{},
	}
	h.accounts = []account{{"SYSTEM", systemSID, 0x3e7}}
	for i, name := range []string{"a.keller", "m.okafor", "svc-backup"} {
		h.accounts = append(h.accounts, account{name, fmt.Sprintf("S-1-5-21-3623811015-3361044348-30300820-%d", 1100+7*i+number%50), 0x50000 + uint64(i)*0x1337})
	}
	names := []string{"svchost", "explorer", "chrome", "msedge", "OUTLOOK", "EXCEL", "powershell", "cmd", "conhost", "taskhostw", "backgroundTaskHost",
		"SearchProtocolHost", "RuntimeBroker", "dllhost", "MsMpEng", "pos-terminal", "wmiprvse", "git", "node", "notepad"}
	for i, name := range names {
		folder := []string{`C:\Windows\System32\`, `C:\Program Files\` + name + `\`, `C:\Program Files (x86)\Vendor\` + name + `\bin\`}[i%3]
		sum := sha256.Sum256([]byte(name))
		h.programs = append(h.programs, program{
			image: folder + name + ".exe", command: fmt.Sprintf(`"%s%s.exe" --type=%s --session=%%d -k netsvcs -p -s Service%d`, folder, name, name, i),
			description: "Host process of " + name, company: "Vendor Corporation",
			hashes: strings.ToUpper(fmt.Sprintf("md5=%x,sha256=%x,imphash=%x", sum[:16], sum, sum[16:])),
		})
	}
	for range liveProcesses {
		h.live = append(h.live, h.newProcess())
	}
	return h
}

func (h *host) newProcess() *process {
	p := &process{program: h.programs[h.random.IntN(len(h.programs))], pid: 4 * (200 + h.random.Uint32N(6000)), started: h.at,
		user: &h.accounts[h.random.IntN(len(h.accounts))]}
	p.command = fmt.Sprintf(p.command, h.random.IntN(100_000))
	p.guid = fmt.Sprintf("{c8b2a1f0-%04x-%04x-%04x-0000%08x}", uint16(h.at.Unix()), uint16(h.at.Unix()>>16), uint16(p.pid), h.random.Uint32())
	if len(h.live) > 0 {
		p.parent = h.process()
	}
	return p
}

// process picks a running one; few of them do most of the work.
func (h *host) process() *process {
	n := len(h.live)
	return h.live[h.random.IntN(1+h.random.IntN(n))]
}

func (h *host) tick() {
	h.at = h.at.Add(time.Duration(5+h.random.IntN(40)) * time.Millisecond)
}

func fields(pairs ...string) []winevent.Field {
	list := make([]winevent.Field, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, winevent.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return list
}

func (h *host) record(channel, provider, guid string, id uint32, version uint8, data []winevent.Field) *winevent.Record {
	h.records[channel]++
	r := &winevent.Record{
		RecordID: 4_000_000 + h.records[channel], Time: h.at, Provider: provider, ProviderGUID: guid, EventID: id, Version: version,
		Channel: channel, Computer: h.name + ".corp.example", ProcessID: 4, ThreadID: 4 * (20 + h.random.Uint32N(400)), Keywords: operational, Data: data,
	}
	if channel == sysmonChannel {
		r.Level, r.Task, r.UserSID, r.ProcessID = 4, uint16(id), systemSID, 3120
	}
	return r
}

func (h *host) audit(id uint32, version uint8, task uint16, pairs ...string) *winevent.Record {
	r := h.record(securityChannel, securityProvider, securityGUID, id, version, fields(pairs...))
	r.Task, r.Keywords = task, auditSuccess
	return r
}

// sysmon begins with the fields that all of Sysmon's records begin with.
func (h *host) sysmon(id uint32, version uint8, p *process, pairs ...string) *winevent.Record {
	head := []string{"RuleName", "-", "UtcTime", h.utc(h.at), "ProcessGuid", p.guid, "ProcessId", decimal(p.pid), "Image", p.image}
	return h.record(sysmonChannel, sysmonProvider, sysmonGUID, id, version, fields(append(head, pairs...)...))
}

func (h *host) utc(t time.Time) string { return t.Format("2006-01-02 15:04:05.000") }

func (h *host) subject(a *account) []string {
	return []string{"SubjectUserSid", a.sid, "SubjectUserName", a.name, "SubjectDomainName", "CORP", "SubjectLogonId", hex(a.logon)}
}

func hex[T uint32 | uint64](n T) string { return fmt.Sprintf("0x%x", n) }

func decimal[T uint32 | int](n T) string { return fmt.Sprint(n) }
