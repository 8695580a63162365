package winevent

import (
	"strings"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

// Microsoft's anti-malware products write the same events under the one name or
// the other.
var providersDefender = []string{"Microsoft-Windows-Windows Defender", "Microsoft Antimalware"}

// defenderActions maps what is about the product itself.
var defenderActions = map[uint32]string{
	1000: "scan_started", 1001: "scan_finished", 1002: "scan_stopped", 1003: "scan_paused", 1004: "scan_resumed",
	1005: "scan_failed", 1013: "history_deleted", 1014: "history_delete_failed",
	1121: "exploit_blocked", 1122: "exploit_audited", 1123: "exploit_blocked", 1124: "exploit_audited",
	1125: "exploit_audited", 1126: "exploit_blocked", 1127: "exploit_blocked", 1128: "exploit_audited",
	1129: "exploit_overridden", 1131: "exploit_blocked", 1132: "exploit_audited", 1133: "exploit_blocked",
	1134: "exploit_audited",
	1150: "health_ok", 1151: "health_report",
	2000: "signatures_updated", 2001: "signatures_update_failed", 2002: "engine_updated", 2003: "engine_update_failed",
	2004: "signatures_reverted", 2005: "platform_outdated", 2006: "platform_update_failed", 2007: "platform_outdated",
	2010: "dynamic_signatures_added", 2011: "dynamic_signatures_removed", 2012: "dynamic_signatures_failed",
	2013: "dynamic_signatures_removed", 2014: "platform_updated", 2020: "signatures_updated",
	2021: "signatures_update_failed", 2030: "offline_scan_prepared", 2031: "offline_scan_failed", 2040: "os_expiring", 2041: "os_unsupported", 2042: "os_unsupported",
	3002: "realtime_feature_failed", 3007: "realtime_feature_recovered",
	5000: "realtime_on", 5001: "realtime_off", 5004: "realtime_config_changed", 5007: "config_changed",
	5008: "engine_failed", 5009: "antispyware_on", 5010: "antispyware_off", 5011: "antivirus_on", 5012: "antivirus_off",
	5013: "tamper_blocked", 5100: "expiring", 5101: "expired",
}

// defenderFeatures names the part of the product where only the id says it.
var defenderFeatures = map[uint32]string{
	1121: "attack surface reduction", 1122: "attack surface reduction", 1129: "attack surface reduction",
	1131: "attack surface reduction", 1132: "attack surface reduction", 1133: "attack surface reduction",
	1134: "attack surface reduction",
	1123: "controlled folder access", 1124: "controlled folder access", 1127: "controlled folder access",
	1128: "controlled folder access",
	1125: "network protection", 1126: "network protection",
}

// protectionStates says how protection stands after an event. A failed feature
// or an engine that ended is off until something says otherwise.
var protectionStates = map[string]string{
	"realtime_on": "on", "realtime_off": "off", "realtime_feature_failed": "off", "realtime_feature_recovered": "on",
	"antispyware_on": "on", "antispyware_off": "off", "antivirus_on": "on", "antivirus_off": "off",
	"engine_failed": "off", "expired": "off", "os_unsupported": "off", "health_ok": "on",
}

// malwareActions maps what is about something that was found.
var malwareActions = map[uint32]string{
	1006: "detected", 1116: "detected", 1115: "detected", 1007: "acted", 1117: "acted",
	1008: "action_failed", 1118: "action_failed", 1119: "action_failed", 1009: "restored", 1010: "restore_failed",
	1011: "quarantine_deleted", 1012: "quarantine_delete_failed", 1015: "suspicious", 1120: "hashed",
}

// endOfSupport says that the system's support has ended, when the product still
// protects; 2042 says that it no longer does.
const endOfSupport = 2041

func defenderRows() []row {
	var rows []row
	for _, provider := range providersDefender {
		for id, action := range defenderActions {
			state := protectionStates[action]
			if id == endOfSupport {
				state = ""
			}
			rows = append(rows, row{provider, []uint32{id}, defender(action, state)})
		}
		for id, action := range malwareActions {
			rows = append(rows, row{provider, []uint32{id}, malware(action)})
		}
	}
	return rows
}

// label is the value of a Defender field. Its fields are named in English with
// spaces, in changing case, and "signature" became "security intelligence": all
// of that is one name here.
func (m *mapper) label(names ...string) string {
	// A record is asked for some forty labels: its names are folded once.
	if m.labels == nil {
		m.labels = make([]string, len(m.fields))
		for i := range m.fields {
			m.labels[i] = defenderName(m.fields[i].Name)
		}
	}
	for _, name := range names {
		for i := range m.fields {
			if m.labels[i] == name {
				if v := strings.TrimSpace(m.fields[i].Value); v != "" && v != "-" {
					return valid(v)
				}
				break
			}
		}
	}
	return ""
}

func defenderName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '_' {
			return -1
		}
		return r
	}, strings.ToLower(s))
	return strings.ReplaceAll(s, "securityintelligence", "signature")
}

func (m *mapper) labelAge(names ...string) *uint32 {
	if v, ok := number(m.label(names...)); ok && v <= 1<<32-1 {
		return proto.Uint32(uint32(v))
	}
	return nil
}

func (m *mapper) labelState(names ...string) *bool {
	switch strings.ToLower(m.label(names...)) {
	case "enabled", "true", "1", "on":
		return proto.Bool(true)
	case "disabled", "false", "0", "off":
		return proto.Bool(false)
	}
	return nil
}

// product is the product's name. Some versions write the number of a message in
// its place; then the provider's name says as much.
func (m *mapper) product(name string) string {
	if name == "" || strings.HasPrefix(name, "%%") {
		return strings.TrimPrefix(valid(m.record.Provider), "Microsoft-Windows-")
	}
	return name
}

func (m *mapper) labelUser() string {
	user, domain := m.label("user"), m.label("domain")
	if domain == "" || user == "" || strings.Contains(user, `\`) {
		return user
	}
	return domain + `\` + user
}

func defender(action, state string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.SecuritySoftwareEvent{
			Action:                   action,
			Product:                  m.label("productname"),
			ProductVersion:           m.label("productversion", "platformversion", "currentplatformversion"),
			State:                    state,
			Feature:                  m.label("featurename"),
			Reason:                   m.label("reason"),
			ErrorCode:                minimalHex(m.label("errorcode")),
			ErrorDescription:         m.label("errordescription"),
			SignatureVersion:         m.label("currentsignatureversion", "newsignatureversion", "avsignatureversion", "signatureversion"),
			PreviousSignatureVersion: m.label("previoussignatureversion"),
			SignatureCreatedAt:       timeText(m.label("avsignaturecreationtime")),
			SignatureAgeDays:         m.labelAge("lastavsignatureage", "avsignatureage", "antivirussignatureage"),
			EngineVersion:            m.label("currentengineversion", "newengineversion", "engineversion"),
			PreviousEngineVersion:    m.label("previousengineversion"),
			UpdateType:               m.label("signaturetype", "updatetype"),
			UpdateSource:             m.label("updatesource"),
			ScanId:                   m.label("scanid"),
			ScanType:                 m.label("scantype"),
			OldValue:                 m.label("oldvalue"),
			NewValue:                 m.label("newvalue"),
			Path:                     m.normaliser.drivePath(m.label("path", "destination")),
			ProcessName:              m.normaliser.drivePath(m.label("processname")),
			RuleId:                   m.label("id", "ruleid"),
			UserName:                 m.labelUser(),
			UserSid:                  m.label("sid"),
		}
		e.Product = m.product(e.Product)
		if e.Feature == "" {
			e.Feature = defenderFeatures[m.record.EventID]
		}
		e.RealtimeEnabled = m.labelState("rtpstate")
		e.OnAccessEnabled = m.labelState("oastate")
		e.DownloadScanEnabled = m.labelState("ioavstate")
		e.BehaviorMonitorEnabled = m.labelState("bmstate")
		e.TamperProtectionEnabled = m.labelState("tamperprotectionstate", "tpstate")
		e.QuickScanAgeDays = m.labelAge("lastquickscanage")
		e.FullScanAgeDays = m.labelAge("lastfullscanage")
		e.QuickScanFinishedAt = timeText(m.label("lastquickscanendtime"))
		e.FullScanFinishedAt = timeText(m.label("lastfullscanendtime"))
		if action == "health_report" && e.RealtimeEnabled != nil {
			e.State = "off"
			if e.GetRealtimeEnabled() {
				e.State = "on"
			}
		}
		m.event.Body = &telemetryv1.Event_SecuritySoftware{SecuritySoftware: e}
	}
}

func malware(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.MalwareEvent{
			Action:           action,
			Product:          m.label("productname"),
			DetectionId:      strings.ToLower(m.label("detectionid")),
			Threat:           m.label("threatname", "name"),
			ThreatId:         m.label("threatid"),
			Severity:         m.label("severityname", "severity"),
			Category:         m.label("categoryname", "category"),
			Path:             m.label("path", "pathfound"),
			TakenAction:      m.label("actionname", "action"),
			TakenActionId:    m.labelAge("actionid"),
			ErrorCode:        minimalHex(m.label("errorcode")),
			ErrorDescription: m.label("errordescription"),
			ProcessName:      m.normaliser.drivePath(m.label("processname")),
			DetectionUser:    m.label("detectionuser"),
			RemediationUser:  m.label("remediationuser"),
			Origin:           m.label("originname", "detectionorigin"),
			DetectionSource:  m.label("sourcename", "detectionsource"),
			ExecutionStatus:  m.label("executionname", "executionstatus"),
			SignatureVersion: m.label("signatureversion"),
			EngineVersion:    m.label("engineversion"),
			Sha256:           strings.ToLower(m.label("sha256", "hashes")),
		}
		e.Product = m.product(e.Product)
		if e.DetectionUser == "" {
			e.DetectionUser = m.labelUser()
		}
		switch action {
		case "acted":
			// An action that reports no error is one that worked.
			e.Resolved = proto.Bool(e.ErrorCode == "" || e.ErrorCode == "0x0")
		case "action_failed", "restored":
			e.Resolved = proto.Bool(false)
		}
		m.event.Body = &telemetryv1.Event_Malware{Malware: e}
	}
}

// sysmonServiceRows: Sysmon's statements about itself.
func sysmonServiceRows() []row {
	return []row{{telemetry.SysmonProvider, []uint32{4, 16, 255}, sysmonService}}
}

func sysmonService(m *mapper) {
	e := &telemetryv1.SecuritySoftwareEvent{Product: "Sysmon", ProductVersion: m.text("Version")}
	switch m.record.EventID {
	case 4:
		switch strings.ToLower(m.text("State")) {
		case "started":
			e.Action, e.State = "started", "on"
		case "stopped":
			e.Action, e.State = "stopped", "off"
		default:
			return
		}
	case 16:
		e.Action = "config_changed"
		e.Path = m.path("Configuration")
		e.Hash = m.text("ConfigurationFileHash")
	default:
		e.Action = "error"
		e.Feature = m.text("ID")
		e.ErrorDescription = m.text("Description")
	}
	m.event.Body = &telemetryv1.Event_SecuritySoftware{SecuritySoftware: e}
}
