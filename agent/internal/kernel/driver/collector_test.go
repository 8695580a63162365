package driver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/driver"
	"github.com/assay-audit/assay/agent/internal/kernel/drivertest"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fileRecord(i int) drivertest.Record {
	return drivertest.Record{
		Class: kernel.ClassFile, Kind: kernel.KindFileWritten, Time: 134087000000000000 + uint64(i), PID: 100, TID: 1, PIDCreated: 134086000000000000,
		Body: new(drivertest.Builder).U64(0, 0, 0, 0, 0).U32(0, 0, 2, 2).Text(`\Device\HarddiskVolume3`).Text(fmt.Sprintf(`\data\%d.txt`, i)).Bytes([]byte{}).Bytes(nil),
	}
}

func processRecord(pid uint32) drivertest.Record {
	return drivertest.Record{
		Class: kernel.ClassProcess, Kind: kernel.KindProcessCreated, Time: 134087000000000000 + uint64(pid), PID: 4, TID: 8, PIDCreated: 134000000000000000,
		Body: new(drivertest.Builder).U64(134087000000000000+uint64(pid), 0).U32(pid, 4, 4, 8, 0, 0, 0xFFFFFFFF, 0).Text(`\Device\HarddiskVolume3\a.exe`).Text("a.exe -x").Bytes(nil),
	}
}

// once checks that of a class each n from 1 on is told once: by an event or by a
// gap that spans it.
func once(t *testing.T, h *host, class kernel.Class, posted uint64) (gaps uint64) {
	t.Helper()
	seen := map[uint64]int{}
	for _, ev := range append(h.bulk.events(t), h.control.events(t)...) {
		if ev.GetSource() != telemetryv1.Source_SOURCE_KERNEL || ev.GetPosition().GetChannel() != class.String() {
			continue
		}
		if gap := ev.GetGap(); gap != nil {
			if gap.GetChannel() != class.String() || gap.GetCount() != gap.GetLastMissing()-gap.GetFirstMissing()+1 {
				t.Errorf("a gap of %s is %v", class, gap)
			}
			gaps += gap.GetCount()
			for n := gap.GetFirstMissing(); n <= gap.GetLastMissing(); n++ {
				seen[n]++
			}
			continue
		}
		seen[ev.GetPosition().GetSequence()]++
	}
	for n := uint64(1); n <= posted; n++ {
		if seen[n] != 1 {
			t.Errorf("%s %d of %d is told %d times", class, n, posted, seen[n])
			return gaps
		}
	}
	if len(seen) != int(posted) {
		t.Errorf("%s: %d numbers are told, %d were posted", class, len(seen), posted)
	}
	return gaps
}

// settled waits until the driver holds nothing more.
func settled(t *testing.T, d *drivertest.Driver, classes ...kernel.Class) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := d.Wait(ctx.Done(), func() bool {
		for _, class := range classes {
			if c := d.Counts(class); c.Held != 0 || c.Posted != c.Delivered+c.Lost {
				return false
			}
		}
		return true
	})
	if err != nil {
		for _, class := range classes {
			t.Errorf("%s: %+v", class, d.Counts(class))
		}
		t.Fatal(err)
	}
	if n := d.BadAcks(); n != 0 {
		t.Errorf("%d times something was acknowledged that was never given", n)
	}
}

// TestKilledAgain: an agent that is killed over and over while records come loses
// none and doubles none.
func TestKilledAgain(t *testing.T) {
	t.Parallel()
	d := drivertest.Load(1, 134087000000000000, 64<<20)
	h := newHost(t, d)
	const rounds, each = 12, 700
	for round := range rounds {
		h.start()
		for i := range each {
			d.Post(fileRecord(round*each + i))
			if i%50 == 0 {
				d.Post(processRecord(uint32(1000 + round*each + i)))
			}
		}
		// Killed at another moment in each round: with nothing, some or all on disk.
		target := uint64(round * each * round / rounds)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := d.Wait(ctx.Done(), func() bool { return d.Counts(kernel.ClassFile).Delivered >= target }); err != nil {
			t.Fatal(err)
		}
		cancel()
		h.kill()
	}
	h.start()
	settled(t, d, kernel.ClassFile, kernel.ClassProcess)
	h.kill()
	once(t, h, kernel.ClassFile, rounds*each)
	once(t, h, kernel.ClassProcess, d.Counts(kernel.ClassProcess).Posted)
}

// TestStorm: a storm of one class overflows its own ring. The gap is told with its
// count, the other classes lose nothing, and nothing is acknowledged while the disk
// takes nothing.
func TestStorm(t *testing.T) {
	t.Parallel()
	d := drivertest.Load(1, 134087000000000000, 256<<10)
	h := newHost(t, d)
	h.bulk.setFull(true)
	h.start()
	defer h.kill()
	for i := range 20000 {
		d.Post(fileRecord(i))
		if i%200 == 0 {
			d.Post(processRecord(uint32(1000 + i)))
		}
	}
	for _, class := range []kernel.Class{kernel.ClassFile, kernel.ClassProcess} {
		if c := d.Counts(class); c.Delivered != 0 {
			t.Errorf("%d of %s are acknowledged, and none is on disk", c.Delivered, class)
		}
	}
	if d.Counts(kernel.ClassFile).Lost == 0 {
		t.Fatal("the storm was too small to lose anything")
	}
	h.bulk.setFull(false)
	settled(t, d, kernel.ClassFile, kernel.ClassProcess)
	c := d.Counts(kernel.ClassFile)
	if gaps := once(t, h, kernel.ClassFile, c.Posted); gaps != c.Lost {
		t.Errorf("gaps tell of %d, %d were lost", gaps, c.Lost)
	}
	if gaps := once(t, h, kernel.ClassProcess, d.Counts(kernel.ClassProcess).Posted); gaps != 0 {
		t.Errorf("%d processes were lost in a storm of files", gaps)
	}
	state := health(t, h, func(s *telemetryv1.SourceState) bool { return s.GetChannel() == "file" && s.GetLost() == c.Lost })
	if !state.GetRunning() || state.GetPosition() != c.Posted {
		t.Errorf("files stand so: %v", state)
	}
}

// health waits for a statement.
func health(t *testing.T, h *host, ok func(*telemetryv1.SourceState) bool) *telemetryv1.SourceState {
	t.Helper()
	var newest []*telemetryv1.SourceState
	for deadline := time.After(30 * time.Second); ; {
		h.control.mu.Lock()
		changed := h.control.changed
		h.control.mu.Unlock()
		for _, ev := range h.control.events(t) {
			if body := ev.GetSourceHealth(); body != nil {
				newest = body.GetSources()
			}
		}
		if i := slices.IndexFunc(newest, ok); i >= 0 {
			return newest[i]
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no such statement; the newest is %v", newest)
		}
	}
}

// TestDriverComesAndGoes: without a driver the agent runs and says so; it takes up
// one that appears, and another one after that, whose clock was set back.
func TestDriverComesAndGoes(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	h.start()
	defer h.kill()
	health(t, h, func(s *telemetryv1.SourceState) bool {
		return s.GetChannel() == "process" && !s.GetRunning() && s.GetReason() == driver.ErrAbsent.Error()
	})
	first := drivertest.Load(5, 134087000000000000, 1<<20)
	first.Sources[5] = -1073741790 // the minifilter was refused
	first.Post(processRecord(77))
	h.bulk.setFull(true) // so that nothing of the first is on disk when the second comes
	h.load(first)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := first.Wait(ctx.Done(), func() bool { return first.Given(kernel.ClassProcess) == 1 }); err != nil {
		t.Fatal(err)
	}
	up := health(t, h, func(s *telemetryv1.SourceState) bool { return s.GetChannel() == "process" && s.GetRunning() })
	if !slices.Contains(up.GetCapabilities(), "process.start") || up.GetFilterDigest() != "built-in" {
		t.Errorf("processes stand so: %v", up)
	}
	files := health(t, h, func(s *telemetryv1.SourceState) bool {
		return s.GetChannel() == "file" && s.GetReason() != driver.ErrAbsent.Error()
	})
	if files.GetRunning() || len(files.GetCapabilities()) > 0 || files.GetReason() != "file: access denied (0xc0000022)" {
		t.Errorf("files stand so: %v", files)
	}
	// Loaded anew, at a time before: its records are others.
	second := drivertest.Load(4, 133087000000000000, 1<<20)
	second.Post(processRecord(78))
	h.load(second)
	first.Break(errors.New("the device does not exist any more"))
	if err := second.Wait(ctx.Done(), func() bool { return second.Given(kernel.ClassProcess) == 1 }); err != nil {
		t.Fatal(err)
	}
	h.bulk.setFull(false)
	settled(t, second, kernel.ClassProcess)
	var boots []string
	for _, ev := range h.bulk.events(t) {
		boots = append(boots, ev.GetBootId())
	}
	if !slices.Equal(boots, []string{"5", "4"}) {
		t.Errorf("events are of boots %v", boots)
	}
}

// TestTakenByAnother: records that another reader takes between two readings of the
// device are missed, and told of by a gap with their numbers.
func TestTakenByAnother(t *testing.T) {
	t.Parallel()
	d := drivertest.Load(1, 134087000000000000, 1<<20)
	h := newHost(t, d)
	h.start()
	defer h.kill()
	d.Post(processRecord(1))
	for i := range 3 {
		d.Post(fileRecord(i))
	}
	settled(t, d, kernel.ClassFile, kernel.ClassProcess)
	h.load(nil)
	d.Break(errors.New("the device is in use"))
	health(t, h, func(s *telemetryv1.SourceState) bool {
		return s.GetChannel() == "file" && s.GetReason() == driver.ErrAbsent.Error()
	})
	d.Mend()
	for i := range 4 {
		d.Post(fileRecord(3 + i))
	}
	take(t, d)
	d.Post(processRecord(2))
	d.Post(fileRecord(7))
	h.load(d)
	settled(t, d, kernel.ClassFile, kernel.ClassProcess)
	if gaps := once(t, h, kernel.ClassFile, 8); gaps != 4 {
		t.Errorf("gaps tell of %d, 4 were taken", gaps)
	}
	if gaps := once(t, h, kernel.ClassProcess, 2); gaps != 0 {
		t.Errorf("gaps tell of %d processes, none was taken", gaps)
	}
}

// take reads and acknowledges files, as another program would.
func take(t *testing.T, d *drivertest.Driver) {
	t.Helper()
	port, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := port.Submit(kernel.ReadRequest(true, 0, [kernel.Classes]uint64{})); err != nil {
		t.Fatal(err)
	}
	if _, err := port.Next(); err != nil {
		t.Fatal(err)
	}
	all := [kernel.Classes]uint64{kernel.ClassFile: d.Given(kernel.ClassFile)}
	if err := errors.Join(port.Submit(kernel.ReadRequest(false, 134087000000000000, all)), port.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestNothingOfNothing: a record that makes no event, or that the policy leaves out,
// is acknowledged all the same: else the ring would fill.
func TestNothingOfNothing(t *testing.T) {
	t.Parallel()
	d := drivertest.Load(1, 134087000000000000, 1<<20)
	h := newHost(t, d)
	h.filter = noFiles{}
	h.start()
	defer h.kill()
	for i := range 100 {
		d.Post(fileRecord(i))
		payload := drivertest.Record{Class: kernel.ClassPayload, Kind: kernel.KindPayloadCopied, Body: new(drivertest.Builder).U64(1, 2, 0, 3).
			Raw(make([]byte, 32)).U16(1, 2).U8(4, 6, 0, 0).Bytes([]byte("nothing that we read"))}
		d.Post(payload)
	}
	settled(t, d, kernel.ClassFile, kernel.ClassPayload)
	if n := len(h.bulk.events(t)); n != 0 {
		t.Errorf("%d events are stored", n)
	}
	for _, class := range []string{"file", "payload"} {
		state := health(t, h, func(s *telemetryv1.SourceState) bool { return s.GetChannel() == class && s.GetFiltered() == 100 })
		if state.GetSeen() != 100 || state.GetPosition() != 100 {
			t.Errorf("%s stands so: %v", class, state)
		}
	}
	// An agent that knows nothing of them any more does not take them for missing.
	h.kill()
	h.start()
	d.Post(fileRecord(100))
	settled(t, d, kernel.ClassFile, kernel.ClassPayload)
	if gaps := once(t, h, kernel.ClassFile, 0); gaps != 0 {
		t.Errorf("gaps tell of %d", gaps)
	}
}

type noFiles struct{}

func (noFiles) Keep(ev *telemetryv1.Event) (string, bool) { return "", ev.GetFile() == nil }

// TestBootGuardIsTold: a driver that is read hears at each look that all is well, and
// counts its minutes itself; one that is passive is not called healthy.
func TestBootGuardIsTold(t *testing.T) {
	t.Parallel()
	d := drivertest.Load(1, 134087000000000000, 1<<20)
	h := newHost(t, d)
	h.start()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := d.Wait(ctx.Done(), func() bool { return d.Healthy() >= 3 }); err != nil {
		t.Errorf("the driver was told %d times that all is well: %v", d.Healthy(), err)
	}
	h.kill()

	passive := drivertest.Load(1, 134087000000000001, 1<<20)
	passive.Passive = 1
	h = newHost(t, passive)
	h.start()
	defer h.kill()
	health(t, h, func(s *telemetryv1.SourceState) bool {
		return s.GetChannel() == "file" && strings.Contains(s.GetReason(), "passive")
	})
	if n := passive.Healthy(); n != 0 {
		t.Errorf("a passive driver was told %d times that all is well", n)
	}
}

// TestUnloadIsAllowed: only for the driver that is loaded now.
func TestUnloadIsAllowed(t *testing.T) {
	t.Parallel()
	d := drivertest.Load(1, 134087000000000000, 1<<20)
	port, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.AllowUnload(port); err != nil {
		t.Fatal(err)
	}
	if is, err := driver.Describe(port); err != nil || !is.UnloadAllowed {
		t.Errorf("allowed: %v, %v", is.UnloadAllowed, err)
	}
	if err := port.Close(); err != nil {
		t.Error(err)
	}
	if err := driver.AllowUnload(port); err == nil {
		t.Error("a closed device allows something")
	}
}

// TestFiltersAreSwapped: the driver gets the agent's set, another one when it
// changes, and keeps the last where a set is no good; health names what is in force.
func TestFiltersAreSwapped(t *testing.T) {
	t.Parallel()
	d := drivertest.Load(1, 134087000000000000, 1<<20)
	h := newHost(t, d)
	var mu sync.Mutex
	text := `{"exclude":[{"class":"file","prefixes":["\\Device\\HarddiskVolume1\\Temp\\"]}]}`
	encode := func(text string) (*kernel.FilterBlob, error) {
		set, err := kernel.ReadFilters(strings.NewReader(text))
		if err != nil {
			return nil, err
		}
		return set.Encode(nil)
	}
	h.filters = func([]event.Drive) (*kernel.FilterBlob, error) {
		mu.Lock()
		defer mu.Unlock()
		return encode(text)
	}
	swap := func(other string) {
		mu.Lock()
		defer mu.Unlock()
		text = other
	}
	first, err := encode(text)
	if err != nil {
		t.Fatal(err)
	}
	h.start()
	defer h.kill()
	state := health(t, h, func(s *telemetryv1.SourceState) bool {
		return s.GetChannel() == "file" && s.GetFilterDigest() == first.Digest
	})
	if !slices.Contains(state.GetCapabilities(), "file.change") {
		t.Errorf("files stand so: %v", state)
	}
	swap(`{"skip":["file_written"]}`)
	second, err := encode(`{"skip":["file_written"]}`)
	if err != nil {
		t.Fatal(err)
	}
	state = health(t, h, func(s *telemetryv1.SourceState) bool {
		return s.GetChannel() == "file" && s.GetFilterDigest() == second.Digest
	})
	if len(state.GetCapabilities()) != 0 {
		t.Errorf("without writes files are seen: %v", state)
	}
	swap(`{"exclude":[{"class":"file","prefixes":["*.txt"]}]}`)
	d.Post(fileRecord(1))
	settled(t, d, kernel.ClassFile)
	health(t, h, func(s *telemetryv1.SourceState) bool {
		return s.GetChannel() == "file" && s.GetSeen() == 1 && s.GetFilterDigest() == second.Digest
	})
	if got := d.Taken(); got != 2 {
		t.Errorf("the driver took %d sets", got)
	}
}
