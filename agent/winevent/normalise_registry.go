package winevent

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

// registryRows: keys and values of the registry.
func registryRows() []row {
	return []row{
		{telemetry.SysmonProvider, []uint32{12, 13, 14}, sysmonRegistry},
		{providerSecurity, []uint32{4657}, auditValue},
	}
}

var sysmonRegistryActions = map[string]string{
	"CreateKey": "REG_CREATE", "DeleteKey": "REG_DELETE", "DeleteValue": "REG_DELETEVALUE", "SetValue": "REG_SETVALUE",
	"CreateValue": "REG_SETVALUE", "RenameKey": "REG_RENAME", "RenameValue": "REG_RENAME",
}

func sysmonRegistry(m *mapper) {
	action, ok := sysmonRegistryActions[m.text("EventType")]
	if !ok {
		action = map[uint32]string{12: "REG_CREATE", 13: "REG_SETVALUE", 14: "REG_RENAME"}[m.record.EventID]
	}
	e := &telemetryv1.RegistryEvent{
		Action:        action,
		TargetName:    m.text("TargetObject"),
		TargetNewName: m.text("NewName"),
		ValueData:     m.text("Details"),
		Pid:           m.u32("ProcessId"),
		ProcessGuid:   m.guid("ProcessGuid"),
		ProcessName:   m.path("Image"),
		OwnerUid:      m.text("User"),
	}
	// Sysmon tells the type only where the data is no text.
	switch {
	case strings.HasPrefix(e.ValueData, "DWORD ("):
		e.ValueType = "REG_DWORD"
	case strings.HasPrefix(e.ValueData, "QWORD ("):
		e.ValueType = "REG_QWORD"
	case e.ValueData == "Binary Data":
		e.ValueType = "REG_BINARY"
	}
	m.event.Body = &telemetryv1.Event_Registry{Registry: e}
}

func (m *mapper) registry(action string) *telemetryv1.RegistryEvent {
	e := &telemetryv1.RegistryEvent{
		Action:      action,
		TargetName:  m.text("ObjectName"),
		Pid:         m.u32("ProcessId"),
		ProcessName: m.path("ProcessName"),
		OwnerUid:    m.account("SubjectDomainName", "SubjectUserName"),
		OwnerSid:    m.sid("SubjectUserSid"),
		LogonId:     m.logon("SubjectLogonId"),
		HandleId:    m.hex("HandleId"),
		Outcome:     m.outcome(),
	}
	m.event.Body = &telemetryv1.Event_Registry{Registry: e}
	return e
}

// auditKey is a registry key among the objects of the audit log.
func (m *mapper) auditKey() {
	action := map[uint32]string{
		4656: "REG_OPEN", 4659: "REG_DELETE", 4660: "REG_DELETE", 4663: "REG_ACCESS", 4670: "REG_SET_SECURITY",
	}[m.record.EventID]
	e := m.registry(action)
	e.AccessMask = m.hex("AccessMask")
	e.Accesses = m.list("AccessList", keyRights)
	e.OldSd, e.NewSd = m.text("OldSd"), m.text("NewSd")
}

func auditValue(m *mapper) {
	action, ok := registryOperations[m.text("OperationType")]
	if !ok {
		action = "REG_SETVALUE"
	}
	e := m.registry(action)
	e.ValueName = m.text("ObjectValueName")
	if e.ValueName != "" {
		e.TargetName += `\` + e.ValueName
	}
	e.ValueType, e.ValueData = registryType(m.text("NewValueType")), m.text("NewValue")
	e.OldValueType, e.OldValueData = registryType(m.text("OldValueType")), m.text("OldValue")
}

func registryType(code string) string {
	if name, ok := registryTypes[code]; ok {
		return name
	}
	return code
}
