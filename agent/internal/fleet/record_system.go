package fleet

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/assay-audit/assay/agent/winevent"
)

// shutdownRequested is User32 1074.
func (h *Host) shutdownRequested(at time.Time, kindText string) *winevent.Record {
	k := kind{
		channel: system, provider: "User32", guid: guidUser32, source: "User32", id: 1074, qualifiers: 0x8000, level: 4,
		keywords: classicSystem, sid: h.user.sid, pid: 944,
	}
	return h.record(k, at, data("param1", `C:\Windows\System32\RuntimeBroker.exe (`+h.Name+`)`, "param2", h.Name,
		"param3", "Other (Unplanned)", "param4", "0x0", "param5", kindText, "param6", "", "param7", h.user.full()))
}

// kernelStop is Kernel-General 13, kernelStart 12.
func (h *Host) kernelStop(at time.Time) *winevent.Record {
	k := kernelKind(13)
	k.task = 2
	return h.record(k, at, data("StopTime", ticks(at)))
}

func (h *Host) kernelStart(at, booted time.Time) *winevent.Record {
	k := kernelKind(12)
	k.task = 1
	return h.record(k, at, data("MajorVersion", "10", "MinorVersion", "0", "BuildVersion", decimal(h.Build), "QfeVersion", "2314",
		"ServiceVersion", "0", "BootMode", "0", "StartTime", ticks(booted)))
}

// auditServiceStopped is Security 1100.
func (h *Host) auditServiceStopped(at time.Time) *winevent.Record {
	k := kind{
		channel: security, provider: "Microsoft-Windows-Eventlog", guid: guidEventlog, id: 1100, level: 4, task: 103,
		keywords: eventlogAudit, pid: 1180,
	}
	r := h.record(k, at, nil)
	r.UserData = userData("ServiceShutdown")
	return r
}

// logServiceStarted is EventLog 6005, logServiceStopped 6006, systemVersion 6009.
func (h *Host) logServiceStarted(at time.Time) *winevent.Record {
	return h.record(classicKind(6005), at, data("Binary", systemTimeBinary(at)+"0000000000000000"))
}

func (h *Host) logServiceStopped(at time.Time) *winevent.Record {
	return h.record(classicKind(6006), at, data("Binary", "0100000000000000"))
}

func (h *Host) systemVersion(at time.Time) *winevent.Record {
	return h.record(classicKind(6009), at, data("", "10.00.", "", decimal(h.Build), "", "", "", "Multiprocessor Free", "", "0"))
}

// systemTimeBinary is a SYSTEMTIME in upper-case hex.
func systemTimeBinary(t time.Time) string {
	t = t.UTC()
	var b []byte
	for _, v := range []int{
		t.Year(), int(t.Month()), int(t.Weekday()), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond() / 1e6,
	} {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return fmt.Sprintf("%X", b)
}

// serviceState is SCM 7036: code 4 is running, 1 stopped.
func (h *Host) serviceState(at time.Time, display, name string, running bool) *winevent.Record {
	state, code := "stopped", "1"
	if running {
		state, code = "running", "4"
	}
	var b []byte
	for _, u := range utf16.Encode([]rune(name + "/" + code + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return h.record(scmKind(7036), at, data("param1", display, "param2", state, "Binary", strings.ToUpper(fmt.Sprintf("%x", b))))
}

// serviceStartType is SCM 7040.
func (h *Host) serviceStartType(at time.Time, display, name, from, to string) *winevent.Record {
	k := scmKind(7040)
	k.sid = systemSID
	return h.record(k, at, data("param1", display, "param2", from, "param3", to, "param4", name))
}

// updateInstalled is WindowsUpdateClient 19.
func (h *Host) updateInstalled(at time.Time, title string) *winevent.Record {
	k := kind{
		channel: system, provider: "Microsoft-Windows-WindowsUpdateClient", guid: guidUpdate, id: 19, version: 1, level: 4,
		task: 1, opcode: 13, keywords: 0x8000000000000018, sid: systemSID, pid: 4436,
	}
	return h.record(k, at, data("updateTitle", title, "updateGuid", "{"+h.uuid(purposeDay, uint64(at.Unix()))+"}", "updateRevisionNumber", "200",
		"serviceGuid", "{7971f918-a847-4430-9279-4a52d1efe18d}"))
}

// licensing is Security-SPP 16394 in the Application log.
func (h *Host) licensing(at time.Time) *winevent.Record {
	k := kind{
		channel: application, provider: "Microsoft-Windows-Security-SPP", guid: guidSPP, source: "Software Protection Platform Service",
		id: 16394, qualifiers: 0xc000, level: 4, keywords: classic,
	}
	return h.record(k, at, nil)
}

// scriptBlock is PowerShell 4104.
func (h *Host) scriptBlock(at time.Time, s session, text, id string) *winevent.Record {
	k := kind{
		channel: powershell, provider: "Microsoft-Windows-PowerShell", guid: guidPowerShell, id: 4104, version: 1, level: 5, task: 2,
		opcode: 15, sid: s.sid, pid: 6760,
	}
	return h.record(k, at, data("MessageNumber", "1", "MessageTotal", "1", "ScriptBlockText", text, "ScriptBlockId", id, "Path", ""))
}

// firewallProfile is 2003, from Windows 11 on 2082: a profile's own switch.
func (h *Host) firewallProfile(at time.Time, profile string, on bool, who account) *winevent.Record {
	value, text, id := "00000000", "No", uint32(2003)
	if on {
		value, text = "01000000", "Yes"
	}
	fields := data("Profiles", profile, "SettingType", "1", "SettingValueSize", "4", "SettingValue", value, "SettingValueString", text,
		"Origin", "1", "ModifyingUser", who.sid, "ModifyingApplication", `C:\Windows\System32\netsh.exe`)
	if h.Build >= 22000 {
		id = 2082
		fields = append(fields, data("ErrorCode", "0")...)
	}
	return h.record(firewallKind(id), at, fields)
}

// firewallRule is 2004: a rule was added.
func (h *Host) firewallRule(at time.Time, name, application string) *winevent.Record {
	return h.record(firewallKind(2004), at, data("RuleId", "{"+h.uuid(purposeDay, uint64(at.UnixNano()))+"}", "RuleName", name, "Origin", "1",
		"ApplicationPath", application, "ServiceName", "", "Direction", "1", "Protocol", "6", "LocalPorts", "*", "RemotePorts", "*",
		"Action", "3", "Profiles", "1", "LocalAddresses", "*", "RemoteAddresses", "*", "RemoteMachineAuthorizationList", "",
		"RemoteUserAuthorizationList", "", "EmbeddedContext", "", "Flags", "1", "Active", "1", "EdgeTraversal", "0", "LooseSourceMapped", "0",
		"SecurityOptions", "0", "ModifyingUser", systemSID, "ModifyingApplication", `C:\Windows\System32\svchost.exe`,
		"SchemaVersion", "542", "RuleStatus", "65536", "LocalOnlyMapped", "0"))
}
