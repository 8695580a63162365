package winevent

import "strings"

// Message codes that the audit log writes in place of text (%%nnnn), in our
// words. What is in none of these stays as it is.
var (
	auditCategories = map[string]string{
		"%%8272": "System", "%%8273": "Logon/Logoff", "%%8274": "Object Access", "%%8275": "Privilege Use",
		"%%8276": "Detailed Tracking", "%%8277": "Policy Change", "%%8278": "Account Management",
		"%%8279": "DS Access", "%%8280": "Account Logon",
	}
	auditChanges = map[string]string{
		"%%8448": "success_removed", "%%8449": "success_added", "%%8450": "failure_removed", "%%8451": "failure_added",
		"%%8452": "include_success_removed", "%%8453": "include_success_added",
		"%%8454": "exclude_success_removed", "%%8455": "exclude_success_added",
		"%%8456": "include_failure_removed", "%%8457": "include_failure_added",
		"%%8458": "exclude_failure_removed", "%%8459": "exclude_failure_added",
	}
	standardRights = map[string]string{
		"%%1537": "delete", "%%1538": "read_control", "%%1539": "write_dac", "%%1540": "write_owner",
		"%%1541": "synchronize", "%%1542": "access_system_security", "%%1543": "maximum_allowed",
	}
	fileRights = with(standardRights, map[string]string{
		"%%4416": "read_data", "%%4417": "write_data", "%%4418": "append_data", "%%4419": "read_ea", "%%4420": "write_ea",
		"%%4421": "execute", "%%4422": "delete_child", "%%4423": "read_attributes", "%%4424": "write_attributes",
	})
	keyRights = with(standardRights, map[string]string{
		"%%4432": "query_value", "%%4433": "set_value", "%%4434": "create_sub_key", "%%4435": "enumerate_sub_keys",
		"%%4436": "notify", "%%4437": "create_link",
	})
	tokenElevations    = map[string]string{"%%1936": "default", "%%1937": "full", "%%1938": "limited"}
	impersonations     = map[string]string{"%%1831": "anonymous", "%%1832": "identification", "%%1833": "impersonation", "%%1840": "delegation"}
	directions         = map[string]string{"%%14592": "in", "%%14593": "out"}
	registryOperations = map[string]string{"%%1904": "REG_SETVALUE", "%%1905": "REG_SETVALUE", "%%1906": "REG_DELETEVALUE"}
	registryTypes      = map[string]string{
		"%%1872": "REG_NONE", "%%1873": "REG_SZ", "%%1874": "REG_EXPAND_SZ", "%%1875": "REG_BINARY", "%%1876": "REG_DWORD",
		"%%1877": "REG_DWORD_BIG_ENDIAN", "%%1878": "REG_LINK", "%%1879": "REG_MULTI_SZ", "%%1883": "REG_QWORD",
	}
	integrityLevels = map[string]string{
		"S-1-16-0": "untrusted", "S-1-16-4096": "low", "S-1-16-8192": "medium", "S-1-16-8448": "medium_plus",
		"S-1-16-12288": "high", "S-1-16-16384": "system", "S-1-16-20480": "protected",
	}
)

func with(a, b map[string]string) map[string]string {
	all := make(map[string]string, len(a)+len(b))
	for k, v := range a {
		all[k] = v
	}
	for k, v := range b {
		all[k] = v
	}
	return all
}

// uacFlags are the account control flags by bit. Their codes are %%2048+bit
// where the flag was cleared and %%2080+bit where it was set.
var uacFlags = [...]string{
	0: "account_disabled", 1: "home_directory_required", 2: "password_not_required", 3: "temporary_duplicate",
	4: "normal_account", 5: "mns_logon_account", 6: "interdomain_trust", 7: "workstation_trust", 8: "server_trust",
	9: "password_never_expires", 10: "locked_out", 11: "reversible_password", 12: "smartcard_required",
	13: "trusted_for_delegation", 14: "not_delegated", 15: "des_only", 16: "preauth_not_required",
	17: "password_expired", 18: "trusted_to_delegate", 19: "no_auth_data",
}

// uacChange decodes one code of UserAccountControl.
func uacChange(code string) string {
	digits, ok := strings.CutPrefix(code, "%%")
	n, isNumber := number(digits)
	if !ok || !isNumber || n < 2048 || n >= 2112 {
		return code
	}
	bit, set := (n-2048)%32, n >= 2080
	switch {
	case int(bit) >= len(uacFlags):
		return code
	case bit == 0 && !set:
		return "account_enabled"
	case bit == 0:
		return "account_disabled"
	case set:
		return uacFlags[bit] + "_on"
	}
	return uacFlags[bit] + "_off"
}

// AuditSubcategory returns the English name of an audit subcategory by its GUID
// in braces, "" for one that is not known.
func AuditSubcategory(guid string) string {
	guid = strings.ToLower(guid)
	const head, tail = "{0cce", "-69ae-11d9-bed3-505054503030}"
	if len(guid) != 38 || !strings.HasPrefix(guid, head) || !strings.HasSuffix(guid, tail) {
		return ""
	}
	n, ok := number("0x" + guid[len(head):9])
	if !ok || n < 0x9210 || int(n-0x9210) >= len(auditSubcategories) {
		return ""
	}
	return auditSubcategories[n-0x9210]
}

// auditSubcategories are the subcategories from {0cce9210-…} on.
var auditSubcategories = [...]string{
	"Security State Change", "Security System Extension", "System Integrity", "IPsec Driver", "Other System Events",
	"Logon", "Logoff", "Account Lockout", "IPsec Main Mode", "IPsec Quick Mode", "IPsec Extended Mode", "Special Logon",
	"Other Logon/Logoff Events", "File System", "Registry", "Kernel Object", "SAM", "Certification Services",
	"Application Generated", "Handle Manipulation", "File Share", "Filtering Platform Packet Drop",
	"Filtering Platform Connection", "Other Object Access Events", "Sensitive Privilege Use", "Non Sensitive Privilege Use",
	"Other Privilege Use Events", "Process Creation", "Process Termination", "DPAPI Activity", "RPC Events",
	"Audit Policy Change", "Authentication Policy Change", "Authorization Policy Change", "MPSSVC Rule-Level Policy Change",
	"Filtering Platform Policy Change", "Other Policy Change Events", "User Account Management",
	"Computer Account Management", "Security Group Management", "Distribution Group Management",
	"Application Group Management", "Other Account Management Events", "Directory Service Access",
	"Directory Service Changes", "Directory Service Replication", "Detailed Directory Service Replication",
	"Credential Validation", "Kerberos Service Ticket Operations", "Other Account Logon Events",
	"Kerberos Authentication Service", "Network Policy Server", "Detailed File Share", "Removable Storage",
	"Central Access Policy Staging", "User / Device Claims", "Plug and Play Events", "Group Membership",
	"Token Right Adjusted Events",
}
