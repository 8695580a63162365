package fleet

import (
	"crypto/md5" //nolint:gosec // what Sysmon writes
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

// process is a process as Sysmon and the audit log tell of it.
type process struct {
	*program
	session   session
	parent    *program
	command   string
	pid       uint32
	parentPID uint32
	started   time.Time
}

// processGUID is Sysmon's GUID of a process: machine, start time, and the token's id.
func (h *Host) processGUID(started time.Time, pid uint32) string {
	s := uint32(started.Unix())
	return fmt.Sprintf("{%s-%04x-%04x-%04x-0000%08x}", h.guid, s&0xffff, s>>16, pid&0xffff, h.Build)
}

// accountText is the account as Sysmon writes it.
func accountText(a account) string {
	if a.sid == systemSID {
		return `NT AUTHORITY\SYSTEM`
	}
	return a.full()
}

// sysmonProcess is Sysmon 1 v5.
func (h *Host) sysmonProcess(p process) *winevent.Record {
	integrity, terminal := "Medium", "1"
	if p.session.sid == systemSID {
		integrity, terminal = "System", "0"
	}
	booted := p.started.Add(-26 * time.Hour)
	return h.record(sysmonKind(1, 5), p.started, data(
		"RuleName", "-", "UtcTime", sysmonTime(p.started), "ProcessGuid", h.processGUID(p.started, p.pid), "ProcessId", decimal(p.pid),
		"Image", p.image, "FileVersion", p.version, "Description", p.description, "Product", p.product, "Company", p.company,
		"OriginalFileName", p.original, "CommandLine", p.command, "CurrentDirectory", p.directory, "User", accountText(p.session.account),
		"LogonGuid", h.processGUID(booted, uint32(p.session.id)), "LogonId", hex(p.session.id), "TerminalSessionId", terminal,
		"IntegrityLevel", integrity, "Hashes", p.hashes,
		"ParentProcessGuid", h.processGUID(booted, p.parentPID), "ParentProcessId", decimal(p.parentPID),
		"ParentImage", p.parent.image, "ParentCommandLine", p.parent.commands[0], "ParentUser", accountText(p.session.account)))
}

// sysmonExit is Sysmon 5 v3.
func (h *Host) sysmonExit(at time.Time, p process) *winevent.Record {
	return h.record(sysmonKind(5, 3), at, data("RuleName", "-", "UtcTime", sysmonTime(at), "ProcessGuid", h.processGUID(p.started, p.pid),
		"ProcessId", decimal(p.pid), "Image", p.image, "User", accountText(p.session.account)))
}

// sysmonFile is Sysmon 11 v2.
func (h *Host) sysmonFile(at time.Time, p process, name string) *winevent.Record {
	return h.record(sysmonKind(11, 2), at, data("RuleName", "-", "UtcTime", sysmonTime(at), "ProcessGuid", h.processGUID(p.started, p.pid),
		"ProcessId", decimal(p.pid), "Image", p.image, "TargetFilename", name, "CreationUtcTime", sysmonTime(at),
		"User", accountText(p.session.account)))
}

// destination is somewhere that hosts connect to.
type destination struct {
	name, address string
	port          int
	portName      string
}

// sysmonConnection is Sysmon 3 v5.
func (h *Host) sysmonConnection(at time.Time, p process, d destination, port uint32) *winevent.Record {
	return h.record(sysmonKind(3, 5), at, data("RuleName", "-", "UtcTime", sysmonTime(at), "ProcessGuid", h.processGUID(p.started, p.pid),
		"ProcessId", decimal(p.pid), "Image", p.image, "User", accountText(p.session.account), "Protocol", "tcp", "Initiated", "true",
		"SourceIsIpv6", "false", "SourceIp", h.Address, "SourceHostname", h.FQDN(), "SourcePort", decimal(port), "SourcePortName", "-",
		"DestinationIsIpv6", "false", "DestinationIp", d.address, "DestinationHostname", "-", "DestinationPort", decimal(d.port),
		"DestinationPortName", d.portName))
}

// sysmonQuery is Sysmon 22 v5.
func (h *Host) sysmonQuery(at time.Time, p process, d destination, status string) *winevent.Record {
	results := "::ffff:" + d.address + ";"
	if status != "0" {
		results = "-"
	}
	return h.record(sysmonKind(22, 5), at, data("RuleName", "-", "UtcTime", sysmonTime(at), "ProcessGuid", h.processGUID(p.started, p.pid),
		"ProcessId", decimal(p.pid), "QueryName", d.name, "QueryStatus", status, "QueryResults", results, "Image", p.image,
		"User", accountText(p.session.account)))
}

// sysmonRegistry is Sysmon 13 v2.
func (h *Host) sysmonRegistry(at time.Time, p process, object, details string) *winevent.Record {
	return h.record(sysmonKind(13, 2), at, data("RuleName", "-", "EventType", "SetValue", "UtcTime", sysmonTime(at),
		"ProcessGuid", h.processGUID(p.started, p.pid), "ProcessId", decimal(p.pid), "Image", p.image,
		"TargetObject", object, "Details", details, "User", accountText(p.session.account)))
}

// sysmonState is Sysmon 4 v3.
func (h *Host) sysmonState(at time.Time, state string) *winevent.Record {
	return h.record(sysmonKind(4, 3), at, data("UtcTime", sysmonTime(at), "State", state, "Version", "15.15", "SchemaVersion", "4.90"))
}

// fileHashes makes the hashes of a program that does not exist.
func fileHashes(image, version string) string {
	sum := md5.Sum([]byte(image + version)) //nolint:gosec // no security rests on it
	sha := sha256.Sum256([]byte(image + version))
	return strings.ToUpper(fmt.Sprintf("md5=%x,sha256=%x,imphash=%x", sum, sha, sha[16:]))
}
