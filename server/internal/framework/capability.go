package framework

// Capabilities are the names that source health uses for what a source can see
// as it is configured, and that clauses may ask for.
func Capabilities() map[string]string {
	return map[string]string{
		"process.start":               "starts of processes",
		"process.command_line":        "starts of processes with their command lines",
		"file.write":                  "creation and change of files",
		"file.delete":                 "deletion of files",
		"file.access":                 "access to files whose SACL asks for it",
		"network.connect":             "connections, out and in",
		"dns.query":                   "DNS questions",
		"dns.answer":                  "DNS answers",
		"audit.policy_change":         "subcategory Audit Policy Change",
		"audit.security_state_change": "subcategory Security State Change",
		"audit.pnp_activity":          "subcategory Plug and Play Events",
		"audit.mpssvc_rule_change":    "subcategory MPSSVC Rule-Level Policy Change",
		"audit.other_system_events":   "subcategory Other System Events",
		"audit.process_creation":      "subcategory Process Creation",
		"audit.filtering_connection":  "subcategory Filtering Platform Connection",
		"defender.health":             "the antivirus log",
		"firewall.change":             "the firewall log",
		"media.insert":                "insertion of removable media",
	}
}

// Sources are the telemetry sources that a clause may name.
func Sources() []string {
	return []string{"kernel", "sysmon", "event_log", "etw", "forwarded", "osquery", "agent"}
}
