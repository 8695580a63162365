package winevent

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// firewallActions maps the firewall's own channel. Windows 11 writes the same
// under other numbers.
var firewallActions = map[uint32]string{
	2002: "setting_changed", 2083: "setting_changed",
	2003: "profile_changed", 2082: "profile_changed",
	2004: "rule_added", 2071: "rule_added", 2097: "rule_added",
	2005: "rule_changed", 2073: "rule_changed",
	2006: "rule_deleted", 2052: "rule_deleted",
	2032: "reset", 2060: "reset",
	2033: "rules_deleted", 2059: "rules_deleted",
	2008: "policy_applied", 2009: "policy_failed", 2010: "network_changed", 2011: "app_blocked",
}

// firewallAuditActions maps the Security log.
var firewallAuditActions = map[uint32]string{
	4944: "policy_listed", 4945: "rule_listed", 4946: "rule_added", 4947: "rule_changed", 4948: "rule_deleted",
	4949: "reset", 4950: "profile_changed", 4951: "rule_ignored", 4952: "rule_ignored", 4953: "rule_ignored",
	4954: "policy_applied", 4956: "network_changed", 4957: "rule_ignored", 4958: "rule_ignored",
	5024: "service_started", 5025: "service_stopped", 5027: "policy_failed", 5028: "policy_failed",
	5029: "driver_failed", 5030: "service_failed", 5031: "app_blocked", 5032: "app_blocked", 5033: "driver_started",
	5034: "driver_stopped", 5035: "driver_failed", 5037: "driver_failed", 5447: "filter_changed",
}

func firewallRows() []row {
	var rows []row
	for id, action := range firewallActions {
		rows = append(rows, row{providerFirewall, []uint32{id}, firewall(action)})
	}
	for id, action := range firewallAuditActions {
		rows = append(rows, row{providerSecurity, []uint32{id}, firewall(action)})
	}
	return rows
}

func firewall(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.FirewallEvent{
			Action:          action,
			Profiles:        m.profiles(),
			Setting:         m.text("SettingType"),
			Value:           m.text("SettingValueDisplay", "SettingValueString", "SettingValue"),
			RuleId:          m.text("RuleId", "FilterKey"),
			RuleTitle:       m.text("RuleName", "FilterName"),
			RuleEnabled:     m.boolean("Active"),
			Direction:       firewallDirections[m.text("Direction")],
			Protocol:        m.i32("Protocol"),
			LocalPorts:      m.text("LocalPorts"),
			RemotePorts:     m.text("RemotePorts"),
			LocalAddresses:  m.text("LocalAddresses"),
			RemoteAddresses: m.text("RemoteAddresses"),
			ApplicationPath: m.path("ApplicationPath", "Application"),
			ServiceName:     m.text("ServiceName"),
			PolicyOrigin:    m.text("Origin", "PolicyOrigin", "ProviderName"),
			UserName:        m.text("UserName"),
			UserSid:         m.sid("ModifyingUser", "UserSid"),
			Pid:             m.u32("ProcessId"),
			ProcessName:     m.path("ModifyingApplication"),
			ErrorCode:       m.hex("ErrorCode"),
		}
		if e.Setting == "" && action == "rule_ignored" {
			e.Setting = m.text("RuleAttr", "Error")
		}
		if a, ok := firewallRuleActions[m.text("Action")]; ok && m.record.Provider == providerFirewall {
			e.RuleAction = a
		}
		if action == "profile_changed" {
			m.profileSwitch(e)
		}
		m.event.Body = &telemetryv1.Event_Firewall{Firewall: e}
	}
}

var (
	firewallDirections  = map[string]string{"1": "in", "2": "out"}
	firewallRuleActions = map[string]string{"2": "block", "3": "allow", "4": "bypass"}
)

// profileSwitch recognises a profile's own switch among its settings: setting
// type 1 of the firewall's channel, whose value is a number in little-endian
// bytes, and the audit log's text for it.
func (m *mapper) profileSwitch(e *telemetryv1.FirewallEvent) {
	if m.record.Provider == providerFirewall {
		if m.text("SettingType") != "1" {
			return
		}
		e.Setting = "enable_firewall"
		value := m.text("SettingValue")
		if b, err := hex.DecodeString(strings.TrimPrefix(value, "0x")); err == nil && len(b) == 4 {
			e.Enabled = proto.Bool(binary.LittleEndian.Uint32(b) != 0)
		} else {
			e.Enabled = m.boolean("SettingValueDisplay", "SettingValueString", "SettingValue")
		}
		return
	}
	setting := strings.ToLower(e.Setting)
	if strings.Contains(setting, "enable") && strings.Contains(setting, "firewall") {
		e.Enabled = m.boolean("SettingValue")
	}
}

// profiles reads a mask (1 domain, 2 private, 4 public) or the audit log's text.
func (m *mapper) profiles() []string {
	names := []string{"domain", "private", "public"}
	text := m.text("Profiles", "ProfileChanged", "Profile", "ActiveProfile", "NewProfile", "OldProfile")
	if mask, ok := number(text); ok {
		var out []string
		for i, name := range names {
			if mask&(1<<i) != 0 {
				out = append(out, name)
			}
		}
		return out
	}
	text = strings.ToLower(text)
	if text == "all" {
		return names
	}
	var out []string
	for _, name := range names {
		if strings.Contains(text, name) {
			out = append(out, name)
		}
	}
	return out
}
