package winevent

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// serviceRows: services that were installed, changed, started or ended.
func serviceRows() []row {
	return []row{
		{providerSCM, []uint32{7036}, serviceState},
		{providerSCM, []uint32{7040}, serviceStartType},
		{providerSCM, []uint32{7045}, serviceInstalled},
		{providerSecurity, []uint32{4697}, serviceInstalled},
		{providerSCM, []uint32{7000, 7001, 7003, 7009, 7011, 7022, 7038, 7041}, serviceFailed("start_failed")},
		{providerSCM, []uint32{7023, 7024, 7031, 7032, 7034}, serviceFailed("terminated")},
		{providerSCM, []uint32{7035}, serviceControl},
	}
}

func (m *mapper) service(action string) *telemetryv1.ServiceEvent {
	e := &telemetryv1.ServiceEvent{Action: action}
	m.event.Body = &telemetryv1.Event_Service{Service: e}
	return e
}

// serviceState: the names in the text are in the host's language; the binary
// holds the short name and the number of the state, as "BITS/4".
func serviceState(m *mapper) {
	e := m.service("state_changed")
	e.DisplayName, e.State = m.param(1), m.param(2)
	state := strings.ToLower(e.State)
	if name, code, ok := strings.Cut(utf16Text(m.binary()), "/"); ok {
		e.Name = name
		state = map[string]string{"1": "stopped", "4": "running"}[code]
	}
	switch state {
	case "running":
		e.Action = "started"
	case "stopped":
		e.Action = "stopped"
	}
}

func serviceStartType(m *mapper) {
	e := m.service("start_type_changed")
	e.DisplayName, e.OldStartType, e.StartType, e.Name = m.param(1), m.param(2), m.param(3), m.param(4)
	e.SubjectSid = valid(m.record.UserSID)
}

func serviceInstalled(m *mapper) {
	e := m.service("installed")
	e.Name = m.text("ServiceName")
	e.ImagePath = m.path("ImagePath", "ServiceFileName")
	e.ServiceType = m.text("ServiceType")
	e.StartType = m.text("StartType", "ServiceStartType")
	e.Account = m.text("AccountName", "ServiceAccount")
	e.SubjectName = m.account("SubjectDomainName", "SubjectUserName")
	e.SubjectSid = m.sid("SubjectUserSid")
	e.LogonId = m.logon("SubjectLogonId")
	if e.SubjectSid == "" {
		e.SubjectSid = valid(m.record.UserSID)
	}
}

func serviceFailed(action string) mapping {
	return func(m *mapper) {
		e := m.service(action)
		e.DisplayName, e.Error = m.param(1), hresult(m.param(2))
		switch m.record.EventID {
		case 7009, 7011: // how long was waited, then for whom
			e.DisplayName, e.Error = m.param(2), "timeout"
		case 7031, 7034:
			e.Failures, e.Error = m.paramCount(2), ""
		case 7001, 7003: // what it depends on, then the error
			e.Error = hresult(m.param(3))
		case 7038:
			e.Account, e.Error = m.param(2), hresult(m.param(3))
		}
		e.Name = utf16Text(m.binary())
	}
}

func serviceControl(m *mapper) {
	e := m.service("control_sent")
	e.DisplayName, e.State = m.param(1), m.param(2)
	e.Name = utf16Text(m.binary())
	e.SubjectSid = valid(m.record.UserSID)
}
