package telemetry

import "slices"

// The capabilities: what a source can see as it is configured now. Sources state
// them in SourceState.capabilities and checks require them; the vocabulary is
// closed.
const (
	// CapAuditPolicyChange: subcategory Audit Policy Change (4719, 4912).
	CapAuditPolicyChange = "audit.policy_change"
	// CapAuditProcessCreation: subcategory Process Creation (4688).
	CapAuditProcessCreation = "audit.process_creation"
	// CapAuditProcessTermination: subcategory Process Termination (4689).
	CapAuditProcessTermination = "audit.process_termination"
	// CapAuditLogon: subcategories Logon and Logoff (4624, 4625, 4634, 4647).
	CapAuditLogon = "audit.logon"
	// CapAuditSpecialLogon: subcategory Special Logon (4672, 4964).
	CapAuditSpecialLogon = "audit.special_logon"
	// CapAuditOtherLogon: subcategory Other Logon/Logoff (4778, 4800, …).
	CapAuditOtherLogon = "audit.other_logon"
	// CapAuditAccountLockout: subcategory Account Lockout.
	CapAuditAccountLockout = "audit.account_lockout"
	// CapAuditCredentialValidation: subcategory Credential Validation (4776).
	CapAuditCredentialValidation = "audit.credential_validation"
	// CapAuditUserAccount: subcategory User Account Management (4720 ff.).
	CapAuditUserAccount = "audit.user_account"
	// CapAuditSecurityGroup: subcategory Security Group Management (4727 ff.).
	CapAuditSecurityGroup = "audit.security_group"
	// CapAuditFileSystem: subcategory File System (4656, 4663); which folders
	// are seen is the SACLs' matter, see CapFileChange.
	CapAuditFileSystem = "audit.file_system"
	// CapAuditRegistry: subcategory Registry (4657).
	CapAuditRegistry = "audit.registry"
	// CapAuditRemovableStorage: subcategory Removable Storage.
	CapAuditRemovableStorage = "audit.removable_storage"
	// CapAuditFileShare: subcategories File Share and Detailed File Share.
	CapAuditFileShare = "audit.file_share"
	// CapAuditOtherObject: subcategory Other Object Access (4698 ff.).
	CapAuditOtherObject = "audit.other_object"
	// CapAuditConnection: subcategory Filtering Platform Connection (5156 ff.).
	CapAuditConnection = "audit.connection"
	// CapAuditPacketDrop: subcategory Filtering Platform Packet Drop (5152).
	CapAuditPacketDrop = "audit.packet_drop"
	// CapAuditFirewallRule: subcategory MPSSVC Rule-Level Policy Change (4946 ff.).
	CapAuditFirewallRule = "audit.firewall_rule"
	// CapAuditOtherSystem: subcategory Other System Events (5024, 5025, 5034).
	CapAuditOtherSystem = "audit.other_system"
	// CapAuditSecurityState: subcategory Security State Change (4608, 4616).
	CapAuditSecurityState = "audit.security_state_change"
	// CapAuditSystemExtension: subcategory Security System Extension (4697).
	CapAuditSystemExtension = "audit.system_extension"
	// CapAuditPnP: subcategory Plug and Play Events (6416, 6419-6424).
	CapAuditPnP = "audit.pnp"

	// CapLogSecurity: the Security channel is enabled and read.
	CapLogSecurity = "log.security"
	// CapLogSystem: the System channel is enabled and read.
	CapLogSystem = "log.system"
	// CapLogApplication: the Application channel is enabled and read.
	CapLogApplication = "log.application"
	// CapLogDefender: the Windows Defender channel is enabled and read.
	CapLogDefender = "log.defender"
	// CapLogSysmon: Sysmon's channel is enabled and read.
	CapLogSysmon = "log.sysmon"
	// CapLogFirewall: the Windows Firewall channel is enabled and read.
	CapLogFirewall = "log.firewall"
	// CapLogPowerShell: PowerShell's operational channel is enabled and read.
	CapLogPowerShell = "log.powershell"
	// CapLogTaskScheduler: the Task Scheduler channel is enabled and read.
	CapLogTaskScheduler = "log.task_scheduler"

	// CapProcessStart: starts of all processes are seen.
	CapProcessStart = "process.start"
	// CapProcessStop: ends of all processes are seen.
	CapProcessStop = "process.stop"
	// CapProcessCommandLine: starts carry the command line.
	CapProcessCommandLine = "process.command_line"
	// CapProcessOpen: handles to processes are seen.
	CapProcessOpen = "process.open"
	// CapImageLoad: loads of modules are seen.
	CapImageLoad = "image.load"
	// CapDriverLoad: loads of drivers are seen.
	CapDriverLoad = "driver.load"
	// CapFileChange: changes of files in the declared paths are seen.
	CapFileChange = "file.change"
	// CapFileRead: reads of files in the declared paths are seen.
	CapFileRead = "file.read"
	// CapRegistryChange: changes of the registry in the declared keys are seen.
	CapRegistryChange = "registry.change"
	// CapNetworkConnect: connections are seen.
	CapNetworkConnect = "network.connect"
	// CapNetworkListen: listeners are seen.
	CapNetworkListen = "network.listen"
	// CapDNSQuery: names asked for are seen.
	CapDNSQuery = "dns.query"
	// CapDNSAnswer: answers to them are seen.
	CapDNSAnswer = "dns.answer"
	// CapHTTPRequest: HTTP requests are seen.
	CapHTTPRequest = "http.request"
	// CapMediaInsert: insertions of removable media are seen, with their identity.
	CapMediaInsert = "media.insert"
	// CapAVHealth: the anti-malware product reports its state.
	CapAVHealth = "av.health"
	// CapAVDetection: the anti-malware product reports detections.
	CapAVDetection = "av.detection"
	// CapFirewallChange: changes of the firewall are seen.
	CapFirewallChange = "firewall.change"
	// CapTimeChange: changes of the clock are seen.
	CapTimeChange = "time.change"
	// CapPowerState: starts and ends of the system are seen.
	CapPowerState = "power.state"
	// CapScriptBlock: text of scripts is seen.
	CapScriptBlock = "script.block"
	// CapServiceChange: installation and change of services is seen.
	CapServiceChange = "service.change"
	// CapTaskChange: changes of scheduled tasks are seen.
	CapTaskChange = "task.change"
)

// Capabilities lists the whole vocabulary, sorted.
func Capabilities() []string {
	all := []string{
		CapAuditPolicyChange, CapAuditProcessCreation, CapAuditProcessTermination, CapAuditLogon,
		CapAuditSpecialLogon, CapAuditOtherLogon, CapAuditAccountLockout, CapAuditCredentialValidation,
		CapAuditUserAccount, CapAuditSecurityGroup, CapAuditFileSystem, CapAuditRegistry,
		CapAuditRemovableStorage, CapAuditFileShare, CapAuditOtherObject, CapAuditConnection,
		CapAuditPacketDrop, CapAuditFirewallRule, CapAuditOtherSystem, CapAuditSecurityState,
		CapAuditSystemExtension, CapAuditPnP,
		CapLogSecurity, CapLogSystem, CapLogApplication, CapLogDefender, CapLogSysmon, CapLogFirewall,
		CapLogPowerShell, CapLogTaskScheduler,
		CapProcessStart, CapProcessStop, CapProcessCommandLine, CapProcessOpen, CapImageLoad, CapDriverLoad,
		CapFileChange, CapFileRead, CapRegistryChange, CapNetworkConnect, CapNetworkListen,
		CapDNSQuery, CapDNSAnswer, CapHTTPRequest, CapMediaInsert, CapAVHealth, CapAVDetection,
		CapFirewallChange, CapTimeChange, CapPowerState, CapScriptBlock, CapServiceChange, CapTaskChange,
	}
	slices.Sort(all)
	return all
}

// Capability says whether name is in the vocabulary.
func Capability(name string) bool { return slices.Contains(Capabilities(), name) }
