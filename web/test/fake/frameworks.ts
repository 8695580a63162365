// Frameworks and checks of the fake: a few of each kind, in our own words.

export interface FakeCheck {
  id: string;
  title: string;
  kind: string;
  description: string;
  violation: string;
  requires: string[];
  remedy: string;
  minimumGrade: string;
}

const check = (id: string, title: string, kind: string, violation: string, requires: string[], remedy: string): FakeCheck => ({
  id,
  title,
  kind,
  description: `${title}, judged for each host over the last day.`,
  violation,
  requires,
  remedy,
  minimumGrade: "B",
});

export const checks: FakeCheck[] = [
  check("log.cleared", "No event log was cleared", "occurrence", "Security 1102, or System 104 for a watched channel.", ["security.log", "system.log"], "Find out who cleared the log and close the finding with its cause."),
  check("log.policy_change", "Auditing was not reduced", "occurrence", "Event 4719 removes a profiled subcategory.", ["security.audit_policy"], "Restore the audit policy; a recorded change window explains planned changes."),
  check("log.stop", "Logging did not stop", "occurrence", "1100, 1101, 1104 or 1108 outside a shutdown.", ["security.log", "system.log"], "Start the event log service and look for what stopped it."),
  check("log.fields", "Records hold the required fields", "metric", "Under 99 % of records have user, type, time, outcome, origin and object.", [], "Look at the table with the missing fields."),
  check("log.forward_lag", "Records arrive in time", "metric", "The 99th percentile of the delay is over 5 minutes.", [], "Look at the agent's uplink."),
  check("log.chain", "The ledger verifies", "record", "No good verification in 24 hours.", [], "Run a verification under Ledger."),
  check("proc.telemetry", "Process starts are seen", "capability", "No source of process starts with command lines.", ["process.start"], "Install Sysmon or switch on auditing of process creation with command lines."),
  check("fim.live", "Changes to watched files are seen", "capability", "No source covers the declared paths.", ["file.change"], "Declare the paths to watch."),
  check("net.telemetry", "Connections are seen", "capability", "No source of connections.", ["net.connection"], "Install Sysmon with event 3."),
  check("dns.telemetry", "DNS answers are seen", "capability", "No source of DNS answers.", ["dns.answer"], "Switch on the DNS client's operational log."),
  check("av.realtime", "Real-time protection is on", "state", "Off at any time in the window.", ["defender.log"], "Switch real-time protection on; tamper protection keeps it on."),
  check("av.current", "Signatures are current", "latest", "Signatures are older than 3 days.", ["defender.log"], "Update the signatures."),
  check("malware.resolved", "Malware found was dealt with", "expect", "A detection without its action within an hour.", ["defender.log"], "Look at the detection on the host."),
  check("fw.change", "The firewall stayed on", "occurrence", "A profile was switched off or the service stopped.", ["firewall.log"], "Switch the profile on again."),
  check("time.changed", "The clock was not set by hand", "occurrence", "The time changed by over a second, not by the time service.", ["system.log"], "Find out what set the clock."),
  check("media.known_device", "Only known devices were attached", "list", "A device that is not on the list.", ["device.insert"], "Add the device to the list or remove it."),
  check("agent.alive", "The agent reports", "latest", "No health report for 15 minutes.", [], "Look at the service assay-agent on the host."),
];

export interface FakeRequirement {
  id: string;
  title: string;
  ceiling: string;
  obligation: string;
  checks: string[];
  chapter: string;
}

const need = (chapter: string, id: string, title: string, ceiling: string, of: string[], obligation = "required"): FakeRequirement => ({ id, title, ceiling, obligation, checks: of, chapter });

export const frameworks = [
  {
    id: "pci-dss",
    version: "4.0.1",
    title: "PCI DSS",
    requirements: [
      need("1 Network controls", "1.2.8", "Settings of network controls are kept from change", "P", ["fw.change"]),
      need("1 Network controls", "1.5.1", "Devices outside keep their own protection on", "A", ["fw.change"]),
      need("5 Malicious software", "5.2.2", "Malware is found and dealt with", "A", ["malware.resolved"]),
      need("5 Malicious software", "5.3.1", "Protection is kept current", "A", ["av.current"]),
      need("5 Malicious software", "5.3.2", "Protection scans all the time", "A", ["av.realtime"]),
      need("5 Malicious software", "5.3.5", "Users cannot switch protection off", "A", ["av.realtime"]),
      need("9 Physical access", "9.4.1", "Media are handled as their data demand", "P", ["media.known_device"]),
      need("10 Logging", "10.2.1.1", "Access to card data is recorded for each person", "P", ["fim.live", "proc.telemetry"]),
      need("10 Logging", "10.2.1.2", "What administrators do is recorded", "A", ["proc.telemetry"]),
      need("10 Logging", "10.2.1.6", "Starting, stopping and clearing of logs is recorded", "A", ["log.cleared", "log.policy_change", "log.stop"]),
      need("10 Logging", "10.2.2", "Records hold who, what, when, where and the outcome", "A", ["log.fields"]),
      need("10 Logging", "10.3.2", "Records are kept from being altered", "A", ["log.chain", "log.cleared"]),
      need("10 Logging", "10.3.3", "Records leave the host at once", "A", ["log.forward_lag"]),
      need("10 Logging", "10.4.1", "Records are reviewed daily", "M", []),
      need("10 Logging", "10.6.3", "Settings of time are kept from change", "A", ["time.changed"]),
      need("10 Logging", "10.7.2", "Failures of security controls are noticed and answered", "P", ["log.stop", "agent.alive", "av.realtime"]),
      need("11 Testing", "11.5.2", "Changes to critical files are noticed", "P", ["fim.live"]),
      need("12 Policy", "12.10.1", "An incident plan exists and is ready", "M", []),
    ],
  },
  {
    id: "hipaa",
    version: "2013",
    title: "HIPAA Security Rule",
    requirements: [
      need("164.308 Administrative", "308(a)(5)(ii)(B)", "Protection from malicious software", "A", ["av.realtime", "av.current"], "addressable"),
      need("164.310 Physical", "310(d)(1)", "Devices and media that come and go are known", "P", ["media.known_device"]),
      need("164.310 Physical", "310(d)(2)(iii)", "Movements of hardware are recorded", "P", ["media.known_device"], "addressable"),
      need("164.312 Technical", "312(b)", "Activity in systems with health data is recorded", "A", ["proc.telemetry", "net.telemetry", "dns.telemetry", "log.cleared", "log.stop"]),
      need("164.312 Technical", "312(c)(1)", "Health data are kept from improper change", "P", ["fim.live", "log.cleared"]),
      need("164.312 Technical", "312(c)(2)", "Data can be shown to be unaltered", "S", ["log.chain"], "addressable"),
    ],
  },
  {
    id: "gdpr",
    version: "2016-679",
    title: "GDPR",
    requirements: [
      need("Article 32", "32(1)(b)", "Systems stay confidential, whole and available", "P", ["av.realtime", "fw.change", "agent.alive"]),
      need("Article 32", "32(1)(d)", "Measures are tested and assessed", "M", []),
      need("Article 33", "33(1)", "Breaches are noticed in time to report them", "P", ["malware.resolved", "log.stop"]),
    ],
  },
  {
    id: "dns-integrity",
    version: "1",
    title: "DNS integrity",
    requirements: [need("Resolution", "dns.1", "Every host's resolution can be followed", "A", ["dns.telemetry"]), need("Resolution", "dns.2", "Connections match what was resolved", "P", ["dns.telemetry", "net.telemetry"])],
  },
];
