package telemetry

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// SysmonProvider is the event provider of Sysmon.
const SysmonProvider = "Microsoft-Windows-Sysmon"

// SourceOf says which source a record of the event log comes from: Sysmon's
// events travel through the event log, but what saw them is Sysmon.
func SourceOf(provider string) telemetryv1.Source {
	if provider == SysmonProvider {
		return telemetryv1.Source_SOURCE_SYSMON
	}
	return telemetryv1.Source_SOURCE_EVENT_LOG
}

// GradeOf is the fidelity of an event: how hard it is for an administrator of
// the host to suppress or forge what this source says of this kind of event.
// version is the event's version, where a later one rests on better evidence;
// none does yet.
func GradeOf(source telemetryv1.Source, provider string, eventID uint32, version uint8) telemetryv1.Grade {
	switch source {
	case telemetryv1.Source_SOURCE_KERNEL:
		return telemetryv1.Grade_GRADE_A
	case telemetryv1.Source_SOURCE_SYSMON:
		return sysmonGrade(eventID)
	case telemetryv1.Source_SOURCE_EVENT_LOG:
		return eventLogGrade(provider)
	case telemetryv1.Source_SOURCE_ETW:
		return telemetryv1.Grade_GRADE_C
	case telemetryv1.Source_SOURCE_FORWARDED:
		// A collector stands between: one below what the record has at home.
		return below(GradeOf(SourceOf(provider), provider, eventID, version))
	case telemetryv1.Source_SOURCE_OSQUERY:
		return telemetryv1.Grade_GRADE_D
	case telemetryv1.Source_SOURCE_AGENT:
		// What the agent says of itself can be silenced, but the chain of its
		// stream shows the silence.
		return telemetryv1.Grade_GRADE_B
	default:
		return telemetryv1.Grade_GRADE_D
	}
}

// sysmonGrade: what Sysmon's driver sees is B. Connections and names come from
// ETW, subscriptions from WMI, the clipboard and Sysmon's own state from its
// service, all of which an administrator reaches in user mode.
func sysmonGrade(eventID uint32) telemetryv1.Grade {
	switch eventID {
	case 3, 4, 16, 19, 20, 21, 22, 24, 255:
		return telemetryv1.Grade_GRADE_C
	}
	return telemetryv1.Grade_GRADE_B
}

// eventLogGrade: what Windows itself writes is C, as the audit log is. Any
// program may write as any other provider, so that is D like all logs of
// applications.
func eventLogGrade(provider string) telemetryv1.Grade {
	switch provider {
	case SysmonProvider:
		return telemetryv1.Grade_GRADE_B
	case "EventLog", "Service Control Manager", "User32", "USER32":
		return telemetryv1.Grade_GRADE_C
	}
	if strings.HasPrefix(provider, "Microsoft-Windows-") {
		return telemetryv1.Grade_GRADE_C
	}
	return telemetryv1.Grade_GRADE_D
}

func below(g telemetryv1.Grade) telemetryv1.Grade {
	return min(g+1, telemetryv1.Grade_GRADE_D)
}
