package event

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/internal/kernel"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// Product is what the driver is called where security software is.
const Product = "Assay driver"

func (m *Mapper) started(r *kernel.Record, b *kernel.Started) []*telemetryv1.Event {
	d := kernel.Description{Passive: b.Passive != 0, Why: b.Why}
	body := &telemetryv1.SecuritySoftwareEvent{
		Action: "started", Product: Product, ProductVersion: kernel.VersionText(b.DriverVersion), State: "on", Reason: d.WhyPassive(),
	}
	if d.Passive {
		body.State = "off"
	}
	e := m.begin(r, 1006)
	e.field("Version", body.ProductVersion)
	e.field("Passive", strconv.FormatBool(d.Passive))
	e.field("Reason", body.Reason)
	e.number("Starts", uint64(b.Starts))
	e.event.Body = &telemetryv1.Event_SecuritySoftware{SecuritySoftware: body}
	return e.events()
}

// tamperings are enum assay_tampering.
var tamperings = [...]string{"", "process", "file", "key", "unload_refused", "configuration_refused", "device", "unloaded"}

func (m *Mapper) tamper(r *kernel.Record, b *kernel.Tamper) []*telemetryv1.Event {
	p := m.actor(r)
	what := "unknown"
	if int(b.What) < len(tamperings) && b.What > 0 {
		what = tamperings[b.What]
	}
	target := text(b.Target)
	switch {
	case what == "key":
		target = keyPath(target)
	case target != "":
		target = m.drivePath(target)
	case b.TargetPID != 0:
		target = m.who(b.TargetPID, b.TargetCreated, r.SystemTime).Image
	}
	e := m.begin(r, 1004)
	e.acted(p)
	e.field("What", what)
	e.field("TargetObject", target)
	if b.TargetPID != 0 {
		e.number("TargetProcessId", uint64(b.TargetPID))
	}
	if b.Access != 0 {
		e.field("GrantedAccess", hexText(uint64(b.Access)))
	}
	code := ""
	if b.Status != 0 {
		code = hexText(uint64(uint32(b.Status)))
	}
	e.field("Status", code)
	e.truncated(b.Target.Truncated)
	reason := fmt.Sprintf("%s by process %d", what, r.PID)
	if p.Image != "" {
		reason += ", " + p.Image
	}
	if target != "" {
		reason += ": " + target
	}
	e.event.Body = &telemetryv1.Event_SecuritySoftware{SecuritySoftware: &telemetryv1.SecuritySoftwareEvent{
		Action: "tamper_seen", Product: Product, Feature: what, Reason: reason, ErrorCode: code,
	}}
	return e.events()
}

// volume is one that came.
type volume struct{ removable bool }

// buses are STORAGE_BUS_TYPE.
var buses = [...]string{
	"", "SCSI", "ATAPI", "ATA", "1394", "SSA", "FIBRE", "USB", "RAID", "ISCSI", "SAS", "SATA", "SD", "MMC", "VIRTUAL", "FILE", "SPACES", "NVME", "SCM", "UFS",
}

func (m *Mapper) volume(r *kernel.Record, b *kernel.Volume) []*telemetryv1.Event {
	device := text(b.Device)
	if b.Characteristics&fileRemoteDevice != 0 || strings.HasPrefix(device, `\Device\Mup`) {
		return nil // a redirector is no medium
	}
	arrived := r.Kind == kernel.KindVolumeArrived
	body := &telemetryv1.RemovableMediaEvent{
		Kind: "volume", Vendor: text(b.Vendor), Product: text(b.Product), Serial: text(b.Serial), Volume: text(b.GUID), DeviceId: device,
		Description: text(b.Label), Pid: pid(r.PID), Location: m.letter(device),
	}
	known, remembered := m.volumes[strings.ToLower(device)]
	if arrived {
		// What came on a bus for media, or says so itself, was inserted; any other
		// volume is only recognised.
		if b.BusType != 0 && int(b.BusType) < len(buses) {
			body.Bus = buses[b.BusType]
		}
		known.removable = b.Removable != 0 || body.Bus == "USB" || body.Bus == "SD" || body.Bus == "MMC"
		if len(m.volumes) < maxVolumes || remembered {
			m.volumes[strings.ToLower(device)] = known
		}
		body.Action = "MEDIA_RECOGNISED"
		if known.removable {
			body.Action = "MEDIA_INSERT"
		}
	} else {
		delete(m.volumes, strings.ToLower(device))
		body.Action = "MEDIA_REMOVE"
	}
	e := m.begin(r, 1001)
	e.field("Action", map[bool]string{true: "arrived", false: "left"}[arrived])
	e.field("Device", device)
	e.field("VolumeName", body.Volume)
	e.field("BusType", body.Bus)
	e.field("Vendor", body.Vendor)
	e.field("Product", body.Product)
	e.field("SerialNumber", body.Serial)
	e.field("Label", body.Description)
	if arrived {
		e.field("Removable", strconv.FormatBool(known.removable))
	}
	e.truncated(cut(b.GUID, b.Device, b.Vendor, b.Product, b.Serial, b.Label))
	e.event.Body = &telemetryv1.Event_RemovableMedia{RemovableMedia: body}
	return e.events()
}

const fileRemoteDevice = 0x10 // FILE_REMOTE_DEVICE

// letter is where a device is mounted, "" where it is not.
func (m *Mapper) letter(device string) string {
	for _, d := range m.drives() {
		if device != "" && strings.EqualFold(d.Device, device) {
			return d.Letter
		}
	}
	return ""
}

// removable says whether a file's volume is a removable medium, nil where nobody
// knows.
func (m *Mapper) removable(device string) *bool {
	if v, known := m.volumes[strings.ToLower(device)]; known {
		return proto.Bool(v.removable)
	}
	for _, d := range m.drives() {
		if strings.EqualFold(d.Device, device) {
			return proto.Bool(d.Removable)
		}
	}
	return nil
}
