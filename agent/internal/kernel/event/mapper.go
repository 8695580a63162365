package event

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
	"github.com/assay-audit/assay/agent/winevent"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

// What the raw form of a record says it is from.
const (
	Provider = "Assay-Kernel"
	Channel  = "Assay-Kernel/Operational"
)

// Config is what a Mapper needs to know of the host.
type Config struct {
	Processes *process.Table
	// Drives says where NT devices are mounted now; nil: nothing is.
	Drives func() []Drive
	// Account names the account of a SID; nil or "": only well-known ones have names.
	Account func(sid string) string
}

// Drive says that Device (\Device\HarddiskVolume3) is mounted as Letter (C:).
type Drive struct {
	Device, Letter string
	Removable      bool
}

// Mapper turns records into events. It keeps what later records need: the
// processes, the volumes that came, what was asked of in a flow. One goroutine may
// use it at a time.
type Mapper struct {
	processes *process.Table
	drives    func() []Drive
	account   func(string) string
	accounts  map[string]string
	volumes   map[string]volume
	flows     *flows
}

// Bounds of what a Mapper keeps.
const (
	maxAccounts = 4096
	maxVolumes  = 256
	maxFlows    = 4096
)

// New returns a Mapper.
func New(cfg Config) *Mapper {
	m := &Mapper{processes: cfg.Processes, drives: cfg.Drives, account: cfg.Account, accounts: map[string]string{}, volumes: map[string]volume{}, flows: newFlows()}
	if m.drives == nil {
		m.drives = func() []Drive { return nil }
	}
	return m
}

// epoch is 1970 in 100 ns since 1601.
const epoch = 116444736000000000

// Ticks are 100 ns since 1970 of a driver's time; 0 for none.
func Ticks(system uint64) int64 {
	if system == 0 || system > 1<<62 {
		return 0
	}
	return int64(system) - epoch
}

// stamp is a driver's time as Sysmon writes it, or as tables do.
func stamp(system uint64, layout string) string {
	ticks := Ticks(system)
	if ticks == 0 {
		return ""
	}
	return time.Unix(ticks/1e7, ticks%1e7*100).UTC().Format(layout)
}

const (
	sysmonTime = "2006-01-02 15:04:05.000"
	tableTime  = "2006-01-02T15:04:05.0000000Z"
)

// Events are what r tells, in order: none where it only adds to what is known. A
// gap is the collector's to tell, which knows what came before it.
func (m *Mapper) Events(r *kernel.Record) []*telemetryv1.Event {
	switch body := r.Body.(type) {
	case *kernel.Started:
		return m.started(r, body)
	case *kernel.Tamper:
		return m.tamper(r, body)
	case *kernel.Gap:
		return nil
	case *kernel.Volume:
		return m.volume(r, body)
	case *kernel.Process:
		return m.process(r, body)
	case *kernel.Exit:
		return m.exit(r, body)
	case *kernel.Image:
		return m.image(r, body)
	case *kernel.Thread:
		return m.thread(r, body)
	case *kernel.Open:
		return m.open(r, body)
	case *kernel.Key:
		return m.key(r, body)
	case *kernel.File:
		return m.file(r, body)
	case *kernel.Flow:
		return m.flow(r, body)
	case *kernel.Payload:
		return m.payload(r, body)
	}
	e := m.begin(r, 1014)
	e.field("Kind", strconv.Itoa(int(r.Kind)))
	e.event.Body = &telemetryv1.Event_LogRecord{LogRecord: &telemetryv1.LogRecord{Fields: "Kind=" + strconv.Itoa(int(r.Kind))}}
	return e.events()
}

// draft is an event in the making.
type draft struct {
	event *telemetryv1.Event
}

// begin makes the event of a record with its Sysmon id.
func (m *Mapper) begin(r *kernel.Record, id uint32) *draft {
	ev := &telemetryv1.Event{
		Subject:       &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF},
		Source:        telemetryv1.Source_SOURCE_KERNEL,
		Grade:         telemetry.GradeOf(telemetryv1.Source_SOURCE_KERNEL, Provider, id, r.Version),
		Mode:          telemetryv1.Mode_MODE_LIVE,
		Position:      &telemetryv1.Position{Channel: r.Class.String(), Sequence: r.N},
		ObservedAt:    Ticks(r.SystemTime),
		InterruptTime: r.InterruptTime,
		BootId:        fmt.Sprintf("%x", r.Boot),
		Raw: &telemetryv1.Raw{
			Provider: Provider, Channel: Channel, EventId: id, Version: uint32(r.Version), ProcessId: r.PID, ThreadId: r.TID, RecordId: r.N,
		},
	}
	d := &draft{event: ev}
	d.field("UtcTime", stamp(r.SystemTime, sysmonTime))
	return d
}

// field adds a raw field, unless there is no value.
func (d *draft) field(name, value string) {
	if value == "" {
		return
	}
	d.event.Raw.Data = append(d.event.Raw.Data, &telemetryv1.Field{Name: name, Value: value})
}

// number adds a raw field that may be 0.
func (d *draft) number(name string, value uint64) {
	d.event.Raw.Data = append(d.event.Raw.Data, &telemetryv1.Field{Name: name, Value: strconv.FormatUint(value, 10)})
}

// truncated says, where it is so, that something of the event is not whole.
func (d *draft) truncated(is bool) {
	if is {
		d.field("Truncated", "true")
	}
}

// cut reports whether the driver shortened any of the texts.
func cut(texts ...kernel.Text) bool {
	return slices.ContainsFunc(texts, func(t kernel.Text) bool { return t.Truncated })
}

func (d *draft) events() []*telemetryv1.Event { return []*telemetryv1.Event{d.event} }

// text is a text of a record as telemetry carries it: valid, without secrets of
// ours.
func text(t kernel.Text) string { return winevent.RedactText(strings.ToValidUTF8(t.Value, "\ufffd")) }

// who is the process that a record names: its actor, or another.
type who struct {
	process.Process
	identity string
}

func (m *Mapper) who(pid uint32, created, at uint64) who {
	p, identity := m.processes.Find(pid, created, at)
	return who{p, identity}
}

func (m *Mapper) actor(r *kernel.Record) who { return m.who(r.PID, r.PIDCreated, r.SystemTime) }

// acted adds the actor as Sysmon names it.
func (d *draft) acted(w who) {
	d.field("ProcessGuid", guid(w.UID))
	d.number("ProcessId", uint64(w.PID))
	d.field("Image", w.Image)
	d.field("User", w.User)
}

// namedActor is the actor, by the image that the record has where none is known, and
// whether that one is cut.
func (m *Mapper) namedActor(r *kernel.Record, image kernel.Text) (p who, cut bool) {
	p = m.actor(r)
	if p.Image != "" {
		return p, false
	}
	p.Image = m.drivePath(text(image))
	return p, image.Truncated
}

// guid writes an identity as Sysmon writes its guids.
func guid(uid string) string {
	if len(uid) != 32 {
		return ""
	}
	return "{" + uid[:8] + "-" + uid[8:12] + "-" + uid[12:16] + "-" + uid[16:20] + "-" + uid[20:] + "}"
}

// pid is a column: none for process 0, which a record says where it knows none.
func pid(p uint32) *uint32 {
	if p == 0 {
		return nil
	}
	return proto.Uint32(p)
}

func hexText(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }
