package project

import (
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

const (
	startID  = "11111111-0000-4000-8000-000000000004"
	startYML = `title: Privileges asked for
id: ` + startID + `
level: medium
logsource: {product: windows, category: process_creation}
detection:
    selection:
        Image|endswith: '\whoami.exe'
        CommandLine|contains: ' /priv'
    condition: selection
`
	whoami = `C:\Windows\System32\whoami.exe`
)

// fromDriver is a process start as the agent sends it of the kernel driver: the
// agent's own tests keep the file.
func fromDriver(t *testing.T) *telemetryv1.Event {
	t.Helper()
	text, err := os.ReadFile("../../../agent/internal/kernel/event/testdata/process-start.json")
	if err != nil {
		t.Fatal(err)
	}
	ev := new(telemetryv1.Event)
	if err := protojson.Unmarshal(text, ev); err != nil {
		t.Fatal(err)
	}
	return ev
}

// fromLog is a record of a process start in an event log of the host itself.
func fromLog(provider, channel string, id uint32, image, command string) *telemetryv1.Event {
	name := map[string]string{"Security": "NewProcessName"}[channel]
	if name == "" {
		name = "Image"
	}
	return &telemetryv1.Event{
		Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF},
		Source:  telemetryv1.Source_SOURCE_EVENT_LOG, Grade: telemetryv1.Grade_GRADE_B, Mode: telemetryv1.Mode_MODE_LIVE,
		ObservedAt: evidence.Ticks(noon.Add(-time.Minute)), Position: &telemetryv1.Position{Channel: channel, Sequence: uint64(id)},
		Raw: &telemetryv1.Raw{Provider: provider, Channel: channel, EventId: id, Computer: "pos-01", RecordId: uint64(id),
			Data: []*telemetryv1.Field{{Name: name, Value: image}, {Name: "CommandLine", Value: command}}},
		Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Action: "PROC_CREATE", Path: image, Cmdline: command}},
	}
}

// TestOneRuleFindsADeedInThreeLogs takes one deed as Sysmon, the audit log and the
// kernel driver tell it through a batch and a lane: one rule finds all three, each
// with what matched, and each can be shown raw.
func TestOneRuleFindsADeedInThreeLogs(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.importRules("1", startYML)
	other := fromDriver(t)
	for _, f := range other.GetRaw().GetData() {
		if f.GetName() == "CommandLine" {
			f.Value = "whoami.exe"
		}
	}
	position := l.next
	l.append(intact,
		fromLog("Microsoft-Windows-Sysmon", "Microsoft-Windows-Sysmon/Operational", 1, whoami, "whoami.exe /priv"),
		fromLog("Microsoft-Windows-Security-Auditing", "Security", 4688, whoami, "whoami.exe /priv"),
		fromDriver(t),
		other,
		fromLog("Microsoft-Windows-Security-Auditing", "Security", 4689, whoami, "whoami.exe /priv"))
	l.match()
	found, err := l.store.DetectionsIn(t.Context(), 0, 1<<40, 100)
	if err != nil {
		t.Fatal(err)
	}
	type deed struct {
		channel string
		id      uint32
		grade   assay.Grade
		matched string
	}
	var got []deed
	for _, d := range found {
		if d.Host != l.host || d.Ref.Position != position || int(d.Ref.Ordinal) != len(got) {
			t.Errorf("a detection is of host %s at %s", d.Host, d.Ref)
		}
		matched := ""
		for _, m := range d.Matched {
			matched += m.Selection + " " + m.Field + "=" + m.Value + ";"
		}
		got = append(got, deed{d.Channel, d.EventID, d.Grade, matched})
	}
	const matched = `selection Image=C:\Windows\System32\whoami.exe;selection CommandLine=whoami.exe /priv;`
	want := []deed{
		{"Microsoft-Windows-Sysmon/Operational", 1, assay.GradeB, matched},
		{"Security", 4688, assay.GradeB, matched},
		{"Assay-Kernel/Operational", 1, assay.GradeA, matched},
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%+v\nwant\n%+v", got, want)
	}
	stored, _, err := l.store.BatchAt(t.Context(), position)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := Show(stored, 2)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(shown.System, Named{"Provider", "Assay-Kernel"}) || !slices.Contains(shown.Raw, Named{"CommandLine", "whoami.exe /priv"}) {
		t.Errorf("the driver's event is shown as %v %v", shown.System, shown.Raw)
	}
	if !slices.Contains(shown.Fields, Named{"path", whoami}) {
		t.Errorf("the typed fields are %v", shown.Fields)
	}
}
