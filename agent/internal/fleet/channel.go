package fleet

import (
	"slices"

	"github.com/assay-audit/assay/proto/telemetry"
)

// channel is one of the event logs that every host has.
type channel uint8

const (
	security channel = iota
	system
	application
	sysmon
	defender
	firewall
	powershell
	partition
	channelCount
)

// channelInfo is what an agent states of a channel.
type channelInfo struct {
	source, name string
	capabilities []string
	// first is roughly where record ids stand when the world begins: logs were
	// written long before.
	first uint64
}

// channels describes the logs of a host on which every subcategory that the
// checks want is audited and Sysmon runs.
var channels = [channelCount]channelInfo{
	security: {"event_log", "Security", []string{
		telemetry.CapLogSecurity, telemetry.CapAuditPolicyChange, telemetry.CapAuditProcessCreation, telemetry.CapAuditLogon,
		telemetry.CapAuditSpecialLogon, telemetry.CapAuditOtherLogon, telemetry.CapAuditAccountLockout,
		telemetry.CapAuditCredentialValidation, telemetry.CapAuditUserAccount, telemetry.CapAuditSecurityGroup,
		telemetry.CapAuditFileSystem, telemetry.CapAuditRegistry, telemetry.CapAuditRemovableStorage,
		telemetry.CapAuditFileShare, telemetry.CapAuditOtherObject, telemetry.CapAuditFirewallRule,
		telemetry.CapAuditOtherSystem, telemetry.CapAuditSecurityState, telemetry.CapAuditSystemExtension,
		telemetry.CapAuditPnP, telemetry.CapProcessStart, telemetry.CapProcessCommandLine, telemetry.CapMediaInsert,
		telemetry.CapTimeChange, telemetry.CapTaskChange, telemetry.CapServiceChange,
	}, 4_000_000},
	system: {"event_log", "System", []string{
		telemetry.CapLogSystem, telemetry.CapPowerState, telemetry.CapServiceChange, telemetry.CapTimeChange,
	}, 60_000},
	application: {"event_log", "Application", []string{telemetry.CapLogApplication}, 30_000},
	sysmon: {"sysmon", "Microsoft-Windows-Sysmon/Operational", []string{
		telemetry.CapLogSysmon, telemetry.CapProcessStart, telemetry.CapProcessStop, telemetry.CapProcessCommandLine,
		telemetry.CapDriverLoad, telemetry.CapFileChange, telemetry.CapRegistryChange, telemetry.CapNetworkConnect,
		telemetry.CapDNSQuery, telemetry.CapDNSAnswer,
	}, 9_000_000},
	defender: {"event_log", "Microsoft-Windows-Windows Defender/Operational", []string{
		telemetry.CapLogDefender, telemetry.CapAVHealth, telemetry.CapAVDetection,
	}, 5_000},
	firewall: {"event_log", "Microsoft-Windows-Windows Firewall With Advanced Security/Firewall", []string{
		telemetry.CapLogFirewall, telemetry.CapFirewallChange,
	}, 8_000},
	powershell: {"event_log", "Microsoft-Windows-PowerShell/Operational", []string{
		telemetry.CapLogPowerShell, telemetry.CapScriptBlock,
	}, 2_000},
	partition: {"event_log", "Microsoft-Windows-Partition/Diagnostic", []string{telemetry.CapMediaInsert}, 40},
}

// audited names what goes with the audit subcategories that the script removes.
var audited = map[string][]string{
	subcategoryProcessCreation: {telemetry.CapAuditProcessCreation, telemetry.CapProcessStart, telemetry.CapProcessCommandLine},
	subcategoryLogon:           {telemetry.CapAuditLogon},
}

// without returns the capabilities of the Security channel that are left when
// these subcategories are not audited.
func without(subcategories []string) []string {
	left := slices.Clone(channels[security].capabilities)
	for _, s := range subcategories {
		left = slices.DeleteFunc(left, func(c string) bool { return slices.Contains(audited[s], c) })
	}
	return left
}
