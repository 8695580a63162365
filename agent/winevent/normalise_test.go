package winevent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

// normaliseCase is one record and the body it must become. The records are all
// made up; their fields are laid out as genuine records are, or, where synthetic
// is set, as the events are documented, since none was to be had.
type normaliseCase struct {
	provider  string
	eventID   uint32
	synthetic bool
	// fields is "Name=Value|Name=Value". A first part "<Name>" makes what
	// follows the content of UserData, "@Name=Value" its attributes; a part
	// "#member=value" sets a member of the record's System.
	fields string
	// body is the text form of the event's body alone.
	body string
}

var testTime = time.Date(2026, 3, 1, 10, 20, 30, 123456700, time.UTC)

func (c normaliseCase) record(t testing.TB) *Record {
	t.Helper()
	r := &Record{RecordID: 77, Time: testTime, Provider: c.provider, EventID: c.eventID, Channel: "C", Computer: "host1"}
	var inUserData bool
	if c.fields == "" {
		return r
	}
	for part := range strings.SplitSeq(c.fields, "|") {
		if strings.HasPrefix(part, "<") {
			inUserData = true
			r.UserData = &Element{Name: strings.Trim(part, "<>")}
			continue
		}
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			t.Fatalf("case %s %d: part %q", c.provider, c.eventID, part)
		}
		switch {
		case name == "#task":
			fmt.Sscan(value, &r.Task)
		case name == "#level":
			fmt.Sscan(value, &r.Level)
		case name == "#pid":
			fmt.Sscan(value, &r.ProcessID)
		case name == "#user":
			r.UserSID = value
		case name == "#keywords":
			fmt.Sscanf(value, "0x%x", &r.Keywords)
		case name == "#channel":
			r.Channel = value
		case inUserData && strings.HasPrefix(name, "@"):
			r.UserData.Attributes = append(r.UserData.Attributes, Field{name[1:], value})
		case inUserData:
			r.UserData.Children = append(r.UserData.Children, Element{Name: name, Text: value})
		default:
			r.Data = append(r.Data, Field{name, value})
		}
	}
	return r
}

// testNormaliser knows one drive.
var testNormaliser = &Normaliser{Drives: []Drive{{`\Device\HarddiskVolume2`, "C:"}}}

func TestNormalise(t *testing.T) {
	t.Parallel()
	for _, c := range allCases() {
		t.Run(fmt.Sprintf("%s %d", c.provider, c.eventID), func(t *testing.T) {
			t.Parallel()
			want := &telemetryv1.Event{}
			if err := prototext.Unmarshal([]byte(c.body), want); err != nil {
				t.Fatalf("case: %v", err)
			}
			r := c.record(t)
			ev := testNormaliser.Normalise(r)
			if diff := cmp.Diff(want, &telemetryv1.Event{Body: ev.Body}, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(RawOf(r), ev.Raw, protocmp.Transform()); diff != "" {
				t.Errorf("raw: %s", diff)
			}
		})
	}
}

// TestEveryMappingIsTested: an id without a case could be mapped to anything.
func TestEveryMappingIsTested(t *testing.T) {
	t.Parallel()
	tested := map[mappingKey]bool{}
	for _, c := range allCases() {
		tested[mappingKey{strings.ToLower(c.provider), c.eventID}] = true
	}
	for _, c := range actionCases {
		for id := range c.ids(t) {
			for _, provider := range c.providers {
				tested[mappingKey{strings.ToLower(provider), id}] = true
			}
		}
	}
	for key := range mappings() {
		if !tested[key] {
			t.Errorf("%s %d is in no case", key.provider, key.eventID)
		}
	}
	for key := range tested {
		if mappings()[key] == nil {
			t.Errorf("%s %d is in a case, but not mapped", key.provider, key.eventID)
		}
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	r := &Record{
		RecordID: 9, Time: testTime, Provider: telemetry.SysmonProvider, EventID: 3, Channel: "Microsoft-Windows-Sysmon/Operational",
		Computer: "HOST1", Data: []Field{{"RuleName", "dns-over-https"}, {"Image", "x"}},
	}
	live := (&Normaliser{}).Normalise(r)
	if live.Subject.GetKind() != telemetryv1.SubjectKind_SUBJECT_KIND_SELF || live.Subject.GetHost() != "" ||
		live.Source != telemetryv1.Source_SOURCE_SYSMON || live.Grade != telemetryv1.Grade_GRADE_C ||
		live.Mode != telemetryv1.Mode_MODE_LIVE || live.RuleName != "dns-over-https" ||
		live.Position.GetRecordId() != 9 || live.Position.GetChannel() != r.Channel || live.ObservedAt != 17723604301234567 {
		t.Errorf("live: %v", live)
	}
	forwarded := (&Normaliser{Subject: telemetryv1.SubjectKind_SUBJECT_KIND_FORWARDED}).Normalise(r)
	if forwarded.Subject.GetHost() != "HOST1" || forwarded.Source != telemetryv1.Source_SOURCE_FORWARDED ||
		forwarded.Grade != telemetryv1.Grade_GRADE_D {
		t.Errorf("forwarded: %v", forwarded)
	}
	imported := (&Normaliser{Subject: telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED, Mode: telemetryv1.Mode_MODE_IMPORT}).Normalise(r)
	if imported.Subject.GetHost() != "HOST1" || imported.Mode != telemetryv1.Mode_MODE_IMPORT || imported.Grade != telemetryv1.Grade_GRADE_C {
		t.Errorf("imported: %v", imported)
	}
	if ev := (&Normaliser{}).Normalise(&Record{}); ev.ObservedAt != 0 || ev.GetLogRecord() == nil {
		t.Errorf("empty record: %v", ev)
	}
}

type fakeProcesses map[uint32]string

func (p fakeProcesses) Resolve(pid uint32, at time.Time) (uid, identity string) {
	if !at.Equal(testTime) || p[pid] == "" {
		return "", ""
	}
	return p[pid], "matched"
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	r := &Record{Time: testTime, Provider: providerSecurity, EventID: 4688, Data: []Field{
		{"NewProcessId", "0x64"}, {"ProcessId", "0xc8"}, {"NewProcessName", `C:\a.exe`},
	}}
	n := &Normaliser{Processes: fakeProcesses{100: "aa", 200: "bb"}}
	p := n.Normalise(r).GetProcess()
	if p.GetProcessUid() != "aa" || p.GetIdentity() != "matched" || p.GetParentProcessUid() != "bb" || p.CreatorPid != nil {
		t.Errorf("known: %v", p)
	}
	p = (&Normaliser{Processes: fakeProcesses{}}).Normalise(r).GetProcess()
	if p.GetProcessUid() != "" || p.GetIdentity() != "unresolved" {
		t.Errorf("not in the table: %v", p)
	}
	// The table is of this host: the pids of another mean nothing in it.
	n.Subject = telemetryv1.SubjectKind_SUBJECT_KIND_FORWARDED
	if p = n.Normalise(r).GetProcess(); p.GetProcessUid() != "" || p.GetIdentity() != "unresolved" {
		t.Errorf("another host: %v", p)
	}
}

// TestLogRecord: what no table is for keeps all its fields, in order, within
// the bound of the column, and whole in raw.
func TestLogRecord(t *testing.T) {
	t.Parallel()
	r := &Record{Provider: "Something", EventID: 5, Level: 2, Keywords: 0x80, Data: []Field{{"a", "1"}, {"", "two"}, {"a", "3"}}}
	rec := (&Normaliser{}).Normalise(r).GetLogRecord()
	if rec.GetFields() != "a=1\n=two\na=3" || rec.GetLevel() != 2 || rec.GetKeywords() != "0x80" || rec.Cut != nil {
		t.Errorf("%v", rec)
	}
	r.Data = append(r.Data, Field{"long", strings.Repeat("ж", maxRendered)}, Field{"after", "x"})
	ev := (&Normaliser{}).Normalise(r)
	rec = ev.GetLogRecord()
	if !rec.GetCut() || len(rec.GetFields()) > maxRendered || !strings.HasPrefix(rec.GetFields(), "a=1\n=two\na=3\nlong=жж") {
		t.Errorf("cut %v, %d bytes", rec.GetCut(), len(rec.GetFields()))
	}
	if len(ev.Raw.GetData()) != 5 || len(ev.Raw.GetData()[3].GetValue()) != 2*maxRendered {
		t.Error("raw was cut too")
	}
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`msiexec /i assay.msi TOKEN=abc123 SERVER=x`:         `msiexec /i assay.msi TOKEN=[redacted] SERVER=x`,
		`msiexec /i assay.msi TOKEN="a b" SERVER=x`:          `msiexec /i assay.msi TOKEN=[redacted] SERVER=x`,
		`msiexec /i a.msi "TOKEN=abc" /qn`:                   `msiexec /i a.msi "TOKEN=[redacted]" /qn`,
		`TOKEN=abc`:                                          `TOKEN=[redacted]`,
		`set ASSAY_TOKEN=abc& x`:                             `set ASSAY_TOKEN=[redacted]& x`,
		`$env:ASSAY_TOKEN = 'abc'; x`:                        `$env:ASSAY_TOKEN = [redacted]; x`,
		`<Arguments>/i a.msi TOKEN=abc</Arguments>`:          `<Arguments>/i a.msi TOKEN=[redacted]</Arguments>`,
		`assay-agent.exe enrol --token abc --server x`:       `assay-agent.exe enrol --token [redacted] --server x`,
		`C:\Assay\assay-agent.exe enrol --token=abc`:         `C:\Assay\assay-agent.exe enrol --token=[redacted]`,
		`kubeadm join --token abc`:                           `kubeadm join --token abc`,
		`https://host/path?token=abc&x=1`:                    `https://host/path?token=abc&x=1`,
		`BEARERTOKEN=abc`:                                    `BEARERTOKEN=abc`,
		`TokenElevationType %%1936`:                          `TokenElevationType %%1936`,
		"C:\\a.exe TOKEN=" + strings.Repeat("x", 200) + " y": `C:\a.exe TOKEN=[redacted] y`,
	} {
		if got := redactText(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}

	r := &Record{Provider: telemetry.SysmonProvider, EventID: 1, Data: []Field{
		{"CommandLine", "msiexec TOKEN=s3cret"}, {"ParentCommandLine", "cmd /c msiexec TOKEN=s3cret"}, {"ASSAY_TOKEN", "s3cret"},
	}, UserData: &Element{Name: "a", Attributes: []Field{{"b", "TOKEN=s3cret"}}, Children: []Element{{Name: "c", Text: "TOKEN=s3cret"}}}}
	ev := (&Normaliser{}).Normalise(r)
	bytes, err := proto.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(bytes), "s3cret") {
		t.Errorf("the event holds the secret: %v", ev)
	}
	if ev.GetProcess().GetCmdline() != "msiexec TOKEN=[redacted]" {
		t.Errorf("command line: %v", ev.GetProcess())
	}
	if r.Data[0].Value != "msiexec TOKEN=s3cret" || r.UserData.Children[0].Text != "TOKEN=s3cret" {
		t.Error("the record was changed")
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	n := testNormaliser
	for in, want := range map[string]string{
		`\Device\HarddiskVolume2\Windows\a.exe`:  `C:\Windows\a.exe`,
		`\device\harddiskvolume2\windows\a.exe`:  `C:\windows\a.exe`,
		`\Device\HarddiskVolume21\Windows\a.exe`: `\Device\HarddiskVolume21\Windows\a.exe`,
		`\??\C:\Windows`:                         `C:\Windows`,
		`\\server\share\a.exe`:                   `\\server\share\a.exe`,
		`C:\a.exe`:                               `C:\a.exe`,
		`System`:                                 `System`,
	} {
		if got := n.drivePath(in); got != want {
			t.Errorf("path %s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"2026-01-02T03:04:05.1234567Z":       "2026-01-02T03:04:05.1234567Z",
		"2026-01-02T03:04:05Z":               "2026-01-02T03:04:05.0000000Z",
		"2026-01-02T03:04:05.5+02:00":        "2026-01-02T01:04:05.5000000Z",
		"2026-01-02 03:04:05.123":            "2026-01-02T03:04:05.1230000Z",
		"1601-01-01T00:00:00.0000000Z":       "",
		"1/1/1601 12:00:00 AM":               "",
		"6/9/2026 5:53:46 AM":                "6/9/2026 5:53:46 AM",
		"\u200e2026-01-02T03:04:05.1234567Z": "2026-01-02T03:04:05.1234567Z",
	} {
		if got := timeText(in); got != want {
			t.Errorf("time %s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"0x000003E7": "0x3e7", "0x0": "0x0", "999": "0x3e7", "none": "none", "": "", "0x": "0x", "0xFFFFFFFFFFFFFFFF": "0xffffffffffffffff",
	} {
		if got := minimalHex(in); got != want {
			t.Errorf("hex %s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"%%2048": "account_enabled", "%%2080": "account_disabled", "%%2082": "password_not_required_on",
		"%%2050": "password_not_required_off", "%%2089": "password_never_expires_on", "%%2111": "%%2111", "x": "x", "%%1": "%%1",
	} {
		if got := uacChange(in); got != want {
			t.Errorf("account control %s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"{0cce9210-69ae-11d9-bed3-505054503030}": "Security State Change",
		"{0CCE922B-69AE-11D9-BED3-505054503030}": "Process Creation",
		"{0cce922f-69ae-11d9-bed3-505054503030}": "Audit Policy Change",
		"{0cce9248-69ae-11d9-bed3-505054503030}": "Plug and Play Events",
		"{0cce924b-69ae-11d9-bed3-505054503030}": "",
		"{0cce920f-69ae-11d9-bed3-505054503030}": "",
		"":                                       "",
	} {
		if got := AuditSubcategory(in); got != want {
			t.Errorf("subcategory %s: %s, want %s", in, got, want)
		}
	}
}
