package telemetry

import telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"

// OCSF classes that events of more than one table have, or that differ from
// their table's own.
const (
	ocsfFile          = 1001
	ocsfEventLog      = 1008
	ocsfFinding       = 2004
	ocsfAuthorize     = 3003
	ocsfNetwork       = 4001
	ocsfConfigChange  = 5019
	ocsfLifecycle     = 6002
	ocsfScan          = 6007
	ocsfRegistryKey   = 201001
	ocsfActivityOther = 99
	// ocsfActivityLog is "Log" of the configuration classes: the state is told.
	ocsfActivityLog = 1
)

// activity is a place in OCSF: a class (0: the table's own) and its activity.
type activity struct{ class, id uint32 }

// activities maps table and action. What is not here is activity 99, "other",
// of the table's class.
var activities = map[string]map[string]activity{
	"win_process_events": {
		"PROC_CREATE": {0, 1}, "PROC_TERMINATE": {0, 2}, "PROC_TAMPER": {0, 4}, "PROC_TOKEN_ASSIGN": {0, 5},
	},
	"win_process_open_events":  {"PROC_OPEN": {0, 3}, "PROC_ACCESS": {0, 3}, "PROC_OPEN_DENIED": {0, 3}},
	"win_remote_thread_events": {"REMOTE_THREAD_CREATE": {0, 4}},
	"win_image_load_events":    {"IMAGE_LOAD": {0, 1}},
	"win_driver_load_events":   {"DRIVER_LOAD": {0, 1}},
	"win_file_events": {
		"FILE_CREATE": {0, 1}, "FILE_LINK": {0, 1}, "FILE_STREAM_CREATE": {0, 1}, "FILE_EXECUTABLE": {0, 1},
		"FILE_CREATE_BLOCKED": {0, 1}, "FILE_READ": {0, 2}, "FILE_RAW_READ": {0, 2}, "FILE_WRITE": {0, 3},
		"FILE_DELETE": {0, 4}, "FILE_DELETE_BY_DISP": {0, 4}, "FILE_SHRED_BLOCKED": {0, 4}, "FILE_RENAME": {0, 5},
		"FILE_SET_ATTRIBUTES": {0, 6}, "FILE_SET_SECURITY": {0, 7}, "FILE_OPEN": {0, 14},
	},
	"win_file_timestomp_events": {"FILE_TIMESTOMP": {0, 6}},
	"win_share_events":          {"object_checked": {0, 2}},
	"win_registry_events": {
		"REG_CREATE": {ocsfRegistryKey, 1}, "REG_OPEN": {ocsfRegistryKey, 2}, "REG_ACCESS": {ocsfRegistryKey, 2},
		"REG_DELETE": {ocsfRegistryKey, 4}, "REG_RENAME": {ocsfRegistryKey, 5}, "REG_SET_SECURITY": {ocsfRegistryKey, 6},
		"REG_SETVALUE": {0, 2}, "REG_DELETEVALUE": {0, 4},
	},
	"win_named_pipe_events": {"NAMED_PIPE_CREATE": {0, 1}, "NAMED_PIPE_CONNECT": {0, 14}},
	"win_socket_events": {
		"SOCKET_CONNECT": {0, 1}, "SOCKET_ACCEPT": {0, 1}, "SOCKET_CLOSE": {0, 2}, "SOCKET_LISTEN": {0, 7},
		"SOCKET_CONNECT_BLOCKED": {0, 5}, "SOCKET_LISTEN_BLOCKED": {0, 5}, "SOCKET_BIND_BLOCKED": {0, 5},
		"PACKET_BLOCKED": {0, 5},
	},
	"win_dns_events":          {"DNS_LOOKUP": {0, 1}},
	"win_dns_response_events": {"DNS_RESPONSE": {0, 2}, "DNS_CACHE": {0, 2}},
	"win_http_events": {
		"HTTP_TRANSFER_STARTED": {0, 3}, "HTTP_TRANSFER_STOPPED": {ocsfNetwork, 6}, "HTTP_JOB_COMPLETED": {ocsfNetwork, 6},
		"HTTP_TRANSFER_FAILED": {ocsfNetwork, 4},
	},
	"win_removable_media_events": {
		"MEDIA_INSERT": {0, 1}, "MEDIA_RECOGNISED": {0, 1}, "MEDIA_DRIVER_INSTALLED": {0, 1}, "MEDIA_SERVICE_ADDED": {0, 1},
		"MEDIA_CONFIGURED": {0, 1}, "MEDIA_STARTED": {0, 1}, "MEDIA_START_FAILED": {0, 1}, "MEDIA_INSTALL_BLOCKED": {0, 1},
		"MEDIA_INSTALL_ALLOWED": {0, 1}, "MEDIA_REMOVE": {0, 2}, "MEDIA_ENABLE_REQUESTED": {0, 3}, "MEDIA_ENABLED": {0, 3},
		"MEDIA_DISABLE_REQUESTED": {0, 4}, "MEDIA_DISABLED": {0, 4},
	},
	"win_security_software_events": securitySoftwareActivities,
	"win_malware_events": {
		"detected": {0, 1}, "suspicious": {0, 1}, "acted": {0, 2}, "action_failed": {0, 2}, "hashed": {0, 2},
		"restored": {0, 2}, "restore_failed": {0, 2}, "quarantine_deleted": {0, 3}, "quarantine_delete_failed": {0, 2},
	},
	"win_log_activity_events": {"cleared": {0, 1}, "rotated": {0, 5}, "service_stopped": {0, 7}},
	"win_power_events": {
		"boot": {0, 1}, "shutdown": {0, 2}, "unexpected_shutdown": {0, 2}, "shutdown_requested": {0, 2},
		"sleep": {0, 3}, "resume": {0, 6}, "log_service_start": {ocsfEventLog, 6}, "log_service_stop": {ocsfEventLog, 7},
	},
	"win_logon_events": {
		"logon": {0, 1}, "logon_failed": {0, 1}, "explicit_credentials": {0, 1}, "credentials_validated": {0, 1},
		"logoff": {0, 2}, "ticket_granted": {0, 3}, "service_ticket": {0, 4}, "ticket_renewed": {0, 5},
		"authentication_failed": {0, 6}, "special_privileges": {ocsfAuthorize, 1}, "special_groups": {ocsfAuthorize, 2},
	},
	"win_account_events": {
		"created": {0, 1}, "enabled": {0, 2}, "password_changed": {0, 3}, "password_reset": {0, 4}, "disabled": {0, 5},
		"deleted": {0, 6}, "locked_out": {0, 9}, "unlocked": {0, 12},
	},
	"win_group_events": {"member_added": {0, 3}, "member_removed": {0, 4}, "deleted": {0, 5}, "created": {0, 6}},
	"win_service_events": {
		"installed": {0, 1}, "start_type_changed": {0, 2}, "started": {0, 3}, "start_failed": {0, 3}, "stopped": {0, 4},
		"terminated": {0, 4},
	},
	"win_task_events": {
		"created": {0, 1}, "updated": {0, 2}, "deleted": {0, 3}, "enabled": {0, 4}, "disabled": {0, 5},
		"started": {0, 6}, "action_started": {0, 6}, "triggered": {0, 6}, "process_created": {0, 6},
	},
	"win_script_events": {"script_block": {0, 1}, "pipeline": {0, 1}, "block_started": {0, 1}, "engine_started": {0, 1}},
}

var securitySoftwareActivities = map[string]activity{
	"started": {0, 3}, "stopped": {0, 4}, "error": {0, 99},
	"realtime_on": {0, 6}, "antispyware_on": {0, 6}, "antivirus_on": {0, 6}, "realtime_feature_recovered": {0, 6},
	"realtime_off": {0, 7}, "antispyware_off": {0, 7}, "antivirus_off": {0, 7}, "realtime_feature_failed": {0, 7},
	"engine_failed": {0, 7}, "expired": {0, 7},
	"signatures_updated": {0, 8}, "signatures_update_failed": {0, 8}, "signatures_reverted": {0, 8},
	"dynamic_signatures_added": {0, 8}, "dynamic_signatures_failed": {0, 8}, "engine_updated": {0, 8},
	"engine_update_failed": {0, 8}, "platform_updated": {0, 8}, "platform_update_failed": {0, 8},
	"realtime_config_changed": {ocsfConfigChange, ocsfActivityLog}, "config_changed": {ocsfConfigChange, ocsfActivityLog},
	"tamper_blocked": {ocsfConfigChange, ocsfActivityLog}, "health_ok": {ocsfConfigChange, ocsfActivityLog},
	"health_report": {ocsfConfigChange, ocsfActivityLog},
	"scan_started":  {ocsfScan, 1}, "scan_finished": {ocsfScan, 2}, "scan_stopped": {ocsfScan, 3},
	"scan_failed": {ocsfScan, 6}, "scan_paused": {ocsfScan, 7}, "scan_resumed": {ocsfScan, 8},
	"exploit_blocked": {ocsfFinding, 1}, "exploit_audited": {ocsfFinding, 1}, "exploit_overridden": {ocsfFinding, 2},
}

// OCSF returns the OCSF 1.x class_uid and activity_id of ev; type_uid is class
// times 100 plus activity. An event without a body is the base event, 0 and 0.
func OCSF(ev *telemetryv1.Event) (class, activityID uint32) {
	if t := Of(ev); t != nil {
		return t.ocsf(ev)
	}
	switch body := ev.GetBody().(type) {
	case *telemetryv1.Event_SourceHealth:
		return ocsfConfigChange, ocsfActivityLog
	case *telemetryv1.Event_Gap:
		return ocsfEventLog, ocsfActivityOther
	case *telemetryv1.Event_AgentEvent:
		switch body.AgentEvent.GetAction() {
		case "start":
			return ocsfLifecycle, 3
		case "stop":
			return ocsfLifecycle, 4
		}
		return ocsfLifecycle, ocsfActivityOther
	}
	return 0, 0
}

func (t *Table) ocsf(ev *telemetryv1.Event) (class, activityID uint32) {
	switch body := ev.Body.(type) {
	case *telemetryv1.Event_Http:
		if id, ok := httpMethods[body.Http.GetMethod()]; ok {
			return t.OCSFClass, id
		}
	case *telemetryv1.Event_Firewall, *telemetryv1.Event_Clock:
		return t.OCSFClass, ocsfActivityLog
	case *telemetryv1.Event_AuditPolicy:
		if body.AuditPolicy.GetAction() == "object_sacl_changed" {
			return ocsfFile, 7
		}
		return t.OCSFClass, ocsfActivityLog
	}
	a, ok := activities[t.Name][t.action(ev)]
	switch {
	case !ok:
		return t.OCSFClass, ocsfActivityOther
	case a.class == 0:
		return t.OCSFClass, a.id
	}
	return a.class, a.id
}

var httpMethods = map[string]uint32{
	"CONNECT": 1, "DELETE": 2, "GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7, "TRACE": 8,
}

// action is the event's action column, "" for tables without one.
func (t *Table) action(ev *telemetryv1.Event) string {
	field := t.body.Message().Fields().ByName("action")
	if field == nil {
		return ""
	}
	return ev.ProtoReflect().Get(t.body).Message().Get(field).String()
}
