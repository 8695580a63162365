package fleet

import (
	"strings"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

// session is a logon session.
type session struct {
	account
	id   uint64 // logon id
	kind int    // 2 interactive, 3 network, 5 service
}

const (
	systemLogon = 0x3e7
	noGUID      = "{00000000-0000-0000-0000-000000000000}"
)

// subject is the four fields that say who did it.
func subject(a account, domain string, logon uint64) []string {
	return []string{"SubjectUserSid", a.sid, "SubjectUserName", a.name, "SubjectDomainName", domain, "SubjectLogonId", hex(logon)}
}

var nobody = []string{"SubjectUserSid", nobodySID, "SubjectUserName", "-", "SubjectDomainName", "-", "SubjectLogonId", "0x0"}

// asMachine is the subject of what the system does itself.
func (h *Host) asMachine() []string { return subject(h.machine, netbiosDomain, systemLogon) }

func join(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// logon is 4624 v2.
func (h *Host) logon(at time.Time, s session, from, port string) *winevent.Record {
	who, process, program, package_, guid, workstation := nobody, "0x0", "-", "Kerberos", "{"+h.uuid(purposeMinute, s.id)+"}", "-"
	logonProcess := "Kerberos"
	if s.kind != 3 {
		who, logonProcess, package_, guid, workstation = h.asMachine(), "User32 ", "Negotiate", noGUID, h.Name
		process, program = "0x2b8", `C:\Windows\System32\svchost.exe`
	}
	if s.kind == 5 {
		logonProcess, workstation = "Advapi  ", "-"
		process, program = "0x318", `C:\Windows\System32\services.exe`
	}
	elevated := "%%1843"
	if s.name == h.admin.name || s.sid == systemSID {
		elevated = "%%1842"
	}
	domain := netbiosDomain
	if s.sid == systemSID {
		domain = "NT AUTHORITY"
	}
	return h.record(audit(4624, 2, 12544), at, data(join(who, []string{
		"TargetUserSid", s.sid, "TargetUserName", s.name, "TargetDomainName", domain, "TargetLogonId", hex(s.id),
		"LogonType", decimal(s.kind), "LogonProcessName", logonProcess, "AuthenticationPackageName", package_,
		"WorkstationName", workstation, "LogonGuid", guid, "TransmittedServices", "-", "LmPackageName", "-", "KeyLength", "0",
		"ProcessId", process, "ProcessName", program, "IpAddress", from, "IpPort", port, "ImpersonationLevel", "%%1833",
		"RestrictedAdminMode", "-", "TargetOutboundUserName", "-", "TargetOutboundDomainName", "-", "VirtualAccount", "%%1843",
		"TargetLinkedLogonId", "0x0", "ElevatedToken", elevated,
	})...))
}

// failedLogon is 4625: a wrong password.
func (h *Host) failedLogon(at time.Time, a account, kind int, from, port string) *winevent.Record {
	k := audit(4625, 0, 12544)
	k.keywords = auditFailure
	return h.record(k, at, data(join(h.asMachine(), []string{
		"TargetUserSid", nobodySID, "TargetUserName", a.name, "TargetDomainName", netbiosDomain, "Status", "0xc000006d",
		"FailureReason", "%%2313", "SubStatus", "0xc000006a", "LogonType", decimal(kind), "LogonProcessName", "User32 ",
		"AuthenticationPackageName", "Negotiate", "WorkstationName", h.Name, "TransmittedServices", "-", "LmPackageName", "-",
		"KeyLength", "0", "ProcessId", "0x2b8", "ProcessName", `C:\Windows\System32\svchost.exe`, "IpAddress", from, "IpPort", port,
	})...))
}

// logoff is 4634.
func (h *Host) logoff(at time.Time, s session) *winevent.Record {
	return h.record(audit(4634, 0, 12545), at, data("TargetUserSid", s.sid, "TargetUserName", s.name, "TargetDomainName", netbiosDomain,
		"TargetLogonId", hex(s.id), "LogonType", decimal(s.kind)))
}

// userLogoff is 4647: the user asked for it.
func (h *Host) userLogoff(at time.Time, s session) *winevent.Record {
	return h.record(audit(4647, 0, 12545), at, data("TargetUserSid", s.sid, "TargetUserName", s.name, "TargetDomainName", netbiosDomain,
		"TargetLogonId", hex(s.id)))
}

var privileges = strings.Join([]string{
	"SeSecurityPrivilege", "SeBackupPrivilege", "SeRestorePrivilege", "SeTakeOwnershipPrivilege", "SeDebugPrivilege",
	"SeSystemEnvironmentPrivilege", "SeLoadDriverPrivilege", "SeImpersonatePrivilege",
}, "\r\n\t\t\t")

// specialPrivileges is 4672.
func (h *Host) specialPrivileges(at time.Time, s session) *winevent.Record {
	domain := netbiosDomain
	if s.sid == systemSID {
		domain = "NT AUTHORITY"
	}
	return h.record(audit(4672, 0, 12548), at, data(append(subject(s.account, domain, s.id), "PrivilegeList", privileges)...))
}

// auditedProcess is 4688 v2.
func (h *Host) auditedProcess(at time.Time, p process) *winevent.Record {
	who := subject(p.session.account, netbiosDomain, p.session.id)
	label, elevation := "S-1-16-8192", "%%1938"
	if p.session.sid == systemSID {
		who = h.asMachine()
		label, elevation = "S-1-16-16384", "%%1936"
	}
	return h.record(audit(4688, 2, 13312), at, data(join(who, []string{
		"NewProcessId", hex(uint64(p.pid)), "NewProcessName", p.image, "TokenElevationType", elevation,
		"ProcessId", hex(uint64(p.parentPID)), "CommandLine", p.command,
		"TargetUserSid", nobodySID, "TargetUserName", "-", "TargetDomainName", "-", "TargetLogonId", "0x0",
		"ParentProcessName", p.parent.image, "MandatoryLabel", label,
	})...))
}

// Audit subcategories that the script touches.
const (
	subcategoryProcessCreation = "{0cce922b-69ae-11d9-bed3-505054503030}"
	subcategoryLogon           = "{0cce9215-69ae-11d9-bed3-505054503030}"
)

// subcategoryIDs are the category and subcategory as message numbers.
var subcategoryIDs = map[string][2]string{
	subcategoryProcessCreation: {"%%8276", "%%13312"},
	subcategoryLogon:           {"%%8273", "%%12544"},
}

// Changes of 4719.
const (
	successRemoved = "%%8448"
	allRemoved     = "%%8448, %%8450"
	allAdded       = "%%8449, %%8451"
)

// auditPolicyChange is 4719.
func (h *Host) auditPolicyChange(at time.Time, subcategory, changes string) *winevent.Record {
	ids := subcategoryIDs[subcategory]
	return h.record(audit(4719, 0, 13568), at, data(append(subject(h.admin, netbiosDomain, 0x51b2e7),
		"CategoryId", ids[0], "SubcategoryId", ids[1], "SubcategoryGuid", subcategory, "AuditPolicyChanges", changes)...))
}

// timeChange is 4616 v1.
func (h *Host) timeChange(at, previous time.Time, who []string, pid uint32, program string) *winevent.Record {
	return h.record(audit(4616, 1, 12288), at, data(append(who, "PreviousTime", ticks(previous), "NewTime", ticks(at),
		"ProcessId", hex(uint64(pid)), "ProcessName", program)...))
}

// kernelTimeChange is Kernel-General 1 v2.
func (h *Host) kernelTimeChange(at, previous time.Time, pid uint32, devicePath string) *winevent.Record {
	k := kernelKind(1)
	k.version, k.task, k.keywords, k.sid = 2, 5, 0x8000000000000010, localServiceSID
	return h.record(k, at, data("NewTime", ticks(at), "OldTime", ticks(previous), "Reason", "1",
		"ProcessName", devicePath, "ProcessID", decimal(pid)))
}

// securityCleared is 1102, systemCleared 104 for the log of that name.
func (h *Host) securityCleared(at time.Time) *winevent.Record {
	k := kind{
		channel: security, provider: "Microsoft-Windows-Eventlog", guid: guidEventlog, id: 1102, level: 4, task: 104,
		keywords: eventlogAudit, pid: 1180,
	}
	r := h.record(k, at, nil)
	r.UserData = userData("LogFileCleared", subject(h.admin, netbiosDomain, 0x51b2e7)...)
	return r
}

func (h *Host) systemCleared(at time.Time, log string) *winevent.Record {
	k := kind{
		channel: system, provider: "Microsoft-Windows-Eventlog", guid: guidEventlog, id: 104, level: 4, task: 104,
		keywords: operational, sid: h.admin.sid, pid: 1180,
	}
	r := h.record(k, at, nil)
	r.UserData = userData("LogFileCleared", "SubjectUserName", h.admin.name, "SubjectDomainName", netbiosDomain, "Channel", log, "BackupPath", "")
	return r
}

// taskCreated is 4698, taskUpdated 4702.
func (h *Host) taskCreated(at time.Time, name, command string) *winevent.Record {
	return h.record(audit(4698, 0, 12804), at, data(append(subject(h.admin, netbiosDomain, 0x51b2e7),
		"TaskName", name, "TaskContent", taskXML(name, command))...))
}

func (h *Host) taskUpdated(at time.Time, name, command string) *winevent.Record {
	return h.record(audit(4702, 0, 12804), at, data(append(h.asMachine(), "TaskName", name, "TaskContentNew", taskXML(name, command))...))
}

func taskXML(name, command string) string {
	return "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n<Task version=\"1.4\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\r\n" +
		"  <RegistrationInfo>\r\n    <URI>" + name + "</URI>\r\n  </RegistrationInfo>\r\n  <Triggers>\r\n    <CalendarTrigger>\r\n" +
		"      <StartBoundary>2026-01-01T03:00:00</StartBoundary>\r\n      <ScheduleByDay>\r\n        <DaysInterval>1</DaysInterval>\r\n" +
		"      </ScheduleByDay>\r\n    </CalendarTrigger>\r\n  </Triggers>\r\n  <Principals>\r\n    <Principal id=\"Author\">\r\n" +
		"      <UserId>S-1-5-18</UserId>\r\n    </Principal>\r\n  </Principals>\r\n  <Actions Context=\"Author\">\r\n    <Exec>\r\n" +
		"      <Command>" + command + "</Command>\r\n    </Exec>\r\n  </Actions>\r\n</Task>"
}

// plain is an audit event without fields: 4608, 5024, 5033.
func (h *Host) plain(at time.Time, id uint32, task uint16) *winevent.Record {
	return h.record(audit(id, 0, task), at, nil)
}
