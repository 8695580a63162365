package fleet

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

// kind is what the System part of a record says, but for id, time and host.
type kind struct {
	channel    channel
	provider   string
	guid       string
	source     string // EventSourceName of classic providers
	id         uint32
	qualifiers uint16
	version    uint8
	level      uint8
	task       uint16
	opcode     uint8
	keywords   uint64
	sid        string // of the account that the event was logged as
	pid        uint32 // of the logging process
}

// Keywords as Windows writes them.
const (
	auditSuccess  = 0x8020000000000000
	auditFailure  = 0x8010000000000000
	eventlogAudit = 0x4020000000000000
	operational   = 0x8000000000000000
	classic       = 0x80000000000000
	classicSystem = 0x8080000000000000
)

const (
	systemSID       = "S-1-5-18"
	localServiceSID = "S-1-5-19"
	nobodySID       = "S-1-0-0"
)

// systemAccount is the operating system itself.
var systemAccount = account{"SYSTEM", systemSID}

// Provider GUIDs.
const (
	guidSecurity   = "{54849625-5478-4994-a5ba-3e3b0328c30d}"
	guidEventlog   = "{fc65ddd8-d6ef-4962-83d5-6e5cfe9ce148}"
	guidSysmon     = "{5770385f-c22a-43e0-bf4c-06f5698ffbd9}"
	guidKernel     = "{a68ca8b7-004f-d7b6-a698-07e2de0f1f5d}"
	guidSCM        = "{555908d1-a6d7-4695-8e1e-26931d2012f4}"
	guidUser32     = "{b0aa8734-56f7-41cc-b2f4-de228e98b946}"
	guidDefender   = "{11cd958a-c507-4ef3-b3f2-5fd9dfbd2c78}"
	guidFirewall   = "{d1bc9aff-2abf-4d71-9146-ecb2a986eb85}"
	guidPowerShell = "{a0c1853b-5c40-4b15-8766-3cf1c58f985a}"
	guidPartition  = "{412bdff2-a8c4-470d-8f33-63fe0d8c20e2}"
	guidUpdate     = "{945a8954-c147-4acd-923f-40c45405a658}"
	guidSPP        = "{e23b33b0-c8c9-472c-a5f9-f2bdfea0f156}"
)

// audit is a kind of the Security log.
func audit(id uint32, version uint8, task uint16) kind {
	return kind{
		channel: security, provider: "Microsoft-Windows-Security-Auditing", guid: guidSecurity,
		id: id, version: version, task: task, keywords: auditSuccess, pid: 4,
	}
}

// sysmonKind is a kind of Sysmon's, whose task is its id.
func sysmonKind(id uint32, version uint8) kind {
	return kind{
		channel: sysmon, provider: "Microsoft-Windows-Sysmon", guid: guidSysmon,
		id: id, version: version, level: 4, task: uint16(id), keywords: operational, sid: systemSID, pid: 3120,
	}
}

func defenderKind(id uint32) kind {
	return kind{
		channel: defender, provider: "Microsoft-Windows-Windows Defender", guid: guidDefender,
		id: id, level: 4, keywords: operational, sid: systemSID, pid: 3332,
	}
}

func firewallKind(id uint32) kind {
	return kind{
		channel: firewall, provider: "Microsoft-Windows-Windows Firewall With Advanced Security", guid: guidFirewall,
		id: id, level: 4, keywords: 0x8000020000000000, sid: localServiceSID, pid: 1072,
	}
}

func kernelKind(id uint32) kind {
	return kind{
		channel: system, provider: "Microsoft-Windows-Kernel-General", guid: guidKernel,
		id: id, level: 4, keywords: 0x8000000000000080, sid: systemSID, pid: 4,
	}
}

func classicKind(id uint32) kind {
	return kind{channel: system, provider: "EventLog", id: id, qualifiers: 0x8000, level: 4, keywords: classic}
}

func scmKind(id uint32) kind {
	return kind{
		channel: system, provider: "Service Control Manager", guid: guidSCM, source: "Service Control Manager",
		id: id, qualifiers: 0x4000, level: 4, keywords: classicSystem, pid: 712,
	}
}

// data makes fields of names and values in turn.
func data(pairs ...string) []winevent.Field {
	fields := make([]winevent.Field, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		fields = append(fields, winevent.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return fields
}

// userData makes the element that some providers write in EventData's place.
func userData(name string, pairs ...string) *winevent.Element {
	e := &winevent.Element{Name: name}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Children = append(e.Children, winevent.Element{Name: pairs[i], Text: pairs[i+1]})
	}
	return e
}

// record makes a record without its id, which it gets when its place in the log
// is known.
func (h *Host) record(k kind, at time.Time, fields []winevent.Field) *winevent.Record {
	return &winevent.Record{
		Time: at.UTC().Truncate(100 * time.Nanosecond), Provider: k.provider, ProviderGUID: k.guid, EventSourceName: k.source,
		EventID: k.id, Qualifiers: k.qualifiers, Version: k.version, Level: k.level, Task: k.task, Opcode: k.opcode,
		Keywords: k.keywords, Channel: channels[k.channel].name, Computer: h.FQDN(), UserSID: k.sid,
		ProcessID: k.pid, ThreadID: k.pid + 40, Data: fields,
	}
}

const ticksLayout = "2006-01-02T15:04:05.0000000Z"

// ticks is a time as Windows writes it in fields.
func ticks(t time.Time) string { return t.UTC().Format(ticksLayout) }

// sysmonTime is a time as Sysmon writes it.
func sysmonTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

func hex(n uint64) string { return fmt.Sprintf("0x%x", n) }

func decimal[T uint32 | uint64 | int](n T) string { return fmt.Sprint(n) }

// pid is a process id: a multiple of four.
func pid(r *rand.Rand) uint32 { return 4 * (300 + uint32(r.IntN(4700))) }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
