package winevent

import (
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

// fileRows: files and pipes of Sysmon, and the audit log's objects of any kind.
func fileRows() []row {
	return []row{
		{telemetry.SysmonProvider, []uint32{2}, timestomp},
		{telemetry.SysmonProvider, []uint32{9}, sysmonFile("FILE_RAW_READ")},
		{telemetry.SysmonProvider, []uint32{11}, sysmonFile("FILE_CREATE")},
		{telemetry.SysmonProvider, []uint32{15}, sysmonFile("FILE_STREAM_CREATE")},
		{telemetry.SysmonProvider, []uint32{23, 26}, sysmonFile("FILE_DELETE")},
		{telemetry.SysmonProvider, []uint32{27}, sysmonFile("FILE_CREATE_BLOCKED")},
		{telemetry.SysmonProvider, []uint32{28}, sysmonFile("FILE_SHRED_BLOCKED")},
		{telemetry.SysmonProvider, []uint32{29}, sysmonFile("FILE_EXECUTABLE")},
		{telemetry.SysmonProvider, []uint32{17}, pipe("NAMED_PIPE_CREATE")},
		{telemetry.SysmonProvider, []uint32{18}, pipe("NAMED_PIPE_CONNECT")},
		{providerSecurity, []uint32{4656, 4659, 4663, 4670}, auditObject},
		{providerSecurity, []uint32{4660}, auditDelete},
		{providerSecurity, []uint32{4664}, hardLink},
	}
}

func sysmonFile(action string) mapping {
	return func(m *mapper) {
		h := m.hashes("Hashes", "Hash")
		e := &telemetryv1.FileEvent{
			Action:      action,
			TargetPath:  m.path("TargetFilename", "Device"),
			Pid:         m.u32("ProcessId"),
			ProcessGuid: m.guid("ProcessGuid"),
			ProcessName: m.path("Image"),
			Uid:         m.text("User"),
			Md5:         h.md5,
			Sha1:        h.sha1,
			Sha256:      h.sha256,
			Imphash:     h.imphash,
			Hashed:      hashed(h),
			PeFile:      m.boolean("IsExecutable"),
			CreatedAt:   m.time("CreationUtcTime"),
			Contents:    m.text("Contents"),
			Archived:    m.boolean("Archived"),
		}
		switch action {
		case "FILE_EXECUTABLE", "FILE_CREATE_BLOCKED":
			e.PeFile = proto.Bool(true)
		}
		m.event.Body = &telemetryv1.Event_File{File: e}
	}
}

func timestomp(m *mapper) {
	m.event.Body = &telemetryv1.Event_FileTimestomp{FileTimestomp: &telemetryv1.FileTimestompEvent{
		Action:       "FILE_TIMESTOMP",
		TargetPath:   m.path("TargetFilename"),
		OldTimestamp: m.time("PreviousCreationUtcTime"),
		NewTimestamp: m.time("CreationUtcTime"),
		Pid:          m.u32("ProcessId"),
		ProcessGuid:  m.guid("ProcessGuid"),
		ProcessName:  m.path("Image"),
		Uid:          m.text("User"),
	}}
}

func pipe(action string) mapping {
	return func(m *mapper) {
		m.event.Body = &telemetryv1.Event_Pipe{Pipe: &telemetryv1.PipeEvent{
			Action:      action,
			TargetPath:  m.text("PipeName"),
			Pid:         m.u32("ProcessId"),
			ProcessGuid: m.guid("ProcessGuid"),
			ProcessName: m.path("Image"),
			Uid:         m.text("User"),
		}}
	}
}

// Tasks of the audit log, which are its subcategories.
const (
	taskFileSystem       = 12800
	taskRegistry         = 12801
	taskRemovableStorage = 12812
)

// auditObject goes by the kind of object. Kinds that no table is for (tokens,
// the service manager, directory objects) stay log records.
func auditObject(m *mapper) {
	switch m.text("ObjectType") {
	case "File", "Directory":
		m.auditFile(m.fileAction())
	case "Key":
		m.auditKey()
	case "Process":
		if m.record.EventID == 4656 || m.record.EventID == 4663 {
			m.auditProcessObject()
		}
	}
}

func (m *mapper) auditFile(action string) *telemetryv1.FileEvent {
	e := &telemetryv1.FileEvent{
		Action:      action,
		TargetPath:  m.path("ObjectName"),
		Pid:         m.u32("ProcessId"),
		ProcessName: m.path("ProcessName"),
		Uid:         m.account("SubjectDomainName", "SubjectUserName"),
		UserSid:     m.sid("SubjectUserSid"),
		LogonId:     m.logon("SubjectLogonId"),
		AccessMask:  m.hex("AccessMask"),
		Accesses:    m.list("AccessList", fileRights),
		HandleId:    m.hex("HandleId"),
		Outcome:     m.outcome(),
		OldSd:       m.text("OldSd"),
		NewSd:       m.text("NewSd"),
	}
	if m.record.Task == taskRemovableStorage {
		e.Removable = proto.Bool(true)
	}
	m.event.Body = &telemetryv1.Event_File{File: e}
	return e
}

// fileAction is the gravest of the rights that were used.
func (m *mapper) fileAction() string {
	switch m.record.EventID {
	case 4656:
		return "FILE_OPEN"
	case 4659:
		return "FILE_DELETE"
	case 4670:
		return "FILE_SET_SECURITY"
	}
	mask, _ := number(m.text("AccessMask"))
	const (
		readData, writeData, appendData, writeEA, deleteChild, writeAttributes = 0x1, 0x2, 0x4, 0x10, 0x40, 0x100
		deleteObject, writeDAC, writeOwner                                     = 0x10000, 0x40000, 0x80000
	)
	switch {
	case mask&(deleteObject|deleteChild) != 0:
		return "FILE_DELETE"
	case mask&(writeData|appendData) != 0:
		return "FILE_WRITE"
	case mask&(writeDAC|writeOwner) != 0:
		return "FILE_SET_SECURITY"
	case mask&(writeAttributes|writeEA) != 0:
		return "FILE_SET_ATTRIBUTES"
	case mask&readData != 0:
		return "FILE_READ"
	}
	return "FILE_ACCESS"
}

// auditDelete names neither the object nor its kind: only the handle, and by
// its subcategory whether that was of a file or of a registry key.
func auditDelete(m *mapper) {
	switch m.record.Task {
	case taskRegistry:
		m.auditKey()
	case taskFileSystem, taskRemovableStorage, 0:
		m.auditFile("FILE_DELETE")
	}
}

func hardLink(m *mapper) {
	e := m.auditFile("FILE_LINK")
	e.TargetPath, e.TargetNewPath = m.path("FileName"), m.path("LinkName")
}

// shareRows: use and change of network shares.
func shareRows() []row {
	return []row{
		{providerSecurity, []uint32{5140}, share("share_accessed")},
		{providerSecurity, []uint32{5142}, share("share_added")},
		{providerSecurity, []uint32{5143}, share("share_modified")},
		{providerSecurity, []uint32{5144}, share("share_deleted")},
		{providerSecurity, []uint32{5145}, share("object_checked")},
		{providerSecurity, []uint32{5168}, share("spn_check_failed")},
	}
}

func share(action string) mapping {
	return func(m *mapper) {
		m.event.Body = &telemetryv1.Event_Share{Share: &telemetryv1.ShareEvent{
			Action:         action,
			ShareName:      m.text("ShareName"),
			LocalPath:      m.path("ShareLocalPath"),
			RelativeTarget: m.text("RelativeTargetName"),
			Ip:             m.address("IpAddress", "ClientAddress"),
			Port:           m.u32("IpPort"),
			AccessMask:     m.hex("AccessMask"),
			Accesses:       m.list("AccessList", fileRights),
			ObjectType:     m.text("ObjectType"),
			UserName:       m.account("SubjectDomainName", "SubjectUserName"),
			UserSid:        m.sid("SubjectUserSid"),
			LogonId:        m.logon("SubjectLogonId"),
			Outcome:        m.outcome(),
			OldValue:       m.text("OldSD", "OldSd", "OldRemark"),
			NewValue:       m.text("NewSD", "NewSd", "NewRemark"),
		}}
	}
}
