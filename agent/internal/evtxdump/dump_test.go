package evtxdump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/google/go-cmp/cmp"
)

var moment = time.Date(2026, 3, 4, 5, 6, 7, 100, time.UTC)

func event(id uint64) evtxtest.Event {
	return evtxtest.Event{
		RecordID: id, Time: moment, Provider: "Prov", ProviderGUID: "00000000-0000-0000-0000-000000000001",
		EventID: 4624, Version: 2, Level: 4, Task: 12544, Opcode: 1, Keywords: 0x8020000000000000,
		Channel: "Security", Computer: "HOST", UserSID: "S-1-5-18", ActivityID: "00000000-0000-0000-0000-00000000000A",
		ProcessID: 5, ThreadID: 6,
		Data: []evtxtest.Field{
			evtxtest.Named("LogonId", evtxtest.Hex64(0x3e7)), evtxtest.Named("", evtxtest.String("two words <&>")),
			evtxtest.Named("Esc", evtxtest.String("\x1b[2J\r\n")), evtxtest.Named("Empty", evtxtest.String("")),
		},
	}
}

func userDataEvent(id uint64) evtxtest.Event {
	e := event(id)
	e.Data = nil
	e.Body = evtxtest.El("UserData", evtxtest.El("Cleared",
		evtxtest.El("Sid", evtxtest.Text("S-1-5-18")),
		evtxtest.El("Tag", evtxtest.Text("a")), evtxtest.El("None"), evtxtest.El("Tag", evtxtest.Text("b")).With("n", evtxtest.Text("1")),
		evtxtest.El("In", evtxtest.El("Deep", evtxtest.Text("<\"é>"))),
	).With("kind", evtxtest.Text("k")))
	return e
}

// dump runs Dump on files of these names and contents.
func dump(t *testing.T, asJSON bool, files ...[2]string) (stdout, stderr string, exitCode int) {
	t.Helper()
	folder := t.TempDir()
	var names []string
	for _, f := range files {
		name := filepath.Join(folder, f[0])
		names = append(names, name)
		if f[1] == "" {
			continue // must not exist
		}
		if err := os.WriteFile(name, []byte(f[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, complaints bytes.Buffer
	exitCode = Dump(context.Background(), names, &out, &complaints, asJSON)
	strip := func(b bytes.Buffer) string {
		return strings.ReplaceAll(b.String(), folder+string(filepath.Separator), "")
	}
	return strip(out), strip(complaints), exitCode
}

const logonLine = `{"file":"a.evtx","record_number":7,"record_id":7,"time":"2026-03-04T05:06:07.0000001Z","provider":"Prov",` +
	`"event_id":4624,"version":2,"level":4,"task":12544,"opcode":1,"keywords":"0x8020000000000000","channel":"Security",` +
	`"computer":"HOST","user_sid":"S-1-5-18","activity_id":"{00000000-0000-0000-0000-00000000000a}","process_id":5,"thread_id":6,` +
	`"data":[{"name":"LogonId","value":"0x3e7"},{"name":"","value":"two words <&>"},{"name":"Esc","value":"\u001b[2J\r\n"},{"name":"Empty","value":""}],"user_data":{}}` + "\n"

func TestJSON(t *testing.T) {
	t.Parallel()
	out, complaints, exitCode := dump(t, true, [2]string{"a.evtx", string(evtxtest.Log(evtxtest.Options{}, event(7)))})
	if d := cmp.Diff(logonLine, out); d != "" || complaints != "" || exitCode != 0 {
		t.Errorf("exit %d, %q\n%s", exitCode, complaints, d)
	}
}

func TestJSONUserData(t *testing.T) {
	t.Parallel()
	out, _, exitCode := dump(t, true, [2]string{"a.evtx", string(evtxtest.Log(evtxtest.Options{}, userDataEvent(7)))})
	want := `"data":[],"user_data":{"Cleared":{"@kind":"k","Sid":"S-1-5-18","Tag":["a",{"@n":"1","#text":"b"}],"None":"","In":{"Deep":"<\"é>"}}}}` + "\n"
	if !strings.HasSuffix(out, want) || exitCode != 0 {
		t.Errorf("exit %d\n%s\nwant the end\n%s", exitCode, out, want)
	}
	if !json.Valid([]byte(out)) {
		t.Error("not valid JSON")
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	out, _, _ := dump(t, false, [2]string{"a.evtx", string(evtxtest.Log(evtxtest.Options{}, event(7), evtxtest.Event{RecordID: 8, Time: moment, Level: 9}))})
	want := `2026-03-04T05:06:07.0000001Z HOST Security 7 Prov 4624 info LogonId=0x3e7 "two words <&>" Esc="\x1b[2J\r\n" Empty=""` + "\n" +
		"2026-03-04T05:06:07.0000001Z - - 8 - 0 9\n"
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
}

func TestXMLFile(t *testing.T) {
	t.Parallel()
	const body = `<Event><System><Provider Name='Prov'/><EventID>5</EventID><EventRecordID>9</EventRecordID></System><EventData><Data Name='a'>1</Data></EventData></Event>`
	out, complaints, exitCode := dump(t, true, [2]string{"a.XML", body + body})
	line, _, _ := strings.Cut(out, "\n")
	if strings.Count(out, "\n") != 2 || exitCode != 0 || complaints != "" || !strings.Contains(line, `"record_number":9,"record_id":9,"time":"","provider":"Prov","event_id":5`) {
		t.Errorf("exit %d, %q\n%s", exitCode, complaints, out)
	}
	out, complaints, exitCode = dump(t, true, [2]string{"cut.xml", body + body[:50]})
	if strings.Count(out, "\n") != 1 || exitCode != 1 || complaints != "cut.xml: reading event 2: unexpected EOF\n" {
		t.Errorf("exit %d, %q\n%s", exitCode, complaints, out)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	broken := evtxtest.Log(evtxtest.Options{}, event(1), event(2), event(3))
	broken[bytes.LastIndex(broken, []byte("**\x00\x00"))] = 0
	cut := evtxtest.Log(evtxtest.Options{}, event(1))[:evtxtest.FileHeaderSize]
	for name, test := range map[string]struct {
		content    string
		lines      int
		complaints string
		exitCode   int
	}{
		"good.evtx": {string(evtxtest.Log(evtxtest.Options{}, event(1))), 1, "", 0},
		"dirty.evtx": {string(evtxtest.Log(evtxtest.Options{Dirty: true}, event(1))), 1,
			"dirty.evtx: note: offset 120: the log was not closed (dirty flag): it was copied while in use, or the system stopped\n", 0},
		"broken.evtx": {string(broken), 2, "broken.evtx: damage: offset 4148 (chunk 0): the checksum of the record area does not match\n" +
			"broken.evtx: damage: offset 6656 (chunk 0): no readable record here: the signature is missing\n" +
			"broken.evtx: damage: offset 4104 (chunk 0): the chunk header announces 3 records (1 to 3), 2 were found\n", 1},
		"cut.evtx":     {string(cut), 0, "cut.evtx: damage: offset 4096: the file ends here, but its header counts 1 chunks (69632 bytes)\n", 1},
		"none.evtx":    {"", 0, "none.evtx: no such file or directory\n", 1},
		"picture.evtx": {"\x89PNG", 0, "picture.evtx: not a Windows event log (.evtx) file\n", 1},
		"text.xml":     {"no events", 0, "text.xml: reading event 1: the document has no Event element\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, complaints, exitCode := dump(t, true, [2]string{name, test.content})
			if got := strings.Count(out, "\n"); got != test.lines || exitCode != test.exitCode || complaints != test.complaints {
				t.Errorf("%d lines, exit %d\n%s\nwant %d, %d\n%s", got, exitCode, complaints, test.lines, test.exitCode, test.complaints)
			}
		})
	}
}

// TestSeveralFiles: what is wrong with one file does not stop the others.
func TestSeveralFiles(t *testing.T) {
	t.Parallel()
	good := string(evtxtest.Log(evtxtest.Options{}, event(1)))
	out, complaints, exitCode := dump(t, true, [2]string{"none.evtx", ""}, [2]string{"a.evtx", good}, [2]string{"b.evtx", good})
	if strings.Count(out, "\n") != 2 || exitCode != 1 || strings.Count(complaints, "\n") != 1 {
		t.Errorf("exit %d, %q\n%s", exitCode, complaints, out)
	}
	if !strings.Contains(out, `{"file":"b.evtx",`) {
		t.Errorf("no record of the last file:\n%s", out)
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	var out, complaints bytes.Buffer
	if exitCode := Dump(t.Context(), []string{t.TempDir()}, &out, &complaints, true); exitCode != 1 || !strings.HasSuffix(complaints.String(), ": not a regular file\n") {
		t.Errorf("exit %d, %q", exitCode, complaints.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWriteError(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.evtx")
	var events []evtxtest.Event
	for i := range 600 {
		events = append(events, event(uint64(i+1)))
	}
	for _, count := range []int{1, len(events)} { // noticed at the end, and on the way
		if err := os.WriteFile(name, evtxtest.Log(evtxtest.Options{}, events[:count]...), 0o600); err != nil {
			t.Fatal(err)
		}
		var complaints bytes.Buffer
		if exitCode := Dump(t.Context(), []string{name, name}, brokenPipe{}, &complaints, true); exitCode != 1 || complaints.String() != "writing records: broken pipe\n" {
			t.Errorf("exit %d, %q", exitCode, complaints.String())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, complaints bytes.Buffer
	if exitCode := Dump(ctx, []string{name}, &out, &complaints, true); exitCode != 1 || strings.Count(out.String(), "\n") != checkEvery-1 || !strings.Contains(complaints.String(), "context canceled") {
		t.Errorf("exit %d, %q", exitCode, complaints.String())
	}
}
