package winevent

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// logonRows: authentications, and the start, use and end of logon sessions.
func logonRows() []row {
	return []row{
		{providerSecurity, []uint32{4624}, logon("logon")},
		{providerSecurity, []uint32{4625}, logon("logon_failed")},
		{providerSecurity, []uint32{4634, 4647}, logon("logoff")},
		{providerSecurity, []uint32{4648}, logon("explicit_credentials")},
		{providerSecurity, []uint32{4672}, logon("special_privileges")},
		{providerSecurity, []uint32{4964}, logon("special_groups")},
		{providerSecurity, []uint32{4768}, logon("ticket_granted")},
		{providerSecurity, []uint32{4769}, logon("service_ticket")},
		{providerSecurity, []uint32{4770}, logon("ticket_renewed")},
		{providerSecurity, []uint32{4771}, logon("authentication_failed")},
		{providerSecurity, []uint32{4776}, logon("credentials_validated")},
		{providerSecurity, []uint32{4778}, logon("reconnected")},
		{providerSecurity, []uint32{4779}, logon("disconnected")},
		{providerSecurity, []uint32{4800}, logon("locked")},
		{providerSecurity, []uint32{4801}, logon("unlocked")},
		{providerSecurity, []uint32{4802}, logon("screen_saver_on")},
		{providerSecurity, []uint32{4803}, logon("screen_saver_off")},
	}
}

func logon(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.LogonEvent{
			Action:                action,
			Outcome:               m.outcome(),
			UserName:              m.account("TargetDomainName", "TargetUserName"),
			UserSid:               m.sid("TargetUserSid", "TargetSid"),
			LogonId:               m.logon("TargetLogonId", "LogonID"),
			LogonGuid:             m.guid("TargetLogonGuid", "LogonGuid"),
			LinkedLogonId:         m.logon("TargetLinkedLogonId"),
			LogonType:             m.u32("LogonType"),
			SubjectName:           m.account("SubjectDomainName", "SubjectUserName"),
			SubjectSid:            m.sid("SubjectUserSid"),
			SubjectLogonId:        m.logon("SubjectLogonId"),
			Ip:                    m.address("IpAddress", "ClientAddress"),
			Port:                  m.u32("IpPort"),
			Workstation:           m.text("WorkstationName", "Workstation", "ClientName"),
			TargetServer:          m.text("TargetServerName"),
			ServiceName:           m.text("ServiceName"),
			AuthenticationPackage: m.text("AuthenticationPackageName", "PackageName"),
			LmPackage:             m.text("LmPackageName"),
			KeyLength:             m.u32("KeyLength"),
			LogonProcess:          m.text("LogonProcessName"),
			Pid:                   m.process("ProcessName", "ProcessId"),
			ProcessName:           m.path("ProcessName"),
			Status:                m.hex("Status"),
			SubStatus:             m.hex("SubStatus"),
			Elevated:              m.boolean("ElevatedToken"),
			RestrictedAdmin:       m.boolean("RestrictedAdminMode"),
			Privileges:            m.list("PrivilegeList", nil),
			TicketOptions:         m.hex("TicketOptions"),
			TicketEncryption:      m.hex("TicketEncryptionType"),
			PreAuthentication:     m.u32("PreAuthType"),
			SessionId:             m.u32("SessionId"),
			SessionName:           m.text("SessionName"),
		}
		if e.Impersonation = m.text("ImpersonationLevel"); impersonations[e.Impersonation] != "" {
			e.Impersonation = impersonations[e.Impersonation]
		}
		m.finishLogon(e)
		m.event.Body = &telemetryv1.Event_Logon{Logon: e}
	}
}

// finishLogon treats what single events write in their own way.
func (m *mapper) finishLogon(e *telemetryv1.LogonEvent) {
	switch e.Action {
	case "special_privileges":
		// The account is the subject: its own session was given privileges.
		e.UserName, e.UserSid, e.LogonId = e.SubjectName, e.SubjectSid, e.SubjectLogonId
	case "special_groups":
		for _, sid := range m.list("SidList", nil) {
			e.Groups = append(e.Groups, strings.TrimSuffix(strings.TrimPrefix(sid, "%{"), "}"))
		}
	case "reconnected", "disconnected":
		e.UserName = m.account("AccountDomain", "AccountName")
	case "logon_failed", "authentication_failed":
		e.Outcome = "failure"
	case "ticket_granted", "service_ticket", "credentials_validated":
		// The result is in the status, whatever keywords a copy has kept.
		if e.Status != "" {
			e.Outcome = "failure"
			if e.Status == "0x0" {
				e.Outcome = "success"
			}
		}
	}
	if e.Port != nil && *e.Port == 0 {
		e.Port = nil
	}
	if e.Outcome == "failure" {
		e.FailureReason = failureReason(e)
	}
}

// ntStatusReasons are results of logons; a sub status says more than the status.
var ntStatusReasons = map[string]string{
	"0xc0000064": "bad_user", "0xc000006a": "bad_password", "0xc0000234": "locked_out", "0xc0000072": "disabled",
	"0xc0000193": "expired", "0xc0000071": "password_expired", "0xc0000224": "password_must_change",
	"0xc000006f": "logon_hours", "0xc0000070": "workstation", "0xc000015b": "logon_type", "0xc000010b": "logon_type",
	"0xc0000133": "clock_skew", "0xc0000413": "policy",
}

// kerberosReasons are Kerberos results.
var kerberosReasons = map[string]string{
	"0x6": "bad_user", "0x18": "bad_password", "0x12": "disabled", "0x17": "password_expired", "0x25": "clock_skew",
	"0xc": "policy",
}

func failureReason(e *telemetryv1.LogonEvent) string {
	switch e.Action {
	case "ticket_granted", "service_ticket", "authentication_failed":
		if r, ok := kerberosReasons[e.Status]; ok {
			return r
		}
		return "other"
	}
	for _, status := range []string{e.SubStatus, e.Status} {
		if r, ok := ntStatusReasons[status]; ok {
			return r
		}
	}
	return "other"
}
