package event

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

func (m *Mapper) process(r *kernel.Record, b *kernel.Process) []*telemetryv1.Event {
	user := sid(b.User.Value)
	parent := m.who(b.ParentPID, b.ParentCreated, r.SystemTime)
	p := m.processes.Start(process.Process{
		PID: b.PID, Created: b.Created, Image: m.drivePath(text(b.Image)), CommandLine: text(b.CommandLine),
		User: m.accountOf(user), UserSID: user, ParentPID: b.ParentPID, ParentUID: parent.UID, Session: b.Session,
	})
	if r.Kind == kernel.KindProcessFound {
		return nil // it ran before: its start was another load's, or nobody's, to tell
	}
	creator := m.who(b.CreatorPID, 0, r.SystemTime)
	if b.CreatorPID == r.PID {
		creator = m.actor(r)
	}
	level, sysmonLevel := integrity(b.Integrity)
	name := p.User
	if name == "" {
		name = user
	}
	e := m.begin(r, 1)
	e.acted(who{p, process.Exact})
	e.field("CommandLine", p.CommandLine)
	e.field("UserSid", user)
	e.number("TerminalSessionId", uint64(b.Session))
	e.field("IntegrityLevel", sysmonLevel)
	e.field("ParentProcessGuid", guid(parent.UID))
	e.number("ParentProcessId", uint64(b.ParentPID))
	e.field("ParentImage", parent.Image)
	e.field("ParentCommandLine", parent.CommandLine)
	e.field("ParentUser", parent.User)
	if b.CreatorPID != b.ParentPID {
		e.number("CreatorProcessId", uint64(b.CreatorPID))
		e.field("CreatorImage", creator.Image)
	}
	if b.CommandLine.Truncated {
		e.number("CommandLineSize", uint64(b.CommandLine.Whole))
	}
	e.truncated(cut(b.Image, b.CommandLine))
	e.event.Body = &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{
		Action: "PROC_CREATE", Pid: proto.Uint32(b.PID), ProcessUid: p.UID, Identity: process.Exact, Path: p.Image, Cmdline: p.CommandLine,
		ParentPid: proto.Uint32(b.ParentPID), ParentProcessUid: parent.UID, ParentPath: parent.Image, ParentCmdline: parent.CommandLine, ParentOwnerUid: parent.User,
		CreatorPid: pid(b.CreatorPID), CreatorProcessUid: creator.UID, CreatorPath: creator.Image, OwnerUid: name, OwnerSid: user,
		SessionId: proto.Uint32(b.Session), IntegrityLevel: level, Elevation: elevation(b.Elevation),
	}}
	return e.events()
}

func (m *Mapper) exit(r *kernel.Record, b *kernel.Exit) []*telemetryv1.Event {
	p := m.who(b.PID, b.Created, r.SystemTime)
	m.processes.End(b.PID, b.Created, r.SystemTime)
	code := ""
	if b.StatusKnown != 0 {
		code = hexText(uint64(uint32(b.Status)))
	}
	e := m.begin(r, 5)
	e.acted(p)
	e.field("ExitStatus", code)
	e.event.Body = &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{
		Action: "PROC_TERMINATE", Pid: proto.Uint32(b.PID), ProcessUid: p.UID, Identity: p.identity, Path: p.Image, Cmdline: p.CommandLine,
		ParentPid: pid(p.ParentPID), ParentProcessUid: p.ParentUID, OwnerUid: p.User, OwnerSid: p.UserSID, ExitCode: code,
	}}
	return e.events()
}

// signed reads SE_SIGNING_LEVEL: 0 was not checked, which says nothing, 1 is
// unsigned.
func signed(level uint32) (known *bool, sysmon string) {
	switch level {
	case 0:
		return nil, ""
	case 1:
		return proto.Bool(false), "false"
	}
	return proto.Bool(true), "true"
}

// levels are SE_SIGNING_LEVEL by name.
var levels = [...]string{
	"unchecked", "unsigned", "enterprise", "custom1", "authenticode", "custom2", "store", "antimalware", "microsoft", "custom4", "custom5",
	"dynamic code generation", "windows", "windows protected process light", "windows tcb", "custom6",
}

func (m *Mapper) image(r *kernel.Record, b *kernel.Image) []*telemetryv1.Event {
	path := m.drivePath(text(b.Path))
	known, word := signed(b.SignatureLevel)
	trust := ""
	if b.SignatureLevel > 0 && int(b.SignatureLevel) < len(levels) {
		trust = levels[b.SignatureLevel]
	}
	if b.Driver != 0 {
		e := m.begin(r, 6)
		e.field("ImageLoaded", path)
		e.field("Signed", word)
		e.field("SignatureLevel", trust)
		e.truncated(b.Path.Truncated)
		e.event.Body = &telemetryv1.Event_DriverLoad{DriverLoad: &telemetryv1.DriverLoadEvent{
			Action: "DRIVER_LOAD", ImagePath: path, ImageBase: hexText(b.Base), ImageSize: proto.Uint64(b.Size), IsSigned: known, TrustInfo: trust,
		}}
		return e.events()
	}
	p := m.who(b.Process, b.ProcessCreated, r.SystemTime)
	e := m.begin(r, 7)
	e.acted(p)
	e.field("ImageLoaded", path)
	e.field("Signed", word)
	e.field("SignatureLevel", trust)
	e.truncated(b.Path.Truncated)
	e.event.Body = &telemetryv1.Event_ImageLoad{ImageLoad: &telemetryv1.ImageLoadEvent{
		Action: "IMAGE_LOAD", Pid: pid(b.Process), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image, ImagePath: path, ImageBase: hexText(b.Base),
		ImageSize: proto.Uint64(b.Size), IsSigned: known, TrustInfo: trust, Uid: p.User,
	}}
	return e.events()
}

func (m *Mapper) thread(r *kernel.Record, b *kernel.Thread) []*telemetryv1.Event {
	source, target := m.actor(r), m.who(b.TargetPID, b.TargetCreated, r.SystemTime)
	e := m.begin(r, 8)
	e.pair(source, target)
	e.number("NewThreadId", uint64(b.TargetTID))
	e.event.Body = &telemetryv1.Event_RemoteThread{RemoteThread: &telemetryv1.RemoteThreadEvent{
		Action: "REMOTE_THREAD_CREATE", SrcPid: proto.Uint32(source.PID), SrcProcessUid: source.UID, SrcIdentity: source.identity, SrcPath: source.Image,
		TargetPid: proto.Uint32(b.TargetPID), TargetProcessUid: target.UID, TargetPath: target.Image, ThreadId: proto.Uint32(b.TargetTID),
		OwnerUid: source.User, TargetOwnerUid: target.User,
	}}
	return e.events()
}

// pair adds who did it to whom.
func (d *draft) pair(source, target who) {
	d.field("SourceProcessGuid", guid(source.UID))
	d.number("SourceProcessId", uint64(source.PID))
	d.field("SourceImage", source.Image)
	d.field("SourceUser", source.User)
	d.field("TargetProcessGuid", guid(target.UID))
	d.number("TargetProcessId", uint64(target.PID))
	d.field("TargetImage", target.Image)
	d.field("TargetUser", target.User)
}

// open: the access is what was asked for, after other drivers had their say.
func (m *Mapper) open(r *kernel.Record, b *kernel.Open) []*telemetryv1.Event {
	source, target := m.actor(r), m.who(b.TargetPID, b.TargetCreated, r.SystemTime)
	e := m.begin(r, 10)
	e.pair(source, target)
	e.number("SourceThreadId", uint64(r.TID))
	e.field("GrantedAccess", hexText(uint64(b.Desired)))
	if b.Original != b.Desired {
		e.field("DesiredAccess", hexText(uint64(b.Original)))
	}
	if b.Duplicated != 0 {
		e.field("DuplicatedFrom", strconv.FormatUint(uint64(b.SourcePID), 10))
	}
	e.event.Body = &telemetryv1.Event_ProcessOpen{ProcessOpen: &telemetryv1.ProcessOpenEvent{
		Action: "PROC_OPEN", SrcPid: proto.Uint32(source.PID), SrcProcessUid: source.UID, SrcIdentity: source.identity, SrcPath: source.Image, SrcThreadId: pid(r.TID),
		TargetPid: proto.Uint32(b.TargetPID), TargetProcessUid: target.UID, TargetPath: target.Image, GrantedAccess: hexText(uint64(b.Desired)),
		GrantedAccessValue: proto.Uint32(b.Desired), OwnerUid: source.User, OwnerSid: source.UserSID, TargetOwnerUid: target.User,
	}}
	return e.events()
}
