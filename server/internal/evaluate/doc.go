// Package evaluate turns the facts about a host into verdicts and findings,
// rolls them up to requirements and frameworks, and computes the Merkle map
// that a run is recorded by. It is pure: no clock, no I/O, no memory between
// calls. The same facts give the same result on any machine and in any order
// of arrival; the offline verifier runs this very code.
//
// It owns the semantics of states. Its laws:
//
//   - Absence is never a pass. Unknown is derived here, from coverage, never by
//     a check.
//   - fail > error > unknown > manual > pass for one subject and control. A
//     violation fails whatever the coverage.
//   - A check looks at the 24 hours that end at the instant; a UTC-day bucket is
//     judged by the instant at its close. In between, the same length trails the
//     instant, so that no verdict flips merely because a new day began.
//   - Freshness and silence are judged at the watermark, never past it.
//
// # What selectors look for
//
// Hits come from the Sigma selectors of framework's checks; this is the list of
// raw events and the fields that hits keep. [x] marks UserData.
//
//	check              channel    ids                       fields that decide
//	log.cleared        Security   1102 [x]                  –
//	                   System     104 [x]                   Channel (of the event, not the system field)
//	log.policy_change  Security   4719                      AuditPolicyChanges, SubcategoryGuid
//	                   Security   4912                      TargetUserSid
//	log.stop           Security   1100 [x] 1101 1104 1108   PublisherID
//	                   System     7036                      param1 and param2, or Binary
//	                   System     1074, Kernel-General 13   –
//	                   Sysmon     4                         State
//	agent.alive        System     1074, Kernel-General 13   –
//	av.realtime        Defender   5000 5001 5009-5012       –
//	                   Defender   3002 3007                 "Feature Name"
//	                   Defender   1150 1151                 "RTP state" "OA state" "IOAV state" "BM state"
//	av.current         Defender   2000 2001 1151            "Last AV security intelligence age"
//	malware.resolved   Defender   1116 1006 1117 1007       "Detection ID" "Scan ID" "Error Code" "Action ID"
//	fw.change          Firewall   2003 2082                 SettingType, SettingValue, Profiles
//	                   Security   4950                      SettingType, SettingValue, ProfileChanged
//	                   Security   5024 5025 5033 5034       –
//	                   System     1074, Kernel-General 13   –
//	time.changed       Security   4616                      PreviousTime, NewTime, ProcessName
//	                   System     Kernel-General 1          OldTime, NewTime, ProcessName
//	media.known_device Security   6416                      DeviceId, ClassName
//	                   System     UserPnp 20001 20003 [x]   DeviceInstanceID
//	                   DriverFrameworks-UserMode 2003 [x]   InstanceId, or the attribute instance
//	                   Partition/Diagnostic 1006            BusType, Capacity, ParentId
//
// The other checks take metrics (log.fields, log.forward_lag), verifications
// (log.chain) and coverage ranges (log.gap, agent.alive and the telemetry
// checks) instead of hits.
package evaluate
