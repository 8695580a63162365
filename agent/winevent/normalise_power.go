package winevent

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

const (
	providerKernelGeneral = "Microsoft-Windows-Kernel-General"
	providerKernelPower   = "Microsoft-Windows-Kernel-Power"
)

// powerRows: starts and ends of the system and of its log service.
func powerRows() []row {
	return []row{
		{providerKernelGeneral, []uint32{12}, kernelBoot},
		{providerKernelGeneral, []uint32{13}, kernelShutdown},
		{providerKernelPower, []uint32{41}, dirtyShutdown},
		{providerKernelPower, []uint32{42}, power("sleep")},
		{providerKernelPower, []uint32{107}, power("resume")},
		{"Microsoft-Windows-Power-Troubleshooter", []uint32{1}, resumed},
		{providerClassicLog, []uint32{6005}, power("log_service_start")},
		{providerClassicLog, []uint32{6006}, power("log_service_stop")},
		{providerClassicLog, []uint32{6008}, previousShutdown},
		{providerClassicLog, []uint32{6009}, osVersion},
		{"User32", []uint32{1074, 1075, 1076}, shutdownRequest},
		{providerSecurity, []uint32{4608}, power("boot")},
		{providerSecurity, []uint32{4609}, power("shutdown")},
	}
}

func (m *mapper) power(action string) *telemetryv1.PowerEvent {
	e := &telemetryv1.PowerEvent{Action: action}
	m.event.Body = &telemetryv1.Event_Power{Power: e}
	return e
}

func power(action string) mapping {
	return func(m *mapper) { m.power(action).Reason = m.text("Reason") }
}

func kernelBoot(m *mapper) {
	e := m.power("boot")
	e.At = m.time("StartTime")
	if major := m.text("MajorVersion"); major != "" {
		e.OsVersion = strings.Join([]string{major, m.text("MinorVersion"), m.text("BuildVersion"), m.text("QfeVersion")}, ".")
	}
}

func kernelShutdown(m *mapper) { m.power("shutdown").At = m.time("StopTime") }

func dirtyShutdown(m *mapper) {
	e := m.power("unexpected_shutdown")
	e.BugcheckCode = m.hex("BugcheckCode")
	if stamp, ok := number(m.text("PowerButtonTimestamp")); ok && stamp != 0 {
		e.Reason = "power button"
	}
}

func resumed(m *mapper) {
	e := m.power("resume")
	e.At = m.time("WakeTime")
	if slept := m.time("SleepTime"); slept != "" {
		e.Reason = "asleep since " + slept
	}
}

// previousShutdown is written at a start and tells when the log of the last run
// ended. The text is in the host's language and time zone; the binary holds the
// local time and then UTC, as two SYSTEMTIMEs.
func previousShutdown(m *mapper) {
	e := m.power("unexpected_shutdown")
	if b := m.binary(); len(b) >= 32 {
		if t, ok := binarySystemTime(b[16:32]); ok {
			e.At = t.Format(rfc3339Ticks)
			return
		}
	}
	e.Reason = strings.TrimSpace(m.at(0) + " " + m.at(1))
}

func binarySystemTime(b []byte) (time.Time, bool) {
	f := func(i int) int { return int(binary.LittleEndian.Uint16(b[2*i:])) }
	year, month, day, hour, minute, second := f(0), f(1), f(3), f(4), f(5), f(6)
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 || f(7) > 999 {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, f(7)*1e6, time.UTC), true
}

func osVersion(m *mapper) {
	e := m.power("boot")
	e.OsVersion = strings.TrimSpace(strings.TrimSuffix(m.at(0), ".") + "." + m.at(1) + " " + m.at(2))
}

// shutdownRequest: a process asked for a shutdown (1074), took it back (1075),
// or somebody explained an unexpected one afterwards (1076).
func shutdownRequest(m *mapper) {
	if m.record.EventID != 1074 {
		return
	}
	e := m.power("shutdown_requested")
	e.ProcessName = m.param(1)
	// "C:\Windows\…\shutdown.exe (HOST)"
	if i := strings.LastIndex(e.ProcessName, " ("); i > 0 && strings.HasSuffix(e.ProcessName, ")") {
		e.ProcessName = e.ProcessName[:i]
	}
	e.Reason = m.param(3)
	e.ReasonCode = minimalHex(m.param(4))
	e.ShutdownType = m.param(5)
	e.Comment = m.param(6)
	e.UserName = m.param(7)
	e.UserSid = valid(m.record.UserSID)
}

// clockRows: changes of the system's time.
func clockRows() []row {
	return []row{
		{providerSecurity, []uint32{4616}, clock},
		{providerKernelGeneral, []uint32{1}, clock},
	}
}

var clockReasons = map[string]string{"1": "system", "2": "hardware_clock", "3": "time_zone"}

func clock(m *mapper) {
	e := &telemetryv1.ClockEvent{
		Action:       "set",
		PreviousTime: m.time("PreviousTime", "OldTime"),
		NewTime:      m.time("NewTime"),
		Reason:       m.text("Reason"),
		Pid:          m.u32("ProcessId", "ProcessID"),
		ProcessName:  m.path("ProcessName"),
		UserName:     m.account("SubjectDomainName", "SubjectUserName"),
		UserSid:      m.sid("SubjectUserSid"),
		LogonId:      m.logon("SubjectLogonId"),
	}
	if reason, ok := clockReasons[e.Reason]; ok {
		e.Reason = reason
	}
	// Version 0 of 4616 writes day and time apart, in the host's language.
	if date := m.text("PreviousDate"); date != "" {
		e.PreviousTime = date + " " + m.text("PreviousTime")
	}
	if date := m.text("NewDate"); date != "" {
		e.NewTime = date + " " + m.text("NewTime")
	}
	previous, okPrevious := parseTime(m.text("PreviousTime", "OldTime"))
	now, okNow := parseTime(m.text("NewTime"))
	if okPrevious && okNow {
		e.DeltaMs = proto.Int64(now.Sub(previous).Milliseconds())
	}
	m.event.Body = &telemetryv1.Event_Clock{Clock: e}
}

// hresult writes the code of a %%nnnn message, as the service manager gives
// errors, in hexadecimal.
func hresult(s string) string {
	if digits, ok := strings.CutPrefix(s, "%%"); ok {
		if v, isNumber := number(digits); isNumber {
			return fmt.Sprintf("0x%x", v)
		}
	}
	return s
}
