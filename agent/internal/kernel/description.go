package kernel

import (
	"encoding/binary"
	"fmt"
)

// Description is what the driver says of itself.
type Description struct {
	Version, DriverVersion uint32
	Passive                bool
	Boot, Load             uint64
	Why                    uint32 // of being passive
	Starts                 uint32
	UnloadAllowed          bool
	Snapshot               int32 // NTSTATUS
	FiltersGeneration      uint64
	FiltersRefused         uint64
	Sources                [Sources]SourceState
	Rings                  [Classes]RingCounts
}

// SourceState is how one of the driver's sources stands.
type SourceState struct {
	Status int32 // NTSTATUS; 0 runs
	Events uint64
}

// RingCounts are a class's: Posted = Delivered + Queued + Lost.
type RingCounts struct {
	Posted, Delivered, Queued, Lost, Filtered, Held, Size uint64
}

// DescriptionSize is how many bytes a description has.
const DescriptionSize = 656

// NotStarted is the status of a source that was not started: the driver is passive.
const NotStarted = 0x103

// whys are reasons to be passive, by number.
var whys = [...]string{"", "it was started three times without five healthy minutes", "its count of starts cannot be kept", "it is configured so"}

// DecodeDescription decodes a self-description.
func DecodeDescription(b []byte) (d Description, err error) {
	if len(b) < DescriptionSize {
		return d, malformed("a description of %d bytes", len(b))
	}
	f := &fields{body: b}
	if f.u32() != abiMagic {
		return d, malformed("the description does not begin like one")
	}
	d.Version, d.DriverVersion, d.Passive, d.Boot, d.Load = f.u32(), f.u32(), f.u32() != 0, f.u64(), f.u64()
	d.Why, d.Starts, d.UnloadAllowed, d.Snapshot = f.u32(), f.u32(), f.u32() != 0, f.i32()
	d.FiltersGeneration, d.FiltersRefused = f.u64(), f.u64()
	for i := range d.Sources {
		d.Sources[i].Status = f.i32()
		f.u32()
		d.Sources[i].Events = f.u64()
	}
	for i := range d.Rings {
		d.Rings[i] = RingCounts{f.u64(), f.u64(), f.u64(), f.u64(), f.u64(), f.u64(), f.u64()}
	}
	if d.Version == 0 {
		return d, malformed("the description is of version 0")
	}
	return d, nil
}

// WhyPassive says in words why the driver records nothing, "" where it does.
func (d *Description) WhyPassive() string {
	if !d.Passive {
		return ""
	}
	if int(d.Why) < len(whys) && whys[d.Why] != "" {
		return whys[d.Why]
	}
	return "for a reason that this program does not know"
}

// ReadRequest asks for records and frees those that are durable.
func ReadRequest(resume bool, load uint64, through [Classes]uint64) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 80), abiVersion)
	flag := uint32(0)
	if resume {
		flag = 1
	}
	b = binary.LittleEndian.AppendUint32(b, flag)
	b = binary.LittleEndian.AppendUint64(b, load)
	for _, n := range through {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// LoadRequest is the request of Healthy and Unload, which speaks of one load alone.
func LoadRequest(load uint64) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), abiVersion)
	return binary.LittleEndian.AppendUint64(b, load)
}

// VersionText is a driver's version as people write it.
func VersionText(v uint32) string {
	return fmt.Sprintf("%d.%d", v>>16, v&0xFFFF)
}

// SourceName is the name of a source by its place in a description.
func SourceName(i int) string { return sourceNames[i] }

// statuses are the NTSTATUS values that the driver's sources mostly fail with.
var statuses = map[uint32]string{
	NotStarted: "not started", 0xC0000022: "access denied", 0xC000009A: "insufficient resources", 0xC000007A: "the system lacks the interface",
	0xC01C0011: "altitude is taken", 0xC0000001: "unsuccessful", 0xC00000BB: "not supported", 0xC0000002: "not implemented",
}

// StatusText is an NTSTATUS in words, "running" for success.
func StatusText(status int32) string {
	if status == 0 {
		return "running"
	}
	code := uint32(status)
	if word, ok := statuses[code]; ok {
		return fmt.Sprintf("%s (0x%x)", word, code)
	}
	return fmt.Sprintf("status 0x%x", code)
}
