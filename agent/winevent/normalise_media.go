package winevent

import (
	"strings"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

const (
	providerUMDF      = "Microsoft-Windows-DriverFrameworks-UserMode"
	providerUserPnp   = "Microsoft-Windows-UserPnp"
	providerKernelPnp = "Microsoft-Windows-Kernel-PnP"
	providerPartition = "Microsoft-Windows-Partition"
)

// mediaRows: devices that came, went, or were allowed or refused.
func mediaRows() []row {
	return []row{
		{providerSecurity, []uint32{6416}, recognisedDevice},
		{providerSecurity, []uint32{6419}, device("MEDIA_DISABLE_REQUESTED")},
		{providerSecurity, []uint32{6420}, device("MEDIA_DISABLED")},
		{providerSecurity, []uint32{6421}, device("MEDIA_ENABLE_REQUESTED")},
		{providerSecurity, []uint32{6422}, device("MEDIA_ENABLED")},
		{providerSecurity, []uint32{6423}, device("MEDIA_INSTALL_BLOCKED")},
		{providerSecurity, []uint32{6424}, device("MEDIA_INSTALL_ALLOWED")},
		{providerUMDF, []uint32{2003}, device("MEDIA_INSERT")},
		{providerUMDF, []uint32{2010}, device("MEDIA_STARTED")},
		{providerUMDF, []uint32{2100, 2101, 2102}, umdfRequest},
		{providerUMDF, []uint32{10000, 10100}, device("MEDIA_DRIVER_INSTALLED")},
		{providerUserPnp, []uint32{20001}, device("MEDIA_DRIVER_INSTALLED")},
		{providerUserPnp, []uint32{20003}, device("MEDIA_SERVICE_ADDED")},
		{providerKernelPnp, []uint32{400}, device("MEDIA_CONFIGURED")},
		{providerKernelPnp, []uint32{410}, device("MEDIA_STARTED")},
		{providerKernelPnp, []uint32{411}, device("MEDIA_START_FAILED")},
		{providerKernelPnp, []uint32{420, 1010}, device("MEDIA_REMOVE")},
		{providerKernelPnp, []uint32{430}, device("MEDIA_CONFIGURED")},
		{providerPartition, []uint32{1006}, partition},
	}
}

func (m *mapper) media(action string) *telemetryv1.RemovableMediaEvent {
	e := &telemetryv1.RemovableMediaEvent{
		Action:        action,
		DeviceId:      m.text(deviceFields...),
		Description:   m.text("DeviceDescription", "DriverDescription", "DeviceName"),
		ClassName:     m.text("ClassName"),
		ClassGuid:     m.guid("ClassId", "ClassGuid", "SetupClass"),
		HardwareIds:   m.lines("VendorIds"),
		CompatibleIds: m.lines("CompatibleIds"),
		Location:      m.text("LocationInformation", "Location"),
		ParentId:      m.text("ParentId", "ParentDeviceInstanceId"),
		CapacityBytes: m.u64("Capacity"),
		Driver:        m.path("DriverName", "DriverFileName", "DriverInfName"),
		Service:       m.text("ServiceName"),
		Status:        m.hex("InstallStatus", "AddServiceStatus", "Status", "Problem"),
		LifetimeId:    m.text("LifetimeId", "lifetime"),
		Uid:           m.account("SubjectDomainName", "SubjectUserName"),
		UserSid:       m.sid("SubjectUserSid"),
	}
	// XML that was escaped twice on its way.
	e.DeviceId = strings.ReplaceAll(e.DeviceId, "&amp;", "&")
	identifyDevice(e)
	m.event.Body = &telemetryv1.Event_RemovableMedia{RemovableMedia: e}
	return e
}

// deviceFields are the names that a device's instance id goes by.
var deviceFields = []string{"DeviceId", "DeviceInstanceID", "DeviceInstanceId", "InstanceId", "instance", "DeviceInstancePath"}

// device is for records that name a device. Those of the same ids that name none
// (a driver host that starts) are log records.
func device(action string) mapping {
	return func(m *mapper) {
		if m.text(deviceFields...) != "" {
			m.media(action)
		}
	}
}

// recognisedDevice is told of devices of every class: printers and displays of
// remote sessions are no media.
func recognisedDevice(m *mapper) {
	e := m.media("MEDIA_RECOGNISED")
	switch e.Kind {
	case "disk", "portable_device", "optical":
		e.Action = "MEDIA_INSERT"
	}
}

// umdfRequest is a request of the Plug and Play manager to a driver. Only those
// that end a device are removals; without a minor code the record says no more
// than that the device was being stopped.
func umdfRequest(m *mapper) {
	const pnp, start, remove, surpriseRemove = "27", "0", "2", "23"
	major, minor := m.text("major", "MajorCode"), m.text("minor", "MinorCode")
	switch {
	case minor == "" && m.text("InstanceId", "instance") != "", major == pnp && (minor == remove || minor == surpriseRemove):
		m.media("MEDIA_REMOVE")
	case major == pnp && minor == start:
		m.media("MEDIA_STARTED")
	}
}

// busTypes are the storage bus types that media come on.
var busTypes = map[string]string{
	"1": "SCSI", "2": "ATAPI", "3": "ATA", "4": "1394", "6": "FIBRE", "7": "USB", "8": "RAID", "9": "ISCSI", "10": "SAS",
	"11": "SATA", "12": "SD", "13": "MMC", "14": "VIRTUAL", "15": "FILE", "16": "SPACES", "17": "NVME",
}

// partition is told when a disk comes and when it goes, which is when it has no
// capacity. Disks that are built in come at every start and are no insertion.
func partition(m *mapper) {
	e := m.media("MEDIA_RECOGNISED")
	e.Kind = "disk"
	e.Bus = m.text("BusType")
	if name, ok := busTypes[e.Bus]; ok {
		e.Bus = name
	}
	notNull := func(s string) string {
		if s == "NULL" {
			return ""
		}
		return s
	}
	e.Vendor = notNull(m.text("Manufacturer"))
	e.Product = notNull(m.text("Model"))
	e.Revision = notNull(m.text("Revision"))
	e.Serial = notNull(m.text("SerialNumber"))
	e.DeviceId = e.ParentId
	e.Volume = m.guid("DiskId")
	removable := m.boolean("UserRemovalPolicy")
	switch {
	case e.CapacityBytes != nil && *e.CapacityBytes == 0:
		e.Action = "MEDIA_REMOVE"
	case e.Bus == "USB", e.Bus == "SD", e.Bus == "MMC", e.Bus == "1394", removable != nil && *removable:
		e.Action = "MEDIA_INSERT"
	}
}

// Setup classes of devices that hold data.
var deviceKinds = map[string]string{
	"{4d36e967-e325-11ce-bfc1-08002be10318}": "disk",
	"{eec5ad98-8080-425f-922a-dabf3de3f69a}": "portable_device",
	"{71a27cdd-812a-11d0-bec7-08002be2092f}": "volume",
	"{4d36e965-e325-11ce-bfc1-08002be10318}": "optical",
	"{36fc9e60-c465-11cf-8056-444553540000}": "usb",
}

// identifyDevice reads kind, bus, vendor, product, revision and serial out of
// class and instance id.
func identifyDevice(e *telemetryv1.RemovableMediaEvent) {
	id := e.DeviceId
	upper := strings.ToUpper(id)
	e.Bus, _, _ = strings.Cut(upper, `\`)
	if strings.Contains(upper, `WPDBUSENUM`) {
		e.Bus = "WPDBUSENUM"
	}
	e.Kind = deviceKinds[e.ClassGuid]
	if e.Kind == "" {
		e.Kind = kindByID(e.Bus, upper)
	}
	// The instance of a volume or a portable device holds that of the disk
	// below, with # for the backslashes.
	for _, bus := range []string{"USBSTOR", "SCSI", "SD", "USB"} {
		for _, separator := range []string{`\`, "#"} {
			i := strings.LastIndex(upper, bus+separator)
			if i < 0 || (i > 0 && isWordByte(upper[i-1]) && upper[i-1] != '_') {
				continue
			}
			parts := strings.Split(id[i:], separator)
			if len(parts) > 1 {
				describeDevice(e, parts)
			}
			return
		}
	}
}

func isWordByte(b byte) bool {
	return b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_'
}

func kindByID(bus, upper string) string {
	switch {
	case bus == "USBSTOR" && strings.Contains(upper, `\CDROM&`):
		return "optical"
	case bus == "USBSTOR", strings.HasPrefix(upper, `SCSI\DISK`), bus == "SD":
		return "disk"
	case bus == "WPDBUSENUM":
		return "portable_device"
	case bus == "STORAGE":
		return "volume"
	case bus == "USB":
		return "usb"
	}
	return "other"
}

// describeDevice reads [bus, ids, instance, …], where ids is
// "Disk&Ven_X&Prod_Y&Rev_Z" or "VID_1234&PID_5678".
func describeDevice(e *telemetryv1.RemovableMediaEvent, parts []string) {
	for part := range strings.SplitSeq(parts[1], "&") {
		name, value, ok := strings.Cut(part, "_")
		if !ok || value == "" {
			continue
		}
		switch strings.ToUpper(name) {
		case "VEN":
			e.Vendor = deviceText(value)
		case "PROD":
			e.Product = deviceText(value)
		case "REV":
			e.Revision = deviceText(value)
		case "VID":
			e.Vendor = strings.ToUpper(part)
		case "PID":
			e.Product = strings.ToUpper(part)
		}
	}
	if len(parts) < 3 {
		return
	}
	serial := parts[2]
	// An instance whose second character is & was made up by Windows for a
	// device without a serial number. A real one may end in the number of the
	// unit, &0.
	if len(serial) > 1 && serial[1] == '&' {
		return
	}
	if i := strings.LastIndexByte(serial, '&'); i > 0 {
		serial = serial[:i]
	}
	e.Serial = serial
}

func deviceText(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "_", " ")) }
