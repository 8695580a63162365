package fleet

import (
	"slices"
	"strings"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

// device is a USB disk.
type device struct {
	vendor, product, revision, serial string
	usb                               string // VID_…&PID_…
	capacity                          uint64
}

// approvedDevices are the disks that the organisation handed out.
var approvedDevices = []device{
	{"Kingston", "IronKey_D500S", "1.00", "E0D55EA57414F4C0A9A80A01", "VID_0951&PID_1697", 61_530_439_680},
	{"Kingston", "IronKey_D500S", "1.00", "E0D55EA57414F4C0A9A80A02", "VID_0951&PID_1697", 61_530_439_680},
	{"Apricorn", "Aegis_Secure_Key", "0440", "A3N8142201170", "VID_0984&PID_1407", 30_752_000_000},
	{"Kanguru", "Defender_3000", "PMAP", "KD3K00712345", "VID_1E1D&PID_1101", 15_376_318_464},
}

// unknownDevice is a disk that nobody approved.
var unknownDevice = device{"SanDisk", "Ultra_USB_3.0", "1.00", "4C530001190723117442", "VID_0781&PID_5591", 123_060_879_360}

// storageID is the instance id of the disk, usbID that of the device under it.
func (d device) storageID() string {
	return `USBSTOR\Disk&Ven_` + d.vendor + `&Prod_` + d.product + `&Rev_` + d.revision + `\` + d.serial + `&0`
}

func (d device) usbID() string { return `USB\` + d.usb + `\` + d.serial }

// ApprovedDevices returns the device instance ids, in upper case, that a list of
// approved removable media must hold so that only the script's insertion is a
// violation: of each device the disk's (as the audit log names it) and the USB
// device's (as the partition manager does).
func ApprovedDevices() []string {
	var ids []string
	for _, d := range approvedDevices {
		ids = append(ids, strings.ToUpper(d.storageID()), strings.ToUpper(d.usbID()))
	}
	slices.Sort(ids)
	return ids
}

// inserted is what is logged when a disk comes: 6416 for the disk, and Partition
// 1006.
func (h *Host) inserted(at time.Time, d device) []*winevent.Record {
	name := strings.ReplaceAll(d.vendor+" "+d.product, "_", " ")
	recognised := h.record(audit(6416, 1, 13316), at, data(append(h.asMachine(), "DeviceId", d.storageID(),
		"DeviceDescription", name+" USB Device", "ClassId", "{4d36e967-e325-11ce-bfc1-08002be10318}", "ClassName", "DiskDrive",
		"VendorIds", "\r\n\t\tUSBSTOR\\Disk"+d.vendor+d.product+d.revision+"\r\n\t\tUSBSTOR\\GenDisk\r\n\t\t\r\n\t\t",
		"CompatibleIds", "\r\n\t\tUSBSTOR\\Disk\r\n\t\tUSBSTOR\\RAW\r\n\t\t\r\n\t\t", "LocationInformation", "-")...))
	return []*winevent.Record{recognised, h.partition(at.Add(200*time.Millisecond), d, d.capacity)}
}

// removed is Partition 1006 with no capacity.
func (h *Host) removed(at time.Time, d device) *winevent.Record { return h.partition(at, d, 0) }

func (h *Host) partition(at time.Time, d device, capacity uint64) *winevent.Record {
	k := kind{
		channel: partition, provider: "Microsoft-Windows-Partition", guid: guidPartition, id: 1006, version: 3, level: 4,
		keywords: operational, sid: systemSID, pid: 4,
	}
	return h.record(k, at, data("Version", "3", "DiskNumber", "1", "Flags", "2049", "Characteristics", "257", "IsSystemCritical", "false",
		"PagingCount", "0", "HibernationCount", "0", "DumpCount", "0", "BytesPerSector", "512", "Capacity", decimal(capacity), "BusType", "7",
		"Manufacturer", d.vendor, "Model", strings.ReplaceAll(d.product, "_", " "), "Revision", d.revision, "SerialNumber", d.serial,
		"Location", "Integrated : Bus 0 : Device 20 : Function 0 : Adapter 3", "ParentId", d.usbID(),
		"DiskId", "{"+h.uuid(purposeHardware, mixText(d.serial))+"}", "UserRemovalPolicy", "true"))
}

func mixText(s string) uint64 {
	var n uint64
	for _, c := range []byte(s) {
		n = n*131 + uint64(c)
	}
	return n
}
