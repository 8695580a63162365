package winevent

import (
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// logRows: what happened to logs and to the log service.
func logRows() []row {
	return []row{
		{providerEventlog, []uint32{104, 1102}, logActivity("cleared")},
		{providerEventlog, []uint32{1100}, logActivity("service_stopped")},
		{providerEventlog, []uint32{1101}, logActivity("events_dropped")},
		{providerEventlog, []uint32{1104}, logActivity("full")},
		{providerEventlog, []uint32{105, 1105}, logActivity("rotated")},
		{providerEventlog, []uint32{1108}, logActivity("error")},
		// The system ran on after an audit failure, and says itself that some
		// auditable activity may not have been recorded.
		{providerSecurity, []uint32{4621}, logActivity("events_dropped")},
		// The queue of the audit log overflowed.
		{providerSecurity, []uint32{4612}, logActivity("events_dropped")},
	}
}

func logActivity(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.LogActivityEvent{
			Action:      action,
			LogName:     m.text("Channel"),
			BackupPath:  m.path("BackupPath"),
			Reason:      m.text("Reason", "CrashOnAuditFailValue", "AuditsDiscarded"),
			Publisher:   m.text("PublisherName", "PubID", "PublisherID"),
			LostEventId: m.u32("EventID", "EventId"),
			ErrorCode:   m.hex("ErrorCode", "Error Code", "Error"),
			SubjectName: m.account("SubjectDomainName", "SubjectUserName"),
			SubjectSid:  m.sid("SubjectUserSid"),
			LogonId:     m.logon("SubjectLogonId"),
			Pid:         m.u32("ClientProcessId"),
		}
		if e.LogName == "" {
			// Where none is named it is the log that the record is in.
			e.LogName = valid(m.record.Channel)
		}
		m.event.Body = &telemetryv1.Event_LogActivity{LogActivity: e}
	}
}

// auditPolicyRows: what the host audits, and what was done to that.
func auditPolicyRows() []row {
	return []row{
		{providerSecurity, []uint32{4719}, auditPolicy("changed")},
		{providerSecurity, []uint32{4912}, auditPolicy("user_policy_changed")},
		{providerSecurity, []uint32{4902}, auditPolicy("user_policy_loaded")},
		{providerSecurity, []uint32{4715}, auditPolicy("policy_sd_changed")},
		{providerSecurity, []uint32{4817}, auditPolicy("global_sacl_changed")},
		{providerSecurity, []uint32{4907}, auditPolicy("object_sacl_changed")},
		{providerSecurity, []uint32{4904}, auditPolicy("source_registered")},
		{providerSecurity, []uint32{4905}, auditPolicy("source_unregistered")},
		{providerSecurity, []uint32{4906}, auditPolicy("crash_on_audit_fail")},
		{providerSecurity, []uint32{4908}, auditPolicy("special_groups")},
	}
}

func auditPolicy(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.AuditPolicyEvent{
			Action:          action,
			CategoryId:      m.text("CategoryId"),
			Category:        auditCategories[m.text("CategoryId")],
			SubcategoryGuid: m.guid("SubcategoryGuid"),
			Changes:         m.list("AuditPolicyChanges", auditChanges),
			TargetName:      m.account("TargetDomainName", "TargetUserName"),
			TargetSid:       m.sid("TargetUserSid"),
			ObjectType:      m.text("ObjectType"),
			ObjectName:      m.path("ObjectName", "ObjectPath"),
			OldSd:           m.text("OldSd"),
			NewSd:           m.text("NewSd"),
			Value:           m.text("CrashOnAuditFailValue", "SidList", "PuaCount", "AuditSourceName"),
			SubjectName:     m.account("SubjectDomainName", "SubjectUserName"),
			SubjectSid:      m.sid("SubjectUserSid"),
			LogonId:         m.logon("SubjectLogonId"),
			Pid:             m.u32("ProcessId", "ClientProcessId"),
			ProcessName:     m.path("ProcessName"),
		}
		e.Subcategory = AuditSubcategory(e.SubcategoryGuid)
		m.event.Body = &telemetryv1.Event_AuditPolicy{AuditPolicy: e}
	}
}
