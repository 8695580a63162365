package bench

import (
	"fmt"

	"github.com/assay-audit/assay/agent/winevent"
)

// mix is what a fully audited host writes, in parts of a hundred.
var mix = []struct {
	weight int
	write  func(*host) *winevent.Record
}{
	{9, (*host).processStart},
	{8, (*host).auditedStart},
	{8, (*host).processExit},
	{13, (*host).fileCreate},
	{10, (*host).fileAccess},
	{9, (*host).registrySet},
	{7, (*host).imageLoad},
	{11, (*host).connection},
	{8, (*host).filterConnection},
	{8, (*host).query},
	{3, (*host).logon},
	{2, (*host).privileges},
	{4, (*host).other},
}

// next is the host's next record.
func (h *host) next() *winevent.Record {
	h.tick()
	n := h.random.IntN(100)
	for _, part := range mix {
		if n -= part.weight; n < 0 {
			return part.write(h)
		}
	}
	return h.other()
}

// processStart is Sysmon 1; the new process takes an old one's place.
func (h *host) processStart() *winevent.Record {
	p := h.newProcess()
	h.live[h.random.IntN(len(h.live))] = p
	return h.sysmon(1, 5, p, "FileVersion", "10.0.19041.1", "Description", p.description, "Product", p.description, "Company", p.company,
		"OriginalFileName", "original.exe", "CommandLine", p.command, "CurrentDirectory", `C:\Windows\system32\`, "User", `CORP\`+p.user.name,
		"LogonGuid", p.guid, "LogonId", hex(p.user.logon), "TerminalSessionId", "1", "IntegrityLevel", "Medium", "Hashes", p.hashes,
		"ParentProcessGuid", p.parent.guid, "ParentProcessId", decimal(p.parent.pid), "ParentImage", p.parent.image,
		"ParentCommandLine", p.parent.command, "ParentUser", `CORP\`+p.parent.user.name)
}

// auditedStart is Security 4688.
func (h *host) auditedStart() *winevent.Record {
	p := h.newProcess()
	return h.audit(4688, 2, 13312, append(h.subject(p.user), "NewProcessId", hex(p.pid), "NewProcessName", p.image, "TokenElevationType", "%%1938",
		"ProcessId", hex(p.parent.pid), "CommandLine", p.command, "TargetUserSid", "S-1-0-0", "TargetUserName", "-", "TargetDomainName", "-",
		"TargetLogonId", "0x0", "ParentProcessName", p.parent.image, "MandatoryLabel", "S-1-16-8192")...)
}

func (h *host) processExit() *winevent.Record {
	p := h.process()
	return h.sysmon(5, 3, p, "User", `CORP\`+p.user.name)
}

func (h *host) path() string {
	folders := []string{`C:\ProgramData\Vendor\journal\`, `C:\Users\a.keller\AppData\Local\Temp\`, `C:\Users\m.okafor\Documents\`, `C:\POS\data\`}
	return fmt.Sprintf("%s%x-%x.tmp", folders[h.random.IntN(len(folders))], h.random.Uint32(), h.random.Uint32())
}

func (h *host) fileCreate() *winevent.Record {
	p := h.process()
	return h.sysmon(11, 2, p, "TargetFilename", h.path(), "CreationUtcTime", h.utc(h.at), "User", `CORP\`+p.user.name)
}

func (h *host) fileAccess() *winevent.Record {
	p := h.process()
	return h.audit(4663, 1, 12800, append(h.subject(p.user), "ObjectServer", "Security", "ObjectType", "File", "ObjectName", h.path(),
		"HandleId", hex(h.random.Uint32N(8192)*4), "AccessList", "%%4417\r\n\t\t\t\t", "AccessMask", "0x2", "ProcessId", hex(p.pid),
		"ProcessName", p.image, "ResourceAttributes", "S:AI")...)
}

func (h *host) registrySet() *winevent.Record {
	p := h.process()
	return h.sysmon(13, 2, p, "EventType", "SetValue", "TargetObject",
		fmt.Sprintf(`HKU\%s\Software\Vendor\Component%d\Setting%d`, p.user.sid, h.random.IntN(40), h.random.IntN(400)),
		"Details", fmt.Sprintf("DWORD (0x%08x)", h.random.Uint32()), "User", `CORP\`+p.user.name)
}

func (h *host) imageLoad() *winevent.Record {
	p, loaded := h.process(), h.programs[h.random.IntN(len(h.programs))]
	return h.sysmon(7, 3, p, "ImageLoaded", loaded.image[:len(loaded.image)-3]+"dll", "FileVersion", "10.0.19041.1", "Description", loaded.description,
		"Product", loaded.description, "Company", loaded.company, "OriginalFileName", "original.dll", "Hashes", loaded.hashes,
		"Signed", "true", "Signature", "Vendor Corporation", "SignatureStatus", "Valid", "User", `CORP\`+p.user.name)
}

func (h *host) remote() (address, port string) {
	return fmt.Sprintf("203.0.113.%d", h.random.IntN(250)), []string{"443", "443", "80", "445", "53"}[h.random.IntN(5)]
}

func (h *host) connection() *winevent.Record {
	p := h.process()
	address, port := h.remote()
	return h.sysmon(3, 5, p, "User", `CORP\`+p.user.name, "Protocol", "tcp", "Initiated", "true", "SourceIsIpv6", "false", "SourceIp", h.address,
		"SourceHostname", h.name+".corp.example", "SourcePort", decimal(49152+h.random.IntN(16000)), "SourcePortName", "-", "DestinationIsIpv6", "false",
		"DestinationIp", address, "DestinationHostname", "-", "DestinationPort", port, "DestinationPortName", "https")
}

// filterConnection is Security 5156.
func (h *host) filterConnection() *winevent.Record {
	p := h.process()
	address, port := h.remote()
	return h.audit(5156, 1, 12810, "ProcessID", decimal(p.pid), "Application", `\device\harddiskvolume3`+p.image[2:], "Direction", "%%14593",
		"SourceAddress", h.address, "SourcePort", decimal(49152+h.random.IntN(16000)), "DestAddress", address, "DestPort", port, "Protocol", "6",
		"FilterRTID", "71234", "LayerName", "%%14611", "LayerRTID", "48", "RemoteUserID", "S-1-0-0", "RemoteMachineID", "S-1-0-0")
}

func (h *host) query() *winevent.Record {
	p := h.process()
	address, _ := h.remote()
	return h.sysmon(22, 5, p, "QueryName", fmt.Sprintf("s%d.cdn.example", h.random.IntN(5000)), "QueryStatus", "0",
		"QueryResults", "::ffff:"+address+";", "User", `CORP\`+p.user.name)
}

func (h *host) logon() *winevent.Record {
	a := &h.accounts[h.random.IntN(len(h.accounts))]
	return h.audit(4624, 2, 12544, append(h.subject(&h.accounts[0]), "TargetUserSid", a.sid, "TargetUserName", a.name, "TargetDomainName", "CORP",
		"TargetLogonId", hex(a.logon), "LogonType", "3", "LogonProcessName", "Kerberos", "AuthenticationPackageName", "Kerberos", "WorkstationName", "-",
		"LogonGuid", h.process().guid, "TransmittedServices", "-", "LmPackageName", "-", "KeyLength", "0", "ProcessId", "0x0", "ProcessName", "-",
		"IpAddress", h.address, "IpPort", decimal(49152+h.random.IntN(16000)), "ImpersonationLevel", "%%1833", "RestrictedAdminMode", "-",
		"TargetOutboundUserName", "-", "TargetOutboundDomainName", "-", "VirtualAccount", "%%1843", "TargetLinkedLogonId", "0x0", "ElevatedToken", "%%1843")...)
}

func (h *host) privileges() *winevent.Record {
	return h.audit(4672, 0, 12548, append(h.subject(&h.accounts[h.random.IntN(len(h.accounts))]),
		"PrivilegeList", "SeSecurityPrivilege\r\n\t\t\tSeBackupPrivilege\r\n\t\t\tSeRestorePrivilege\r\n\t\t\tSeTakeOwnershipPrivilege\r\n\t\t\tSeDebugPrivilege")...)
}

// other is a record that no table is for.
func (h *host) other() *winevent.Record {
	return h.record("Microsoft-Windows-GroupPolicy/Operational", "Microsoft-Windows-GroupPolicy", "{aea1b4fa-97d1-45f2-a64c-4d69fffd92c9}",
		5312+h.random.Uint32N(8), 0, fields("DescriptionString", fmt.Sprintf("Default Domain Policy %d", h.random.IntN(90)),
			"GPOInfoList", `<GPO ID="{31B2F340-016D-11D2-945F-00C04FB984F9}"><Name>Default Domain Policy</Name></GPO>`))
}
