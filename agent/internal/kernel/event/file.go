package event

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/kernel"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// holes are what may have been missed about a file, by bit.
var holes = [...]string{"mapped_write", "delete_on_close", "disposition_ex", "rename_over", "block_clone", "bypass_io", "name_as_opened", "remote"}

// routes are the ways of a delete.
var routes = [...]string{"", "disposition", "disposition_ex", "on_close", "rename_over"}

// fileKinds say what a file's record is: Sysmon's id and the table's action.
var fileKinds = map[kernel.Kind]struct {
	id     uint32
	action string
}{
	kernel.KindFileCreated: {11, "FILE_CREATE"}, kernel.KindFileWritten: {1007, "FILE_WRITE"}, kernel.KindFileRenamed: {1000, "FILE_RENAME"},
	kernel.KindFileDeleted: {23, "FILE_DELETE"}, kernel.KindFileLinked: {1008, "FILE_LINK"}, kernel.KindFileStreamCreated: {15, "FILE_STREAM_CREATE"},
	kernel.KindFileMapped: {1009, "FILE_ACCESS"},
}

func (m *Mapper) file(r *kernel.Record, b *kernel.File) []*telemetryv1.Event {
	p, unnamed := m.namedActor(r, b.Image)
	path := m.drivePath(text(b.Volume) + text(b.Path))
	if r.Kind == kernel.KindFileTimesSet {
		return m.times(r, b, p, path, unnamed)
	}
	kind := fileKinds[r.Kind]
	e := m.begin(r, kind.id)
	e.acted(p)
	body := &telemetryv1.FileEvent{
		Action: kind.action, TargetPath: path, Pid: proto.Uint32(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image,
		Uid: p.User, UserSid: p.UserSID, Outcome: "success", Removable: m.removable(text(b.Volume)),
	}
	if b.Access != 0 {
		body.AccessMask = "0x" + fmt.Sprintf("%x", b.Access)
	}
	switch r.Kind {
	case kernel.KindFileRenamed, kernel.KindFileLinked:
		body.TargetNewPath = m.newPath(b, path)
		e.field("SourceFilename", path)
		e.field("TargetFilename", body.TargetNewPath)
	case kernel.KindFileMapped:
		body.Accesses = []string{"mapped_write"}
		e.field("TargetFilename", path)
	default:
		e.field("TargetFilename", path)
	}
	if r.Kind == kernel.KindFileDeleted && int(b.Route) < len(routes) {
		e.field("Route", routes[b.Route])
		if strings.HasPrefix(routes[b.Route], "disposition") {
			body.Action = "FILE_DELETE_BY_DISP"
		}
	}
	e.holes(b)
	e.truncated(unnamed || cut(b.Volume, b.Path, b.NewPath))
	e.event.Body = &telemetryv1.Event_File{File: body}
	return e.events()
}

// newPath is the whole path of a new name: the record has it as it was asked for,
// which may be only the last part.
func (m *Mapper) newPath(b *kernel.File, old string) string {
	name := text(b.NewPath)
	switch {
	case name == "" || strings.HasPrefix(name, `\??\`) || strings.HasPrefix(name, `\Device\`) || strings.HasPrefix(name, `\\`):
		return m.drivePath(name)
	case strings.HasPrefix(name, `\`):
		return m.drivePath(text(b.Volume) + name)
	}
	return old[:strings.LastIndexByte(old, '\\')+1] + name
}

func (d *draft) holes(b *kernel.File) {
	var names []string
	for i, name := range holes {
		if b.Holes&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	d.field("Holes", strings.Join(names, " "))
	if b.FileID != [16]byte{} {
		d.field("FileId", hex.EncodeToString(b.FileID[:]))
	}
}

func (m *Mapper) times(r *kernel.Record, b *kernel.File, p who, path string, unnamed bool) []*telemetryv1.Event {
	e := m.begin(r, 2)
	e.acted(p)
	e.field("TargetFilename", path)
	e.field("CreationUtcTime", stamp(b.CreatedNew, sysmonTime))
	e.field("PreviousCreationUtcTime", stamp(b.CreatedOld, sysmonTime))
	e.holes(b)
	e.truncated(unnamed || cut(b.Volume, b.Path, b.NewPath))
	e.event.Body = &telemetryv1.Event_FileTimestomp{FileTimestomp: &telemetryv1.FileTimestompEvent{
		Action: "FILE_TIMESTOMP", TargetPath: path, OldTimestamp: stamp(b.CreatedOld, tableTime), NewTimestamp: stamp(b.CreatedNew, tableTime),
		Pid: proto.Uint32(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image, Uid: p.User,
	}}
	return e.events()
}

// keyKinds say what a registry record is: Sysmon's id and type, and the action.
var keyKinds = map[kernel.Kind]struct {
	id            uint32
	event, action string
}{
	kernel.KindKeySet: {13, "SetValue", "REG_SETVALUE"}, kernel.KindKeyValueDeleted: {12, "DeleteValue", "REG_DELETEVALUE"},
	kernel.KindKeyDeleted: {12, "DeleteKey", "REG_DELETE"}, kernel.KindKeyCreated: {12, "CreateKey", "REG_CREATE"},
	kernel.KindKeyRenamed: {14, "RenameKey", "REG_RENAME"},
}

func (m *Mapper) key(r *kernel.Record, b *kernel.Key) []*telemetryv1.Event {
	p, kind := m.actor(r), keyKinds[r.Kind]
	key, name := keyPath(text(b.Key)), text(b.Name)
	body := &telemetryv1.RegistryEvent{
		Action: kind.action, TargetName: key, Pid: proto.Uint32(r.PID), ProcessUid: p.UID, Identity: p.identity, ProcessName: p.Image,
		OwnerUid: p.User, OwnerSid: p.UserSID, Outcome: "success",
	}
	e := m.begin(r, kind.id)
	e.field("EventType", kind.event)
	e.acted(p)
	switch r.Kind {
	case kernel.KindKeySet, kernel.KindKeyValueDeleted:
		shown := name
		if shown == "" {
			shown = "(Default)"
		}
		body.TargetName, body.ValueName = key+`\`+shown, shown
	case kernel.KindKeyRenamed:
		body.TargetNewName = key[:strings.LastIndexByte(key, '\\')+1] + name
	case kernel.KindKeyCreated:
		if r.Flags&kernel.RecordUnsure != 0 {
			e.field("Disposition", "unknown")
		}
	default: // the key alone
	}
	e.field("TargetObject", body.TargetName)
	e.field("NewName", body.TargetNewName)
	short := cut(b.Key, b.Name, b.Data)
	if r.Kind == kernel.KindKeySet {
		details, plain, whole := valueText(b)
		body.ValueType, body.ValueData = valueType(b.Type), plain
		e.field("Details", details)
		e.field("ValueType", body.ValueType)
		if uint64(b.DataSize) > uint64(len(b.Data.Value)) {
			e.number("DataSize", uint64(b.DataSize))
			whole = false
		}
		short = short || !whole
	}
	e.truncated(short)
	e.event.Body = &telemetryv1.Event_Registry{Registry: body}
	return e.events()
}

// valueTypes are REG_*.
var valueTypes = [...]string{
	"REG_NONE", "REG_SZ", "REG_EXPAND_SZ", "REG_BINARY", "REG_DWORD", "REG_DWORD_BIG_ENDIAN", "REG_LINK", "REG_MULTI_SZ", "REG_RESOURCE_LIST",
	"REG_FULL_RESOURCE_DESCRIPTOR", "REG_RESOURCE_REQUIREMENTS_LIST", "REG_QWORD",
}

func valueType(n uint32) string {
	if int(n) < len(valueTypes) {
		return valueTypes[n]
	}
	return fmt.Sprintf("0x%x", n)
}

// valueText is a value's data as Sysmon writes it, and as the table does: Sysmon
// shows no binary data, the table shows its beginning. whole is false where that is not
// all of what the record has.
func valueText(b *kernel.Key) (details, plain string, whole bool) {
	const most = 256 // bytes of binary data that the table shows
	data := []byte(b.Data.Value)
	switch {
	case b.Type == 1 || b.Type == 2 || b.Type == 6 || b.Type == 7:
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(data[2*i:])
		}
		s := strings.TrimRight(string(utf16.Decode(units)), "\x00")
		s = text(kernel.Text{Value: strings.ReplaceAll(s, "\x00", ";")})
		return s, s, true
	case b.Type == 4 && len(data) == 4:
		v := binary.LittleEndian.Uint32(data)
		return fmt.Sprintf("DWORD (0x%08x)", v), fmt.Sprintf("0x%x", v), true
	case b.Type == 11 && len(data) == 8:
		v := binary.LittleEndian.Uint64(data)
		return fmt.Sprintf("QWORD (0x%08x-0x%08x)", v>>32, uint32(v)), fmt.Sprintf("0x%x", v), true
	case len(data) == 0:
		return "(Empty)", "", true
	}
	return "Binary Data", hex.EncodeToString(data[:min(len(data), most)]), len(data) <= most
}
