package fleet

import (
	"slices"
	"time"
)

// Step is something out of the ordinary that happens on one host.
type Step struct {
	// Host is the name of the host, Number its place in the fleet.
	Host   string
	Number int
	// Before is how long before the fleet's first start it happens.
	Before time.Duration
	// Lasts is how long its state holds; 0 where it has none or does not end.
	Lasts time.Duration
	// What it is, in one line.
	What string
	// Check is the id of the check that must fail by it, "" for what only looks
	// like a violation. A silence fails log.gap and agent.alive both.
	Check string

	act act
}

// act is what a step does to a host.
type act uint8

const (
	clearSecurity act = iota + 1
	clearSystem
	removeProcessCreation
	removeLogon
	realtimeOff
	malwareFound
	malwareResolved
	plugUnknown
	plugApproved
	goSilent
	loseRecords
	setClock
	serviceSetsClock
	firewallOff
)

// Script lists what goes wrong in a fleet of 25 hosts or more, and what looks
// like it without being it. The steps that fall before the backfill, or on hosts
// that a smaller fleet does not have, do not happen.
func Script() []Step {
	steps := []Step{
		{Number: 2, Before: 9 * time.Hour, act: clearSecurity, Check: "log.cleared", What: "the Security log is cleared (1102)"},
		{Number: 5, Before: 7 * time.Hour, act: clearSystem, Check: "log.cleared", What: "the System log is cleared (104)"},
		{Number: 15, Before: 6 * time.Hour, act: removeProcessCreation, Check: "log.policy_change",
			What: "auditing of Process Creation is removed (4719) and stays so"},
		{Number: 3, Before: 11 * time.Hour, Lasts: 35 * time.Minute, act: removeLogon, Check: "log.policy_change",
			What: "auditing of Logon is removed (4719) and restored 35 minutes later"},
		{Number: 16, Before: 4 * time.Hour, act: realtimeOff, Check: "av.realtime",
			What: "real-time protection is turned off (5001) and stays so (1151)"},
		{Number: 8, Before: 13 * time.Hour, Lasts: 75 * time.Minute, act: realtimeOff, Check: "av.realtime",
			What: "real-time protection is turned off (5001) and on again (5000) 75 minutes later"},
		{Number: 18, Before: 5 * time.Hour, act: malwareFound, Check: "malware.resolved", What: "malware is found (1116) and nothing is done"},
		{Number: 20, Before: 3 * time.Hour, act: plugUnknown, Check: "media.known_device", What: "a USB disk that nobody approved is plugged in (6416, 1006)"},
		{Number: 10, Before: 5 * time.Hour, act: goSilent, Check: "agent.alive", What: "the host falls silent without a shutdown"},
		{Number: 12, Before: 15 * time.Hour, Lasts: 40 * time.Minute, act: loseRecords, Check: "log.gap",
			What: "no health for 40 minutes, and the records of that time are missing"},
		{Number: 4, Before: 8 * time.Hour, act: setClock, Check: "time.changed", What: "a user sets the clock (4616, Kernel-General 1)"},
		{Number: 1, Before: 10 * time.Hour, act: firewallOff, Check: "fw.change", What: "a firewall profile is switched off (2003)"},
		{Number: 22, Before: 2 * time.Hour, act: firewallOff, Check: "fw.change", What: "a firewall profile is switched off (2082)"},

		{Number: 14, Before: 4 * time.Hour, act: malwareResolved, What: "malware is found (1116) and quarantined at once (1117)"},
		{Number: 24, Before: 5 * time.Hour, act: plugApproved, What: "an approved USB disk is plugged in"},
		{Number: 6, Before: 12 * time.Hour, act: serviceSetsClock, What: "the time service steps the clock (4616 by svchost.exe)"},
	}
	hosts := Hosts(0, fleetSize) // names do not depend on the seed
	for i := range steps {
		steps[i].Host = hosts[steps[i].Number].Name
	}
	return steps
}

// scripted are the steps of one host.
func scripted(number int) []Step {
	return slices.DeleteFunc(Script(), func(s Step) bool { return s.Number != number })
}

// at is when a step begins: in the middle of nothing, before the minute's
// health.
func (s *Step) at(start time.Time) time.Time { return start.Add(12*time.Second - s.Before) }

// active reports whether the state of a step holds at t.
func (s *Step) active(start, t time.Time) bool {
	from := s.at(start)
	return !t.Before(from) && (s.Lasts == 0 || t.Before(from.Add(s.Lasts)))
}
