package fleet

import (
	"fmt"
	"slices"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

// userSession is the session of who works at the host that day.
func (b *builder) userSession() session {
	day := uint64(b.start.Unix() / 86400)
	return session{account: b.host.user, id: 0x10000 + mix(b.host.key, day)%0xffffff, kind: 2}
}

// load is how many things happen in a minute, on average.
func (b *builder) load() float64 {
	c := b.clock(b.start)
	busy := c >= 8*time.Hour && c < 18*time.Hour
	switch b.host.Role {
	case DomainController:
		return 2.0
	case Server:
		if c < 4*time.Hour { // the night's jobs
			return 1.8
		}
		return 1.1
	case PointOfSale:
		if c >= 9*time.Hour && c < 21*time.Hour {
			return 1.6
		}
		return 0.3
	default:
		if busy {
			return 2.2
		}
		return 0.3
	}
}

// ordinary is what a host does in any minute.
func (b *builder) ordinary() {
	count := b.load() * b.time.Rate
	n := int(count)
	if b.rand.Float64() < count-float64(n) {
		n++
	}
	for range n {
		b.something()
	}
	b.regular()
}

// weight of each kind of activity, in thousandths, in the order of something.
var weights = [...]int{430, 160, 150, 120, 60, 40, 12, 10, 8, 4, 3, 3}

// something is one thing that happens.
func (b *builder) something() {
	at := b.moment(8)
	n := b.rand.IntN(1000)
	which := 0
	for which < len(weights)-1 && n >= weights[which] {
		n -= weights[which]
		which++
	}
	h := b.host
	switch which {
	case 0:
		b.run(at, b.process(at))
	case 1:
		b.connect(at, b.process(at.Add(-time.Hour)))
	case 2:
		b.write(at, b.process(at.Add(-time.Hour)))
	case 3:
		b.networkLogon(at)
	case 4:
		b.systemTask(at)
	case 5:
		p := b.process(at.Add(-time.Hour))
		b.add(h.sysmonRegistry(at, p, `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\SlowContextMenuEntries`, "Binary Data"))
	case 6:
		b.scripts(at)
	case 7:
		b.failedLogon(at)
	case 8:
		b.service(at)
	case 9:
		b.add(h.licensing(at))
	case 10:
		b.add(h.taskUpdated(at, `\Microsoft\Windows\UpdateOrchestrator\Schedule Scan`, system32+"usoclient.exe"))
	default:
		b.add(h.firewallRule(at, "Delivery Optimization (TCP-In)", system32+"svchost.exe"))
	}
}

// process is one that the host's role runs, as its user.
func (b *builder) process(started time.Time) process {
	c := programs()
	p := process{program: pick(b.rand, c.byRole[b.host.Role]), parent: c.explorer, session: b.userSession(), started: started, pid: pid(b.rand), parentPID: 4 * 1210}
	if b.host.Role == Server || b.host.Role == DomainController {
		p.parent, p.parentPID = c.services, 4*178
	}
	p.command = pick(b.rand, p.commands)
	return p
}

// audits reports whether a subcategory is audited at a moment.
func (b *builder) audits(subcategory string, at time.Time) bool {
	return len(b.steps) == 0 || !slices.Contains(b.unaudited(at), subcategory)
}

// run is a process that starts and ends: Sysmon 1, 4688, Sysmon 5.
func (b *builder) run(at time.Time, p process) {
	b.add(b.host.sysmonProcess(p))
	if b.audits(subcategoryProcessCreation, at) {
		b.add(b.host.auditedProcess(at.Add(400*time.Microsecond), p))
	}
	if b.rand.IntN(3) == 0 {
		b.add(b.host.sysmonExit(at.Add(time.Duration(1+b.rand.IntN(6000))*time.Millisecond), p))
	}
}

// systemTask is a process of the system's own.
func (b *builder) systemTask(at time.Time) {
	c := programs()
	p := process{
		program: pick(b.rand, c.system), parent: c.services, session: session{account: systemAccount, id: systemLogon, kind: 5},
		started: at, pid: pid(b.rand), parentPID: 4 * 178,
	}
	p.command = pick(b.rand, p.commands)
	b.run(at, p)
	if len(p.hosts) > 0 {
		b.connect(at.Add(time.Second), p)
	}
}

// connect is a question for a name and the connection to it.
func (b *builder) connect(at time.Time, p process) {
	if len(p.hosts) == 0 {
		p.program = b.connecting()
	}
	d := pick(b.rand, p.hosts)
	if b.rand.IntN(40) == 0 {
		b.add(b.host.sysmonQuery(at, p, destination{name: "wpad." + dnsDomain}, "9003"))
		return
	}
	b.add(b.host.sysmonQuery(at, p, d, "0"))
	b.add(b.host.sysmonConnection(at.Add(30*time.Millisecond), p, d, 49152+uint32(b.rand.IntN(16000))))
}

func (b *builder) connecting() *program {
	for _, p := range programs().byRole[b.host.Role] {
		if len(p.hosts) > 0 {
			return p
		}
	}
	return programs().system[0]
}

// write is a file that is made.
func (b *builder) write(at time.Time, p process) {
	if len(p.files) == 0 {
		p.program = programs().system[0]
		p.session = session{account: systemAccount, id: systemLogon, kind: 5}
	}
	name := fmt.Sprintf(pick(b.rand, p.files), fmt.Sprintf("%08x", b.rand.Uint32()))
	b.add(b.host.sysmonFile(at, p, name))
}

// networkLogon is a session over the network, opened and closed.
func (b *builder) networkLogon(at time.Time) {
	s := session{account: b.host.machine, id: 0x1000000 + b.rand.Uint64N(1<<32), kind: 3}
	from := fmt.Sprintf("10.20.1.%d", 11+b.rand.IntN(25))
	privileged := b.rand.IntN(6) == 0
	if privileged {
		s.account = b.host.admin
	}
	if !b.audits(subcategoryLogon, at) {
		return
	}
	b.add(b.host.logon(at, s, from, decimal(49152+b.rand.IntN(16000))))
	if privileged {
		b.add(b.host.specialPrivileges(at.Add(100*time.Microsecond), s))
	}
	b.add(b.host.logoff(at.Add(time.Duration(1+b.rand.IntN(6))*time.Second), s))
}

// failedLogon is a mistyped password.
func (b *builder) failedLogon(at time.Time) {
	if b.audits(subcategoryLogon, at) {
		b.add(b.host.failedLogon(at, b.host.user, 2, "127.0.0.1", "0"))
	}
}

var scripts = []string{
	"Get-Service | Where-Object { $_.Status -ne 'Running' -and $_.StartType -eq 'Automatic' }",
	"Get-ChildItem C:\\ProgramData\\TillPoint\\journal | Sort-Object LastWriteTime | Select-Object -Last 5",
	"{ Set-StrictMode -Version 1; $_.PSMessageDetails }",
	"Get-HotFix | Sort-Object InstalledOn | Select-Object -Last 3",
}

func (b *builder) scripts(at time.Time) {
	s := session{account: b.host.admin, id: 0x51b2e7, kind: 2}
	id := fmt.Sprintf("%08x-%04x-4799-874b-%012x", b.rand.Uint32(), b.rand.IntN(1<<16), b.rand.Uint64N(1<<48))
	b.add(b.host.scriptBlock(at, s, pick(b.rand, scripts), id))
}

func (b *builder) service(at time.Time) {
	if b.rand.IntN(4) == 0 {
		b.add(b.host.serviceStartType(at, "Background Intelligent Transfer Service", "BITS", "auto start", "demand start"))
		return
	}
	running := b.rand.IntN(2) == 0
	b.add(b.host.serviceState(at, "Windows Modules Installer", "TrustedInstaller", running))
}

// regular is what comes by the clock.
func (b *builder) regular() {
	h, minute := b.host, b.start.Unix()/60
	own := int64(h.key % 60) // every host has its own minute of the hour
	if minute%60 == own {
		b.add(h.defenderHealthy(b.second(7)), h.defenderReport(b.second(7.2), b.realtimeOn(b.second(7.2))))
	}
	if int64(b.start.Sub(b.start.Truncate(signatureEvery))/time.Minute) == 3+own%40 {
		b.add(h.signaturesUpdated(b.second(9)))
	}
	switch minute % 1440 {
	case 120 + own:
		id := h.uuid(purposeDay, uint64(minute/1440))
		b.add(h.quickScan(b.second(3), 1000, id), h.quickScan(b.second(50), 1001, id))
	case 780 + own:
		b.stepClock(b.second(15), 30*time.Millisecond)
	case 840 + own:
		b.add(h.updateInstalled(b.second(20), "Security Intelligence Update for Microsoft Defender Antivirus - KB2267602"))
	case 900 + own:
		b.add(h.taskCreated(b.second(30), `\Corp\Inventory`, `C:\Program Files\Inventory\scan.exe`))
	case 600 + own:
		if h.Role == Workstation {
			b.plug(b.second(20), pick(b.rand, approvedDevices))
		}
	}
}

// stepClock is the time service at work.
func (b *builder) stepClock(at time.Time, by time.Duration) {
	const svchost = `C:\Windows\System32\svchost.exe`
	localService := account{"LOCAL SERVICE", localServiceSID}
	b.add(
		b.host.kernelTimeChange(at, at.Add(-by), 1308, `\Device\HarddiskVolume3\Windows\System32\svchost.exe`),
		b.host.timeChange(at.Add(time.Millisecond), at.Add(-by), subject(localService, "NT AUTHORITY", 0x3e5), 1308, svchost),
	)
}

// plug is a USB disk that is put in and taken out.
func (b *builder) plug(at time.Time, d device) {
	b.add(b.host.inserted(at, d)...)
	b.add(b.host.removed(at.Add(30*time.Second), d))
}

// scripted is what the script has for this minute.
func (b *builder) scripted() {
	for i := range b.steps {
		s := &b.steps[i]
		from := s.at(b.time.Start)
		if !from.Before(b.start) && from.Before(b.start.Add(time.Minute)) {
			b.add(b.begin(s, from)...)
		}
		if end := from.Add(s.Lasts); s.Lasts > 0 && !end.Before(b.start) && end.Before(b.start.Add(time.Minute)) {
			b.add(b.end(s, end)...)
		}
	}
}

// begin is what a step writes when it begins.
func (b *builder) begin(s *Step, at time.Time) []*winevent.Record {
	h := b.host
	found := h.uuid(purposeDetection, uint64(s.act))
	switch s.act {
	case clearSecurity:
		return []*winevent.Record{h.securityCleared(at)}
	case clearSystem:
		return []*winevent.Record{h.systemCleared(at, "System")}
	case removeProcessCreation:
		return []*winevent.Record{h.auditPolicyChange(at, subcategoryProcessCreation, successRemoved)}
	case removeLogon:
		return []*winevent.Record{h.auditPolicyChange(at, subcategoryLogon, allRemoved)}
	case realtimeOff:
		return []*winevent.Record{h.realtime(at, false), h.defenderReport(at.Add(time.Second), false)}
	case malwareFound:
		return []*winevent.Record{h.malware(at, at, 1116, found)}
	case malwareResolved:
		return []*winevent.Record{h.malware(at, at, 1116, found), h.malware(at.Add(9*time.Second), at, 1117, found)}
	case plugUnknown:
		return append(h.inserted(at, unknownDevice), h.removed(at.Add(40*time.Second), unknownDevice))
	case plugApproved:
		return append(h.inserted(at, approvedDevices[1]), h.removed(at.Add(40*time.Second), approvedDevices[1]))
	case setClock:
		return b.userSetsClock(at)
	case serviceSetsClock:
		b.stepClock(at, 2400*time.Millisecond)
	case firewallOff:
		return []*winevent.Record{h.firewallProfile(at, "2", false, h.admin)}
	default: // the other steps are an absence, or speak through what is ordinary
	}
	return nil
}

// end is what a step writes when its state ends.
func (b *builder) end(s *Step, at time.Time) []*winevent.Record {
	switch s.act {
	case removeLogon:
		return []*winevent.Record{b.host.auditPolicyChange(at, subcategoryLogon, allAdded)}
	case realtimeOff:
		return []*winevent.Record{b.host.realtime(at, true), b.host.defenderReport(at.Add(time.Second), true)}
	default: // no other step's state ends with a record
	}
	return nil
}

// userSetsClock is a user who sets the clock ahead; the time service sets it
// right within seconds.
func (b *builder) userSetsClock(at time.Time) []*winevent.Record {
	const program = `C:\Windows\System32\rundll32.exe`
	previous := at.Add(-3 * time.Minute)
	b.stepClock(at.Add(8*time.Second), -3*time.Minute)
	return []*winevent.Record{
		b.host.kernelTimeChange(at, previous, 7212, `\Device\HarddiskVolume3\Windows\System32\rundll32.exe`),
		b.host.timeChange(at.Add(time.Millisecond), previous, subject(b.host.admin, netbiosDomain, 0x51b2e7), 7212, program),
	}
}
