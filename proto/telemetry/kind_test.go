package telemetry

import (
	"os"
	"regexp"
	"slices"
	"testing"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

func TestGradeOf(t *testing.T) {
	t.Parallel()
	const (
		kernel    = telemetryv1.Source_SOURCE_KERNEL
		sysmon    = telemetryv1.Source_SOURCE_SYSMON
		eventLog  = telemetryv1.Source_SOURCE_EVENT_LOG
		etw       = telemetryv1.Source_SOURCE_ETW
		forwarded = telemetryv1.Source_SOURCE_FORWARDED
	)
	for _, c := range []struct {
		source   telemetryv1.Source
		provider string
		id       uint32
		want     string
	}{
		{kernel, "", 1, "A"},
		{sysmon, SysmonProvider, 1, "B"},
		{sysmon, SysmonProvider, 23, "B"},
		{sysmon, SysmonProvider, 3, "C"},
		{sysmon, SysmonProvider, 19, "C"},
		{sysmon, SysmonProvider, 22, "C"},
		{sysmon, SysmonProvider, 24, "C"},
		{eventLog, "Microsoft-Windows-Security-Auditing", 4688, "C"},
		{eventLog, "Service Control Manager", 7036, "C"},
		{eventLog, "SomeProduct", 1, "D"},
		{etw, "Microsoft-Windows-DNS-Client", 3008, "C"},
		{forwarded, SysmonProvider, 1, "C"},
		{forwarded, SysmonProvider, 3, "D"},
		{forwarded, "Microsoft-Windows-Security-Auditing", 4688, "D"},
		{forwarded, "SomeProduct", 1, "D"},
		{telemetryv1.Source_SOURCE_OSQUERY, "", 0, "D"},
		{telemetryv1.Source_SOURCE_AGENT, "", 0, "B"},
		{telemetryv1.Source_SOURCE_UNSPECIFIED, "", 0, "D"},
	} {
		if got := GradeName(GradeOf(c.source, c.provider, c.id, 0)); got != c.want {
			t.Errorf("%v %s %d: %s, want %s", c.source, c.provider, c.id, got, c.want)
		}
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	for want, events := range map[bool][]*telemetryv1.Event{
		true: {
			{Body: &telemetryv1.Event_SourceHealth{}}, {Body: &telemetryv1.Event_Gap{}}, {Body: &telemetryv1.Event_AgentEvent{}},
			{Body: &telemetryv1.Event_LogActivity{}}, {Body: &telemetryv1.Event_Power{}}, {Body: &telemetryv1.Event_Malware{}},
			{Body: &telemetryv1.Event_SecuritySoftware{}}, {Body: &telemetryv1.Event_Clock{}}, {Body: &telemetryv1.Event_Account{}},
			{Body: &telemetryv1.Event_RemovableMedia{RemovableMedia: &telemetryv1.RemovableMediaEvent{Action: "MEDIA_INSERT", Kind: "disk"}}},
			{Body: &telemetryv1.Event_RemovableMedia{RemovableMedia: &telemetryv1.RemovableMediaEvent{Action: "MEDIA_INSTALL_BLOCKED", Kind: "other"}}},
			{Body: &telemetryv1.Event_AuditPolicy{AuditPolicy: &telemetryv1.AuditPolicyEvent{Action: "changed"}}},
			{Body: &telemetryv1.Event_Group{Group: &telemetryv1.GroupEvent{Action: "member_added"}}},
			{Body: &telemetryv1.Event_Firewall{Firewall: &telemetryv1.FirewallEvent{Action: "profile_changed"}}},
			{Body: &telemetryv1.Event_Service{Service: &telemetryv1.ServiceEvent{Name: "EventLog"}}},
		},
		false: {
			{}, {Body: &telemetryv1.Event_Process{}}, {Body: &telemetryv1.Event_LogRecord{}}, {Body: &telemetryv1.Event_Logon{}},
			{Body: &telemetryv1.Event_AuditPolicy{AuditPolicy: &telemetryv1.AuditPolicyEvent{Action: "object_sacl_changed"}}},
			{Body: &telemetryv1.Event_Group{Group: &telemetryv1.GroupEvent{Action: "membership_enumerated"}}},
			{Body: &telemetryv1.Event_Firewall{Firewall: &telemetryv1.FirewallEvent{Action: "rule_listed"}}},
			{Body: &telemetryv1.Event_Service{Service: &telemetryv1.ServiceEvent{Name: "BITS"}}},
			{Body: &telemetryv1.Event_RemovableMedia{RemovableMedia: &telemetryv1.RemovableMediaEvent{Action: "MEDIA_STARTED", Kind: "other"}}},
		},
	} {
		for _, ev := range events {
			if Control(ev) != want {
				t.Errorf("%v: control is %v", ev, !want)
			}
		}
	}
}

func TestOCSF(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ev              *telemetryv1.Event
		class, activity uint32
	}{
		{&telemetryv1.Event{}, 0, 0},
		{&telemetryv1.Event{Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Action: "PROC_TERMINATE"}}}, 1007, 2},
		{&telemetryv1.Event{Body: &telemetryv1.Event_Registry{Registry: &telemetryv1.RegistryEvent{Action: "REG_DELETE"}}}, 201001, 4},
		{&telemetryv1.Event{Body: &telemetryv1.Event_Registry{Registry: &telemetryv1.RegistryEvent{Action: "REG_SETVALUE"}}}, 201002, 2},
		{&telemetryv1.Event{Body: &telemetryv1.Event_LogActivity{LogActivity: &telemetryv1.LogActivityEvent{Action: "cleared"}}}, 1008, 1},
		{&telemetryv1.Event{Body: &telemetryv1.Event_LogActivity{LogActivity: &telemetryv1.LogActivityEvent{Action: "full"}}}, 1008, 99},
		{&telemetryv1.Event{Body: &telemetryv1.Event_Power{Power: &telemetryv1.PowerEvent{Action: "log_service_stop"}}}, 1008, 7},
		{&telemetryv1.Event{Body: &telemetryv1.Event_SecuritySoftware{SecuritySoftware: &telemetryv1.SecuritySoftwareEvent{Action: "realtime_off"}}}, 6002, 7},
		{&telemetryv1.Event{Body: &telemetryv1.Event_SecuritySoftware{SecuritySoftware: &telemetryv1.SecuritySoftwareEvent{Action: "scan_finished"}}}, 6007, 2},
		{&telemetryv1.Event{Body: &telemetryv1.Event_Http{Http: &telemetryv1.HttpEvent{Action: "HTTP_REQUEST", Method: "POST"}}}, 4002, 6},
		{&telemetryv1.Event{Body: &telemetryv1.Event_Clock{Clock: &telemetryv1.ClockEvent{Action: "set"}}}, 5019, 1},
		{&telemetryv1.Event{Body: &telemetryv1.Event_Account{Account: &telemetryv1.AccountEvent{Action: "unlocked"}}}, 3001, 12},
		{&telemetryv1.Event{Body: &telemetryv1.Event_LogRecord{}}, 1008, 99},
		{&telemetryv1.Event{Body: &telemetryv1.Event_AgentEvent{AgentEvent: &telemetryv1.AgentEvent{Action: "stop"}}}, 6002, 4},
	} {
		if class, id := OCSF(c.ev); class != c.class || id != c.activity {
			t.Errorf("%v: %d/%d, want %d/%d", c.ev, class, id, c.class, c.activity)
		}
	}
}

// actionsOf reads the closed list of a table's actions out of the comment on
// its action field.
func actionsOf(table *Table) []string {
	c, _ := table.Column("action")
	text := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(c.Description, "")
	return regexp.MustCompile(`[A-Z]+_[A-Z_]+|\b[a-z]+(?:_[a-z]+)+\b|\b[a-z]+\b`).FindAllString(text, -1)
}

// TestActivitiesNameActions: an activity for an action that no table documents
// could never apply.
func TestActivitiesNameActions(t *testing.T) {
	t.Parallel()
	for name, actions := range activities {
		table := ByName(name)
		if table == nil {
			t.Errorf("activities of %s, which is no table", name)
			continue
		}
		documented := actionsOf(table)
		for action := range actions {
			if !slices.Contains(documented, action) {
				t.Errorf("%s: %s is not among the documented actions", name, action)
			}
		}
	}
}

// TestCapabilities: the list and the constants are the same vocabulary.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("capability.go")
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	for _, m := range regexp.MustCompile(`(?m)^\tCap\w+ += "(.+)"$`).FindAllStringSubmatch(string(source), -1) {
		constants = append(constants, m[1])
	}
	slices.Sort(constants)
	if got := Capabilities(); !slices.Equal(got, constants) {
		t.Errorf("list %v\nconstants %v", got, constants)
	}
	if len(slices.Compact(slices.Clone(constants))) != len(constants) {
		t.Error("a capability twice")
	}
	if Capability("audit.pnp") != true || Capability("audit.nothing") {
		t.Error("vocabulary is not closed")
	}
}
