package process

import (
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync"
	"time"
)

// Bounds of the table.
const (
	// maxRunning is how many running processes are known at most; beyond it the
	// one that was told of first is forgotten, since its end was probably lost.
	maxRunning = 1 << 16
	// maxEnded and keepFor bound how many that have ended are still known, for
	// events that come after: those of other sources may be minutes late.
	maxEnded = 1 << 14
	keepFor  = 15 * time.Minute
	// slack is how far the clocks of two sources may differ.
	slack = 2 * time.Second
)

// Identities of a process, as tables write them.
const (
	Exact      = "exact"
	Matched    = "matched"
	Unresolved = "unresolved"
)

// Process is what is known of one.
type Process struct {
	PID uint32
	// Created is its create time in 100 ns since 1601, which with PID names it on
	// its host.
	Created uint64
	UID     string
	Image, CommandLine,
	User, UserSID string
	ParentPID uint32
	ParentUID string
	Session   uint32
}

// entry is a process in the table.
type entry struct {
	Process
	ended uint64 // 0: it runs
	place *list.Element
}

// Table knows the processes of one host. Its methods may be called by any
// goroutine.
type Table struct {
	host []byte

	mu      sync.Mutex
	byPID   map[uint32][]*entry // by Created
	running *list.List          // of *entry, first told first
	ended   *list.List          // of *entry, first ended first
}

// NewTable returns an empty table of a host. host is its identity: 16 bytes.
func NewTable(host [16]byte) *Table {
	return &Table{host: host[:], byPID: map[uint32][]*entry{}, running: list.New(), ended: list.New()}
}

// UID is the identity of a process on its host, whatever source saw it.
func (t *Table) UID(pid uint32, created uint64) string {
	b := append([]byte("assay process\x00"), t.host...)
	b = binary.LittleEndian.AppendUint32(b, pid)
	b = binary.LittleEndian.AppendUint64(b, created)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Start takes a process that runs. One that is known already is completed: the
// same start may be told twice, and a list of running processes says less than
// a start.
func (t *Table) Start(p Process) Process {
	p.UID = t.UID(p.PID, p.Created)
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.find(p.PID, p.Created); e != nil {
		e.complete(&p)
		return e.Process
	}
	e := &entry{Process: p}
	e.place = t.running.PushBack(e)
	all := t.byPID[p.PID]
	at, _ := slices.BinarySearchFunc(all, p.Created, func(e *entry, created uint64) int { return cmp.Compare(e.Created, created) })
	t.byPID[p.PID] = slices.Insert(all, at, e)
	if t.running.Len() > maxRunning {
		t.forget(t.running.Remove(t.running.Front()).(*entry))
	}
	return e.Process
}

func (e *entry) complete(p *Process) {
	for _, field := range []struct {
		to   *string
		from string
	}{{&e.Image, p.Image}, {&e.CommandLine, p.CommandLine}, {&e.User, p.User}, {&e.UserSID, p.UserSID}, {&e.ParentUID, p.ParentUID}} {
		if *field.to == "" {
			*field.to = field.from
		}
	}
	if e.ParentPID == 0 {
		e.ParentPID = p.ParentPID
	}
}

// End takes the end of a process at a time (100 ns since 1601), and forgets those
// that ended long before.
func (t *Table) End(pid uint32, created, at uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.find(pid, created)
	if e == nil || e.ended != 0 {
		return
	}
	t.running.Remove(e.place)
	e.ended = max(at, 1)
	e.place = t.ended.PushBack(e)
	for {
		first := t.ended.Front()
		old := first.Value.(*entry)
		if t.ended.Len() <= maxEnded && old.ended+uint64(keepFor/100) >= at {
			return
		}
		t.ended.Remove(first)
		t.forget(old)
		if t.ended.Len() == 0 {
			return
		}
	}
}

// forget takes e out of the index. Under mu.
func (t *Table) forget(e *entry) {
	all := slices.DeleteFunc(t.byPID[e.PID], func(other *entry) bool { return other == e })
	if len(all) == 0 {
		delete(t.byPID, e.PID)
		return
	}
	t.byPID[e.PID] = all
}

// find is under mu.
func (t *Table) find(pid uint32, created uint64) *entry {
	all := t.byPID[pid]
	at, ok := slices.BinarySearchFunc(all, created, func(e *entry, created uint64) int { return cmp.Compare(e.Created, created) })
	if !ok {
		return nil
	}
	return all[at]
}

// Find says whose pid was. created is its create time, 0 where the source does
// not tell: then the process is matched by the time of the event (100 ns since
// 1601). With a create time the identity is exact even of a process that the
// table does not know; of that only pid and identity are set.
func (t *Table) Find(pid uint32, created, at uint64) (Process, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if created != 0 {
		if e := t.find(pid, created); e != nil {
			return e.Process, Exact
		}
		return Process{PID: pid, Created: created, UID: t.UID(pid, created)}, Exact
	}
	const tolerance = uint64(slack / 100)
	all := t.byPID[pid]
	for i := len(all) - 1; i >= 0; i-- {
		e := all[i]
		if e.Created > at+tolerance {
			continue
		}
		// Only the newest that had begun: older ones had ended before it.
		if e.ended == 0 || e.ended+tolerance >= at {
			return e.Process, Matched
		}
		break
	}
	return Process{PID: pid}, Unresolved
}

// epoch is 1970 in 100 ns since 1601.
const epoch = 116444736000000000

// Resolve says whose pid was at a time, for sources that tell no create time.
func (t *Table) Resolve(pid uint32, at time.Time) (uid, identity string) {
	ticks := at.Unix()*1e7 + int64(at.Nanosecond())/100 + epoch
	if ticks < 0 {
		return "", Unresolved
	}
	p, identity := t.Find(pid, 0, uint64(ticks))
	return p.UID, identity
}

// Len is how many processes run and how many that ended are known.
func (t *Table) Len() (running, ended int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running.Len(), t.ended.Len()
}
