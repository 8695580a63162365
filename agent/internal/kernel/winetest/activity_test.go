//go:build wine

package winetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// actor is the process whose activity the player plays, an editor once it began.
const (
	actor  = 100000
	disk   = `C:` // where Wine has the volume that the player's paths begin with
	editor = disk + `\Windows\notepad.exe`
	shell  = disk + `\Windows\System32\cmd.exe`
)

// TestActivityArrives: what happens on a host reaches the server whole and in order,
// with the names and numbers that the kernel gave.
func TestActivityArrives(t *testing.T) {
	h := newHost(t)
	h.player.must("start")
	h.start()
	h.reads()
	h.player.play("files")
	h.player.play("processes", "100", "200000")
	h.player.play("exit", "200000")
	h.player.play("storm", "500", "400000")
	h.player.play("routes")
	h.player.play("flows")
	h.player.play("refusals")
	h.player.play("names")
	h.player.play("plug")
	h.hears("a medium came", func(x told) bool {
		return slices.ContainsFunc(x.of("control"), func(ev *telemetryv1.Event) bool { return ev.GetRemovableMedia() != nil })
	})
	h.player.play("unplug")
	h.player.must("idle")
	s, x := h.everything()
	for class, posted := range map[string]uint64{"control": 3, "process": 2 + 100 + 1 + 1000 + 1, "file": 22, "network": 10} {
		x.once(class, posted)
	}
	if gaps := x.gaps(); len(gaps) > 0 {
		t.Errorf("nothing was lost, and there are gaps: %v", gaps)
	}
	for class, ring := range s.rings {
		if ring.Lost > 0 {
			t.Errorf("class %d lost %d", class, ring.Lost)
		}
	}
	processes(t, x.of("process"))
	files(t, x.of("file"))
	flows(t, x.of("network"), x.of("payload"))
	names(t, x.of("payload"))
	media(t, x.of("control"))
}

// same compares what is told with what happened, line by line.
func same(t *testing.T, what string, have, want []string) {
	t.Helper()
	if !slices.Equal(have, want) {
		t.Errorf("%s are\n  %s\nand happened so\n  %s", what, strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}

func processes(t *testing.T, events []*telemetryv1.Event) {
	t.Helper()
	var have, want []string
	storm := map[uint32]int{}
	for _, ev := range events {
		p := ev.GetProcess()
		switch pid := p.GetPid(); {
		case pid >= 400000 && pid < 400000+4*1000:
			storm[pid]++
		case pid >= 200000 && pid < 400000:
			have = append(have, fmt.Sprintf("%s %d of %d %s: %s %s %s", p.GetAction(), pid, p.GetParentPid(), p.GetParentPath(), p.GetPath(), p.GetCmdline(), p.GetExitCode()))
			if began := p.GetAction() == "PROC_CREATE"; p.GetOwnerSid() == "" || p.GetProcessUid() == "" || p.GetParentProcessUid() == "" || began && p.GetIntegrityLevel() != "high" {
				t.Errorf("a process is told without its user, integrity or identity: %v", p)
			}
		}
	}
	for i := range 100 {
		want = append(want, fmt.Sprintf("PROC_CREATE %d of %d %s: %s cmd /c echo %d ", 200000+4*i, actor, editor, shell, i))
	}
	// The exit knows what the start told.
	want = append(want, fmt.Sprintf("PROC_TERMINATE 200000 of %d : %s cmd /c echo 0 0xc0000005", actor, shell))
	same(t, "processes", have, want)
	for i := range uint32(1000) {
		if n := storm[400000+4*i]; n != 1 {
			t.Errorf("process %d of the storm is told %d times", 400000+4*i, n)
		}
	}
}

func files(t *testing.T, events []*telemetryv1.Event) {
	t.Helper()
	var have []string
	for _, ev := range events {
		f := ev.GetFile()
		have = append(have, strings.Join([]string{f.GetAction(), f.GetTargetPath(), f.GetTargetNewPath(), raw(ev, "Route"), raw(ev, "Holes")}, "|"))
		if f.GetPid() == actor && f.GetProcessName() != editor {
			t.Errorf("%s is told of process %q", f.GetTargetPath(), f.GetProcessName())
		}
	}
	same(t, "files", have, []string{
		`FILE_CREATE|` + disk + `\a.txt|||`,
		`FILE_WRITE|` + disk + `\a.txt|||`,
		`FILE_RENAME|` + disk + `\a.txt|C:\b.txt||rename_over`,
		`FILE_DELETE_BY_DISP|` + disk + `\d1||disposition|`,
		`FILE_DELETE_BY_DISP|` + disk + `\d2||disposition_ex|`,
		`FILE_DELETE|` + disk + `\d3||on_close|`,
		`FILE_ACCESS|` + disk + `\map|||mapped_write`,
		`FILE_WRITE|` + disk + `\map|||block_clone`,
		`FILE_STREAM_CREATE|` + disk + `\s.txt:evil|||`,
		`FILE_CREATE|\\server\share\r.txt|||remote`,
		`FILE_CREATE|` + disk + `\l.txt|||`,
		// By the newer ways to rename, link and delete; what was taken back is not told.
		`FILE_RENAME|` + disk + `\r1|C:\r2||`,
		`FILE_RENAME|` + disk + `\r1|C:\r3||rename_over`,
		`FILE_LINK|` + disk + `\l1|C:\l2||`,
		`FILE_LINK|` + disk + `\l1|C:\l3||rename_over`,
		`FILE_DELETE|` + disk + `\x1||on_close|`,
		`FILE_DELETE|` + disk + `\x2||on_close|`,
		`FILE_WRITE|` + disk + `\e1|||`,
		`FILE_WRITE|` + disk + `\e2|||`,
		`FILE_CREATE|` + disk + `\o1|||`,
		`FILE_CREATE|` + disk + `\o2|||`,
		`FILE_CREATE|` + disk + `\o3|||`,
	})
}

func flows(t *testing.T, flows, payloads []*telemetryv1.Event) {
	t.Helper()
	var have []string
	for _, ev := range flows {
		s := ev.GetSocket()
		have = append(have, fmt.Sprintf("%s %s %s %s:%d %s:%d %s", s.GetAction(), s.GetDirection(), s.GetFamily(), s.GetLocalAddress(), s.GetLocalPort(), s.GetRemoteAddress(), s.GetRemotePort(), s.GetProcessName()))
	}
	same(t, "connections", have, []string{
		"SOCKET_CONNECT out AF_INET 10.0.0.1:50000 93.184.216.34:443 " + editor,
		"SOCKET_CLOSE out AF_INET 10.0.0.1:50000 93.184.216.34:443 " + editor,
		"SOCKET_LISTEN in AF_INET 10.0.0.1:8080 :0 " + editor,
		"SOCKET_ACCEPT in AF_INET 10.0.0.1:8080 93.184.216.34:60000 " + editor,
		"SOCKET_CONNECT_BLOCKED out AF_INET 10.0.0.1:50001 93.184.216.34:25 " + editor,
		"SOCKET_CONNECT out AF_INET6 a00:1:::50002 5db8:d822:::443 " + editor,
		"SOCKET_CONNECT_BLOCKED in AF_INET 10.0.0.1:8080 93.184.216.34:60001 " + editor,
		"SOCKET_LISTEN_BLOCKED in AF_INET 10.0.0.1:8081 :0 " + editor,
		"SOCKET_CONNECT_BLOCKED in AF_INET6 a00:1:::8080 5db8:d822:::60002 " + editor,
		"SOCKET_LISTEN_BLOCKED in AF_INET6 a00:1:::8082 :0 " + editor,
	})
	have = nil
	for _, ev := range payloads {
		if r := ev.GetHttp(); r != nil {
			have = append(have, fmt.Sprintf("%s %s %s %s:%d", r.GetMethod(), r.GetUrl(), r.GetUserAgent(), r.GetRemoteAddress(), r.GetRemotePort()))
		}
	}
	same(t, "requests", have, []string{"GET http://www.example.com/x ua 93.184.216.34:443"})
}

func names(t *testing.T, payloads []*telemetryv1.Event) {
	t.Helper()
	var have []string
	for _, ev := range payloads {
		if q := ev.GetDns(); q != nil {
			have = append(have, fmt.Sprintf("%s %s %d at %s:%d by %d", q.GetAction(), q.GetDomainName(), q.GetRequestType(), q.GetRemoteAddress(), q.GetRemotePort(), q.GetPid()))
		}
		if a := ev.GetDnsResponse(); a != nil {
			have = append(have, fmt.Sprintf("%s %s %d is %s", a.GetAction(), a.GetDomainName(), a.GetStatus(), a.GetResolvedIp()))
		}
	}
	same(t, "names", have, []string{
		fmt.Sprintf("DNS_LOOKUP www.example.com 1 at 93.184.216.34:53 by %d", actor),
		"DNS_RESPONSE www.example.com 0 is 93.184.216.34",
		"DNS_RESPONSE printer.local 0 is 192.0.2.7",
	})
}

func media(t *testing.T, events []*telemetryv1.Event) {
	t.Helper()
	var have []string
	for _, ev := range events {
		switch m := ev.GetRemovableMedia(); {
		case m != nil:
			have = append(have, strings.Join([]string{m.GetAction(), m.GetVendor(), m.GetProduct(), m.GetSerial(), m.GetDescription(), m.GetDeviceId(), m.GetVolume(), m.GetBus()}, "|"))
		case ev.GetSecuritySoftware() != nil:
			have = append(have, ev.GetSecuritySoftware().GetProduct()+" "+ev.GetSecuritySoftware().GetAction())
		}
	}
	const stick = `|Acme|Stick 9|7A|BACKUP|\Device\HarddiskVolume7|\\?\Volume{1}|`
	slices.Sort(have) // of two streams
	same(t, "media", have, []string{"Assay driver started", "MEDIA_INSERT" + stick + "USB", "MEDIA_REMOVE" + stick})
}
