package winevent

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// accountRows: changes of user accounts.
func accountRows() []row {
	return []row{
		{providerSecurity, []uint32{4720}, account("created")},
		{providerSecurity, []uint32{4722}, account("enabled")},
		{providerSecurity, []uint32{4723}, account("password_changed")},
		{providerSecurity, []uint32{4724}, account("password_reset")},
		{providerSecurity, []uint32{4725}, account("disabled")},
		{providerSecurity, []uint32{4726}, account("deleted")},
		{providerSecurity, []uint32{4738}, account("changed")},
		{providerSecurity, []uint32{4740}, account("locked_out")},
		{providerSecurity, []uint32{4767}, account("unlocked")},
		{providerSecurity, []uint32{4781}, account("renamed")},
	}
}

func account(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.AccountEvent{
			Action:            action,
			Outcome:           m.outcome(),
			UserName:          m.account("TargetDomainName", "TargetUserName"),
			UserSid:           m.sid("TargetSid"),
			SubjectName:       m.account("SubjectDomainName", "SubjectUserName"),
			SubjectSid:        m.sid("SubjectUserSid"),
			SubjectLogonId:    m.logon("SubjectLogonId"),
			OldUac:            m.hex("OldUacValue"),
			NewUac:            m.hex("NewUacValue"),
			SamAccountName:    m.text("SamAccountName"),
			DisplayName:       m.setting("DisplayName"),
			UserPrincipalName: m.setting("UserPrincipalName"),
			PasswordLastSet:   m.setting("PasswordLastSet"),
			AccountExpires:    m.setting("AccountExpires"),
			Privileges:        m.list("PrivilegeList", nil),
		}
		for _, code := range m.list("UserAccountControl", nil) {
			e.UacChanges = append(e.UacChanges, uacChange(code))
		}
		switch action {
		case "renamed":
			e.OldUserName = m.account("TargetDomainName", "OldTargetUserName")
			e.UserName = m.account("TargetDomainName", "NewTargetUserName")
		case "locked_out":
			// In this one event the field of the account's domain holds the
			// name of the computer that the attempts came from.
			e.UserName = m.text("TargetUserName")
			e.CallerComputer = strings.TrimPrefix(m.text("TargetDomainName"), `\\`)
		}
		m.event.Body = &telemetryv1.Event_Account{Account: e}
	}
}

// setting is a value of an account; %%1793 is "not set" and %%1794 "never".
func (m *mapper) setting(name string) string {
	switch v := m.text(name); v {
	case "%%1793":
		return ""
	case "%%1794":
		return "never"
	default:
		return v
	}
}

// groupEvents are the ids of groups of one scope and kind, in the order of
// groupActions.
var groupEvents = []struct {
	scope, kind string
	ids         [5]uint32
}{
	{"global", "security", [5]uint32{4727, 4728, 4729, 4730, 4737}},
	{"local", "security", [5]uint32{4731, 4732, 4733, 4734, 4735}},
	{"universal", "security", [5]uint32{4754, 4756, 4757, 4758, 4755}},
	{"local", "distribution", [5]uint32{4744, 4746, 4747, 4748, 4745}},
	{"global", "distribution", [5]uint32{4749, 4751, 4752, 4753, 4750}},
	{"universal", "distribution", [5]uint32{4759, 4761, 4762, 4763, 4760}},
}

var groupActions = [5]string{"created", "member_added", "member_removed", "deleted", "changed"}

// groupRows: changes of groups and of who is in them.
func groupRows() []row {
	rows := []row{
		{providerSecurity, []uint32{4764}, group("type_changed", "", "")},
		{providerSecurity, []uint32{4799}, group("membership_enumerated", "local", "security")},
		{providerSecurity, []uint32{4798}, group("membership_enumerated", "local", "security")},
	}
	for _, events := range groupEvents {
		for i, id := range events.ids {
			rows = append(rows, row{providerSecurity, []uint32{id}, group(groupActions[i], events.scope, events.kind)})
		}
	}
	return rows
}

func group(action, scope, kind string) mapping {
	return func(m *mapper) {
		const userEnumerated = 4798
		e := &telemetryv1.GroupEvent{
			Action:         action,
			GroupName:      m.account("TargetDomainName", "TargetUserName"),
			GroupSid:       m.sid("TargetSid"),
			Scope:          scope,
			Kind:           kind,
			MemberName:     m.text("MemberName"),
			MemberSid:      m.sid("MemberSid"),
			SubjectName:    m.account("SubjectDomainName", "SubjectUserName"),
			SubjectSid:     m.sid("SubjectUserSid"),
			SubjectLogonId: m.logon("SubjectLogonId"),
			SamAccountName: m.text("SamAccountName"),
			Privileges:     m.list("PrivilegeList", nil),
			Pid:            m.process("CallerProcessName", "CallerProcessId"),
			ProcessName:    m.path("CallerProcessName"),
		}
		if m.record.EventID == userEnumerated {
			// The target is the member whose groups were listed.
			e.MemberName, e.MemberSid, e.GroupName, e.GroupSid = e.GroupName, e.GroupSid, "", ""
		}
		m.event.Body = &telemetryv1.Event_Group{Group: e}
	}
}
