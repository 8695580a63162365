package telemetry

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// Control says whether ev belongs on the control stream: the few events that
// verdicts mostly rest on and that must not wait behind bulk telemetry. What
// comes by the hundred in a healthy host's day (SACLs set by an installer, rules
// listed at a start, groups enumerated, devices that hold no data) stays bulk
// even where its table is otherwise control.
func Control(ev *telemetryv1.Event) bool {
	switch body := ev.GetBody().(type) {
	case *telemetryv1.Event_SourceHealth, *telemetryv1.Event_Gap, *telemetryv1.Event_AgentEvent,
		*telemetryv1.Event_SecuritySoftware, *telemetryv1.Event_Malware, *telemetryv1.Event_LogActivity,
		*telemetryv1.Event_Power, *telemetryv1.Event_Clock, *telemetryv1.Event_Account:
		return true
	case *telemetryv1.Event_RemovableMedia:
		return body.RemovableMedia.GetKind() != "other" || body.RemovableMedia.GetAction() == "MEDIA_INSTALL_BLOCKED"
	case *telemetryv1.Event_AuditPolicy:
		return body.AuditPolicy.GetAction() != "object_sacl_changed"
	case *telemetryv1.Event_Group:
		return body.Group.GetAction() != "membership_enumerated"
	case *telemetryv1.Event_Firewall:
		switch body.Firewall.GetAction() {
		case "rule_listed", "policy_listed", "rule_ignored", "filter_changed", "network_changed", "app_blocked":
			return false
		}
		return true
	case *telemetryv1.Event_Service:
		return WatchingService(body.Service.GetName())
	}
	return false
}

// WatchingService says whether the service of that short name is one that
// evidence rests on: logging, anti-malware, firewall, audit, time.
func WatchingService(name string) bool {
	switch strings.ToLower(name) {
	case "eventlog", "sysmon", "sysmon64", "sysmondrv", "windefend", "wdnissvc", "wdfilter", "wdboot",
		"sense", "wscsvc", "securityhealthservice", "mpssvc", "bfe", "w32time", "wecsvc", "osqueryd",
		"assay", "assay-agent", "appidsvc":
		return true
	}
	return false
}
