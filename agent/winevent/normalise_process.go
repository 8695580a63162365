package winevent

import (
	"strings"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

// processRows: processes, and what they open, load and inject.
func processRows() []row {
	return []row{
		{telemetry.SysmonProvider, []uint32{1}, sysmonProcess("PROC_CREATE")},
		{telemetry.SysmonProvider, []uint32{5}, sysmonProcess("PROC_TERMINATE")},
		{telemetry.SysmonProvider, []uint32{25}, sysmonProcess("PROC_TAMPER")},
		{telemetry.SysmonProvider, []uint32{6}, driverLoad},
		{telemetry.SysmonProvider, []uint32{7}, imageLoad},
		{telemetry.SysmonProvider, []uint32{8}, remoteThread},
		{telemetry.SysmonProvider, []uint32{10}, processOpen},
		{providerSecurity, []uint32{4688}, auditProcessCreate},
		{providerSecurity, []uint32{4689}, auditProcessExit},
		{providerSecurity, []uint32{4696}, auditTokenAssign},
	}
}

func sysmonProcess(action string) mapping {
	return func(m *mapper) {
		h := m.hashes("Hashes")
		e := &telemetryv1.ProcessEvent{
			Action:            action,
			Pid:               m.u32("ProcessId"),
			ProcessGuid:       m.guid("ProcessGuid"),
			Path:              m.path("Image"),
			Cmdline:           m.text("CommandLine"),
			CurrentDirectory:  m.path("CurrentDirectory"),
			ParentPid:         m.u32("ParentProcessId"),
			ParentProcessGuid: m.guid("ParentProcessGuid"),
			ParentPath:        m.path("ParentImage"),
			ParentCmdline:     m.text("ParentCommandLine"),
			ParentOwnerUid:    m.text("ParentUser"),
			OwnerUid:          m.text("User"),
			LogonId:           m.logon("LogonId"),
			LogonGuid:         m.guid("LogonGuid"),
			SessionId:         m.u32("TerminalSessionId"),
			IntegrityLevel:    integrity(m.text("IntegrityLevel")),
			Md5:               h.md5,
			Sha1:              h.sha1,
			Sha256:            h.sha256,
			Imphash:           h.imphash,
			FileVersion:       m.text("FileVersion"),
			Description:       m.text("Description"),
			Product:           m.text("Product"),
			Company:           m.text("Company"),
			OriginalFileName:  m.text("OriginalFileName"),
			TamperType:        m.text("Type"),
		}
		m.event.Body = &telemetryv1.Event_Process{Process: e}
	}
}

func integrity(s string) string {
	if level, ok := integrityLevels[s]; ok {
		return level
	}
	return strings.ToLower(s)
}

// auditProcessCreate: what 4688 calls creator is the parent that the process
// inherits from, which its caller may choose; who really called is in no event
// of the audit log.
func auditProcessCreate(m *mapper) {
	e := &telemetryv1.ProcessEvent{
		Action:         "PROC_CREATE",
		Pid:            m.u32("NewProcessId"),
		Path:           m.path("NewProcessName"),
		Cmdline:        m.text("CommandLine"),
		ParentPid:      m.u32("ProcessId"),
		ParentPath:     m.path("ParentProcessName"),
		IntegrityLevel: integrity(m.text("MandatoryLabel")),
		Elevation:      tokenElevations[m.text("TokenElevationType")],
	}
	m.owner(e)
	m.event.Body = &telemetryv1.Event_Process{Process: e}
}

// owner: the target is the account that the process runs as. Where there is
// none it runs as the subject, who started it.
func (m *mapper) owner(e *telemetryv1.ProcessEvent) {
	subject, subjectSID := m.account("SubjectDomainName", "SubjectUserName"), m.sid("SubjectUserSid")
	e.OwnerUid, e.OwnerSid, e.LogonId = m.account("TargetDomainName", "TargetUserName"), m.sid("TargetUserSid"), m.logon("TargetLogonId")
	if e.OwnerUid == "" && e.OwnerSid == "" {
		e.OwnerUid, e.OwnerSid, e.LogonId = subject, subjectSID, m.logon("SubjectLogonId")
		return
	}
	e.CreatorUid, e.CreatorSid = subject, subjectSID
}

func auditProcessExit(m *mapper) {
	e := &telemetryv1.ProcessEvent{
		Action:   "PROC_TERMINATE",
		Pid:      m.u32("ProcessId"),
		Path:     m.path("ProcessName"),
		ExitCode: m.hex("Status"),
	}
	m.owner(e)
	m.event.Body = &telemetryv1.Event_Process{Process: e}
}

func auditTokenAssign(m *mapper) {
	e := &telemetryv1.ProcessEvent{
		Action:      "PROC_TOKEN_ASSIGN",
		Pid:         m.u32("TargetProcessId"),
		Path:        m.path("TargetProcessName"),
		CreatorPid:  m.u32("ProcessId"),
		CreatorPath: m.path("ProcessName"),
	}
	m.owner(e)
	m.event.Body = &telemetryv1.Event_Process{Process: e}
}

func processOpen(m *mapper) {
	e := &telemetryv1.ProcessOpenEvent{
		Action:             "PROC_OPEN",
		SrcPid:             m.u32("SourceProcessId"),
		SrcProcessGuid:     m.guid("SourceProcessGUID", "SourceProcessGuid"),
		SrcPath:            m.path("SourceImage"),
		SrcThreadId:        m.u32("SourceThreadId"),
		TargetPid:          m.u32("TargetProcessId"),
		TargetProcessGuid:  m.guid("TargetProcessGUID", "TargetProcessGuid"),
		TargetPath:         m.path("TargetImage"),
		GrantedAccess:      m.hex("GrantedAccess"),
		GrantedAccessValue: m.u32("GrantedAccess"),
		CallTrace:          m.text("CallTrace"),
		OwnerUid:           m.text("SourceUser"),
		TargetOwnerUid:     m.text("TargetUser"),
	}
	m.event.Body = &telemetryv1.Event_ProcessOpen{ProcessOpen: e}
}

// auditProcessObject is 4656 and 4663 where the object is a process.
func (m *mapper) auditProcessObject() {
	e := &telemetryv1.ProcessOpenEvent{
		Action:             "PROC_OPEN",
		SrcPid:             m.u32("ProcessId"),
		SrcPath:            m.path("ProcessName"),
		TargetPath:         m.path("ObjectName"),
		GrantedAccess:      m.hex("AccessMask"),
		GrantedAccessValue: m.u32("AccessMask"),
		OwnerUid:           m.account("SubjectDomainName", "SubjectUserName"),
		OwnerSid:           m.sid("SubjectUserSid"),
		LogonId:            m.logon("SubjectLogonId"),
		HandleId:           m.hex("HandleId"),
	}
	switch {
	case m.record.EventID == 4663:
		e.Action = "PROC_ACCESS"
	case m.outcome() == "failure":
		e.Action = "PROC_OPEN_DENIED"
	}
	m.event.Body = &telemetryv1.Event_ProcessOpen{ProcessOpen: e}
}

func remoteThread(m *mapper) {
	m.event.Body = &telemetryv1.Event_RemoteThread{RemoteThread: &telemetryv1.RemoteThreadEvent{
		Action:            "REMOTE_THREAD_CREATE",
		SrcPid:            m.u32("SourceProcessId"),
		SrcProcessGuid:    m.guid("SourceProcessGuid", "SourceProcessGUID"),
		SrcPath:           m.path("SourceImage"),
		TargetPid:         m.u32("TargetProcessId"),
		TargetProcessGuid: m.guid("TargetProcessGuid", "TargetProcessGUID"),
		TargetPath:        m.path("TargetImage"),
		ThreadId:          m.u32("NewThreadId"),
		StartAddress:      m.hex("StartAddress"),
		ModuleName:        m.path("StartModule"),
		FunctionName:      m.text("StartFunction"),
		OwnerUid:          m.text("SourceUser"),
		TargetOwnerUid:    m.text("TargetUser"),
	}}
}

func imageLoad(m *mapper) {
	h := m.hashes("Hashes")
	m.event.Body = &telemetryv1.Event_ImageLoad{ImageLoad: &telemetryv1.ImageLoadEvent{
		Action:           "IMAGE_LOAD",
		Pid:              m.u32("ProcessId"),
		ProcessGuid:      m.guid("ProcessGuid"),
		ProcessName:      m.path("Image"),
		ImagePath:        m.path("ImageLoaded"),
		Md5:              h.md5,
		Sha1:             h.sha1,
		Sha256:           h.sha256,
		Imphash:          h.imphash,
		IsSigned:         m.boolean("Signed"),
		SubjectName:      m.text("Signature"),
		TrustInfo:        m.text("SignatureStatus"),
		FileVersion:      m.text("FileVersion"),
		Description:      m.text("Description"),
		Product:          m.text("Product"),
		Company:          m.text("Company"),
		OriginalFileName: m.text("OriginalFileName"),
		Uid:              m.text("User"),
	}}
}

func driverLoad(m *mapper) {
	h := m.hashes("Hashes")
	m.event.Body = &telemetryv1.Event_DriverLoad{DriverLoad: &telemetryv1.DriverLoadEvent{
		Action:      "DRIVER_LOAD",
		ImagePath:   m.path("ImageLoaded"),
		Md5:         h.md5,
		Sha1:        h.sha1,
		Sha256:      h.sha256,
		Imphash:     h.imphash,
		IsSigned:    m.boolean("Signed"),
		SubjectName: m.text("Signature"),
		TrustInfo:   m.text("SignatureStatus"),
	}}
}

// hashed says whether h holds any, for columns that tell.
func hashed(h hashes) *bool { return proto.Bool(h.known()) }
