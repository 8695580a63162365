package process

import (
	"testing"
	"time"
)

const second = uint64(time.Second / 100)

// TestPidsAreGivenAnew: the same id is two processes, told apart by create time
// and, where that is not told, by when something happened.
func TestPidsAreGivenAnew(t *testing.T) {
	t.Parallel()
	table := NewTable([16]byte{1})
	first := table.Start(Process{PID: 4, Created: 1000 * second, Image: "a.exe"})
	table.End(4, 1000*second, 1100*second)
	second4 := table.Start(Process{PID: 4, Created: 1200 * second, Image: "b.exe"})
	if first.UID == second4.UID || len(first.UID) != 32 {
		t.Fatalf("identities %s and %s", first.UID, second4.UID)
	}
	for name, want := range map[string]struct {
		created, at uint64
		image       string
		identity    string
	}{
		"by create time":        {1000 * second, 0, "a.exe", Exact},
		"while the first ran":   {0, 1050 * second, "a.exe", Matched},
		"just after its end":    {0, 1101 * second, "a.exe", Matched},
		"between the two":       {0, 1150 * second, "", Unresolved},
		"while the second runs": {0, 1300 * second, "b.exe", Matched},
		"before both":           {0, 10 * second, "", Unresolved},
		"one never told of":     {7, 0, "", Exact},
	} {
		p, identity := table.Find(4, want.created, want.at)
		if p.Image != want.image || identity != want.identity || (identity != Unresolved) != (p.UID != "") {
			t.Errorf("%s: %+v is %s", name, p, identity)
		}
	}
	at := time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC) // before all Windows time: no wrap
	if uid, identity := table.Resolve(4, at); uid != "" || identity != Unresolved {
		t.Errorf("in 1500 it is %s, %s", uid, identity)
	}
	if other := NewTable([16]byte{2}); other.UID(4, 1000*second) == first.UID {
		t.Error("two hosts have the same process")
	}
}

// TestAListSaysLessThanAStart: what came first is kept, what was missing added.
func TestAListSaysLessThanAStart(t *testing.T) {
	t.Parallel()
	table := NewTable([16]byte{1})
	table.Start(Process{PID: 9, Created: 5, Image: "listed.exe"})
	p := table.Start(Process{PID: 9, Created: 5, Image: "other.exe", CommandLine: "listed.exe -x", UserSID: "S-1-5-18", ParentPID: 3})
	if p.Image != "listed.exe" || p.CommandLine != "listed.exe -x" || p.UserSID != "S-1-5-18" || p.ParentPID != 3 {
		t.Errorf("the process is %+v", p)
	}
	if running, _ := table.Len(); running != 1 {
		t.Errorf("%d processes", running)
	}
}

// TestBounds: neither starts without ends nor ends without end fill the memory.
func TestBounds(t *testing.T) {
	t.Parallel()
	table := NewTable([16]byte{1})
	for i := range uint32(maxRunning + 100) {
		table.Start(Process{PID: i, Created: uint64(i) + 1})
	}
	for i := range uint32(maxEnded + 1000) {
		pid := maxRunning + i
		table.Start(Process{PID: pid, Created: uint64(pid) + 1})
		table.End(pid, uint64(pid)+1, 1000*second)
	}
	running, ended := table.Len()
	if running > maxRunning || ended != maxEnded {
		t.Errorf("%d running, %d ended", running, ended)
	}
	// Long after, the ended are forgotten.
	table.Start(Process{PID: 1, Created: 1 << 40})
	table.End(1, 1<<40, 1000*second+uint64(keepFor/100)+1)
	if _, ended := table.Len(); ended != 1 {
		t.Errorf("%d ended are still known", ended)
	}
	if len(table.byPID) > maxRunning+1 {
		t.Errorf("%d ids are known", len(table.byPID))
	}
}
