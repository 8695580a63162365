package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
	"github.com/assay-audit/assay/proto/telemetry"
)

const (
	eventlogProvider = "Microsoft-Windows-Eventlog"
	auditProvider    = "Microsoft-Windows-Security-Auditing"
	defenderProvider = "Microsoft-Windows-Windows Defender"
	firewallProvider = "Microsoft-Windows-Windows Firewall With Advanced Security"
)

// want is a record that a step must leave: the ids and fields that its check's
// selectors read.
type want struct {
	after    time.Duration // the step's beginning
	channel  string
	provider string
	id       uint32
	fields   []string // name=value
}

// wanted lists the traces of each step that leaves any.
var wanted = map[act][]want{
	clearSecurity: {{0, "Security", eventlogProvider, 1102, []string{"SubjectUserName=it.adm", "SubjectDomainName=CORP"}}},
	clearSystem:   {{0, "System", eventlogProvider, 104, []string{"Channel=System", "SubjectUserName=it.adm"}}},
	removeProcessCreation: {{0, "Security", auditProvider, 4719, []string{
		"SubcategoryGuid={0cce922b-69ae-11d9-bed3-505054503030}", "AuditPolicyChanges=%%8448",
	}}},
	removeLogon: {
		{0, "Security", auditProvider, 4719, []string{"SubcategoryGuid={0cce9215-69ae-11d9-bed3-505054503030}", "AuditPolicyChanges=%%8448, %%8450"}},
		{35 * time.Minute, "Security", auditProvider, 4719, []string{"SubcategoryGuid={0cce9215-69ae-11d9-bed3-505054503030}", "AuditPolicyChanges=%%8449, %%8451"}},
	},
	realtimeOff: {
		{0, "Microsoft-Windows-Windows Defender/Operational", defenderProvider, 5001, nil},
		{time.Second, "Microsoft-Windows-Windows Defender/Operational", defenderProvider, 1151, []string{"RTP state=Disabled", "OA state=Disabled"}},
	},
	malwareFound: {{0, "Microsoft-Windows-Windows Defender/Operational", defenderProvider, 1116, []string{"Threat Name=Virus:DOS/EICAR_Test_File"}}},
	malwareResolved: {
		{0, "Microsoft-Windows-Windows Defender/Operational", defenderProvider, 1116, nil},
		{9 * time.Second, "Microsoft-Windows-Windows Defender/Operational", defenderProvider, 1117, []string{"Action ID=2", "Error Code=0x00000000"}},
	},
	plugUnknown: {
		{0, "Security", auditProvider, 6416, []string{"ClassName=DiskDrive", `DeviceId=USBSTOR\Disk&Ven_SanDisk&Prod_Ultra_USB_3.0&Rev_1.00\4C530001190723117442&0`}},
		{200 * time.Millisecond, "Microsoft-Windows-Partition/Diagnostic", "Microsoft-Windows-Partition", 1006, []string{
			"BusType=7", "Capacity=123060879360", `ParentId=USB\VID_0781&PID_5591\4C530001190723117442`,
		}},
	},
	plugApproved: {{0, "Security", auditProvider, 6416, []string{"ClassName=DiskDrive"}}},
	setClock: {
		{0, "System", "Microsoft-Windows-Kernel-General", 1, []string{`ProcessName=\Device\HarddiskVolume3\Windows\System32\rundll32.exe`}},
		{time.Millisecond, "Security", auditProvider, 4616, []string{`ProcessName=C:\Windows\System32\rundll32.exe`, "SubjectUserName=it.adm"}},
	},
	serviceSetsClock: {{time.Millisecond, "Security", auditProvider, 4616, []string{`ProcessName=C:\Windows\System32\svchost.exe`}}},
}

// Every step of the script is really among the records of its host.
func TestScriptHappens(t *testing.T) {
	t.Parallel()
	all := world(t)
	for _, s := range Script() {
		items := all[s.Host]
		wants := wanted[s.act]
		if s.act == firewallOff {
			id := uint32(2003)
			if strings.HasPrefix(s.Host, "WS-") {
				id = 2082
			}
			wants = []want{{0, firewallProvider + "/Firewall", firewallProvider, id, []string{"SettingType=1", "SettingValue=00000000", "Profiles=2"}}}
		}
		if s.act == realtimeOff && s.Lasts > 0 {
			wants = append(slices.Clone(wants), want{s.Lasts, "Microsoft-Windows-Windows Defender/Operational", defenderProvider, 5000, nil})
		}
		if len(wants) == 0 && s.act != goSilent && s.act != loseRecords {
			t.Errorf("%s: nothing is asked of %q", s.Host, s.What)
		}
		for _, w := range wants {
			if !slices.ContainsFunc(items, func(it item) bool { return w.matches(&s, it.record) }) {
				t.Errorf("%s: %q leaves no %s %d", s.Host, s.What, w.provider, w.id)
			}
		}
	}
}

func (w *want) matches(s *Step, r *winevent.Record) bool {
	if r == nil || r.EventID != w.id || r.Provider != w.provider || r.Channel != w.channel || !r.Time.Equal(s.at(testStart).Add(w.after)) {
		return false
	}
	for _, f := range w.fields {
		name, value, _ := strings.Cut(f, "=")
		if got, ok := r.Value(name); !ok || got != value {
			return false
		}
	}
	return true
}

// Protection that is off is reported as off, each hour.
func TestReportsTellThatProtectionIsOff(t *testing.T) {
	t.Parallel()
	all := world(t)
	for _, s := range Script() {
		if s.act != realtimeOff {
			continue
		}
		off := 0
		for i := range all[s.Host] {
			r := all[s.Host][i].record
			if r == nil || r.EventID != 1151 {
				continue
			}
			state, _ := r.Value("RTP state")
			if (state == "Disabled") != s.active(testStart, r.Time) {
				t.Errorf("%s: %s at %v", s.Host, state, r.Time)
			}
			if state == "Disabled" {
				off++
			}
		}
		if off < 2 {
			t.Errorf("%s: %d reports say that protection is off", s.Host, off)
		}
	}
}

// Each step has a host of its own, and enough hosts have none.
func TestScriptLeavesHostsClean(t *testing.T) {
	t.Parallel()
	failing, seen := map[string]bool{}, map[string]bool{}
	for _, s := range Script() {
		if seen[s.Host] {
			t.Errorf("%s has two steps", s.Host)
		}
		seen[s.Host] = true
		if s.Check != "" {
			failing[s.Host] = true
		}
	}
	if clean := fleetSize - len(failing); clean < 12 {
		t.Errorf("%d hosts are clean", clean)
	}
}

// What the checks call violations is nowhere but where the script has it.
func TestNothingElseIsWrong(t *testing.T) {
	t.Parallel()
	scripted := map[string]act{}
	for _, s := range Script() {
		scripted[s.Host] = s.act
	}
	approved := ApprovedDevices()
	for host, items := range world(t) {
		for i := range items {
			r := items[i].record
			if r == nil {
				continue
			}
			if a := violates(r, approved); a != 0 && scripted[host] != a {
				t.Errorf("%s: unscripted %s %d at %v", host, r.Provider, r.EventID, r.Time)
			}
		}
	}
}

// violates says which act a record is the trace of.
func violates(r *winevent.Record, approved []string) act {
	value := func(name string) string { v, _ := r.Value(name); return v }
	switch r.EventID {
	case 1102:
		return clearSecurity
	case 104:
		return clearSystem
	case 4719:
		if value("SubcategoryGuid") == subcategoryLogon {
			return removeLogon
		}
		return removeProcessCreation
	case 5001, 5000:
		return realtimeOff
	case 1151:
		if value("RTP state") != "Enabled" {
			return realtimeOff
		}
	case 1116:
		if r.Computer == "WS-001."+dnsDomain {
			return malwareResolved
		}
		return malwareFound
	case 2003, 2082:
		return firewallOff
	case 4616:
		if !strings.HasSuffix(value("ProcessName"), `\svchost.exe`) {
			return setClock
		}
	case 6416:
		if !slices.Contains(approved, strings.ToUpper(value("DeviceId"))) {
			return plugUnknown
		}
	case 1006:
		if value("Capacity") != "0" && !slices.Contains(approved, strings.ToUpper(value("ParentId"))) {
			return plugUnknown
		}
	}
	return 0
}

// A subcategory that is not audited is neither claimed nor seen.
func TestRemovedAuditingIsStated(t *testing.T) {
	t.Parallel()
	all := world(t)
	for _, c := range []struct {
		act        act
		capability string
		ids        []uint32
	}{
		{removeProcessCreation, telemetry.CapAuditProcessCreation, []uint32{4688}},
		{removeLogon, telemetry.CapAuditLogon, []uint32{4624, 4625, 4634}},
	} {
		host := scriptedHost(t, c.act)
		i := slices.IndexFunc(Script(), func(s Step) bool { return s.act == c.act })
		s := Script()[i]
		without, with := 0, 0
		for k := range all[host] {
			it := &all[host][k]
			// A minute's records are made before it is known when in the minute
			// they fall; one more minute is none of the step's.
			active := s.active(testStart, it.at)
			if it.record != nil {
				if active && s.active(testStart, it.at.Add(-10*time.Second)) && slices.Contains(c.ids, it.record.EventID) {
					t.Errorf("%s: %d at %v", host, it.record.EventID, it.at)
				}
				continue
			}
			claimed := slices.Contains(it.health.GetSources()[security].GetCapabilities(), c.capability)
			if claimed == active {
				t.Errorf("%s: %s claimed at %v: %v", host, c.capability, it.at, claimed)
			}
			if claimed {
				with++
			} else {
				without++
			}
		}
		if without == 0 || with == 0 {
			t.Errorf("%s: %s in %d statements, not in %d", host, c.capability, with, without)
		}
	}
}

func TestApprovedDevices(t *testing.T) {
	t.Parallel()
	got := ApprovedDevices()
	for _, want := range []string{
		`USBSTOR\DISK&VEN_KINGSTON&PROD_IRONKEY_D500S&REV_1.00\E0D55EA57414F4C0A9A80A01&0`, `USB\VID_0951&PID_1697\E0D55EA57414F4C0A9A80A01`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not approved", want)
		}
	}
	for _, id := range got {
		if id != strings.ToUpper(id) || strings.Contains(id, unknownDevice.serial) {
			t.Errorf("%q is approved", id)
		}
	}
}
