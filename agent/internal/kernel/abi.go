package kernel

// The numbers of driver/abi.h, which says what they mean.
const (
	abiVersion = 1
	abiMagic   = 0x59535341

	headerSize = 80
	refSize    = 16

	// maxRecord and maxRead bound a record and an answer, in bytes.
	maxRecord = 40960
	maxRead   = 262144

	refTruncated = 1
	refUnknown   = 2

	// RecordUnsure is of a created key that may have been there before.
	RecordUnsure = 4
)

// Device is the driver's device, and the codes are what it takes.
const (
	Device          = `\\.\Assay`
	ControlDescribe = 0x226000
	ControlRead     = 0x22E006
	ControlFilters  = 0x22A008
	ControlHealthy  = 0x22A00C
	ControlUnload   = 0x22A010
	// ReadSize is the size of a read's answer: the largest that the driver fills.
	ReadSize = maxRead
)

// Class is a ring of the driver: a storm in one cannot blind another.
type Class uint8

// The classes.
const (
	ClassControl Class = iota
	ClassProcess
	ClassImage
	ClassObject
	ClassRegistry
	ClassFile
	ClassNetwork
	ClassPayload
	Classes = iota
)

var classNames = [Classes]string{"control", "process", "image", "object", "registry", "file", "network", "payload"}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

// SourceNames are the driver's sources, in the order of its self-description.
var sourceNames = [...]string{"process", "image", "thread", "open", "registry", "file", "volume", "flow", "payload"}

// Sources is the number of the driver's sources.
const Sources = len(sourceNames)

// Kind is what a record tells.
type Kind uint16

// The kinds.
const (
	KindStarted           Kind = 1
	KindTamper            Kind = 2
	KindGap               Kind = 3
	KindVolumeArrived     Kind = 4
	KindVolumeLeft        Kind = 5
	KindProcessCreated    Kind = 8
	KindProcessExited     Kind = 9
	KindProcessFound      Kind = 10
	KindImageLoaded       Kind = 12
	KindThreadRemote      Kind = 16
	KindProcessOpened     Kind = 17
	KindKeySet            Kind = 24
	KindKeyValueDeleted   Kind = 25
	KindKeyDeleted        Kind = 26
	KindKeyCreated        Kind = 27
	KindKeyRenamed        Kind = 28
	KindFileCreated       Kind = 32
	KindFileWritten       Kind = 33
	KindFileRenamed       Kind = 34
	KindFileDeleted       Kind = 35
	KindFileLinked        Kind = 36
	KindFileTimesSet      Kind = 37
	KindFileStreamCreated Kind = 38
	KindFileMapped        Kind = 39
	KindFlowConnected     Kind = 48
	KindFlowAccepted      Kind = 49
	KindFlowListening     Kind = 50
	KindFlowRefused       Kind = 51
	KindFlowEnded         Kind = 52
	KindPayloadCopied     Kind = 56
)

var kindNames = map[Kind]string{
	KindStarted: "started", KindTamper: "tamper", KindGap: "gap", KindVolumeArrived: "volume_arrived", KindVolumeLeft: "volume_left",
	KindProcessCreated: "process_created", KindProcessExited: "process_exited", KindProcessFound: "process_found", KindImageLoaded: "image_loaded",
	KindThreadRemote: "thread_remote", KindProcessOpened: "process_opened", KindKeySet: "key_set", KindKeyValueDeleted: "key_value_deleted",
	KindKeyDeleted: "key_deleted", KindKeyCreated: "key_created", KindKeyRenamed: "key_renamed", KindFileCreated: "file_created",
	KindFileWritten: "file_written", KindFileRenamed: "file_renamed", KindFileDeleted: "file_deleted", KindFileLinked: "file_linked",
	KindFileTimesSet: "file_times_set", KindFileStreamCreated: "file_stream_created", KindFileMapped: "file_mapped", KindFlowConnected: "flow_connected",
	KindFlowAccepted: "flow_accepted", KindFlowListening: "flow_listening", KindFlowRefused: "flow_refused", KindFlowEnded: "flow_ended",
	KindPayloadCopied: "payload_copied",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "unknown"
}

// Header begins every record.
type Header struct {
	Kind    Kind   `json:"-"`
	Version uint8  `json:"version"`
	Class   Class  `json:"-"`
	Flags   uint32 `json:"flags"`
	// Boot, Load, Class and N name a record for good.
	Boot          uint64 `json:"boot"`
	Load          uint64 `json:"load"`
	N             uint64 `json:"n"`
	LostBefore    uint64 `json:"lost_before"`
	SystemTime    uint64 `json:"system_time"`    // 100 ns since 1601, UTC
	InterruptTime uint64 `json:"interrupt_time"` // 100 ns since boot
	PID           uint32 `json:"pid"`
	TID           uint32 `json:"tid"`
	PIDCreated    uint64 `json:"pid_created"`
}

// Text is a text or bytes of a record. Whole is its size before it was cut.
type Text struct {
	Value     string `json:"value"`
	Whole     uint32 `json:"whole,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	Unknown   bool   `json:"unknown,omitempty"`
}

func (t Text) String() string { return t.Value }

// Record is one record. Body is a pointer to the struct of its kind, nil where
// the kind is newer than this program.
type Record struct {
	Header
	Body any
}

// The bodies, field by field as in driver/abi.h.
type (
	// Started is the first record of a load.
	Started struct {
		DriverVersion, ABIVersion, Passive, Why, Starts, Reserved uint32
	}
	// Tamper is a touch of what is the agent's.
	Tamper struct {
		What, TargetPID uint32
		TargetCreated   uint64
		Access          uint32
		Status          int32
		Target          Text
	}
	// Gap stands where records were lost: N of its header is the last of them.
	Gap struct {
		First, Count        uint64
		LostClass, Reserved uint32
	}
	// Volume came or went.
	Volume struct {
		BusType, Characteristics, FileSystem, Removable uint32
		GUID, Device, Vendor, Product, Serial, Label    Text
	}
	// Process was created, or found running.
	Process struct {
		Created, ParentCreated                                                            uint64
		PID, ParentPID, CreatorPID, CreatorTID, Session, Elevation, Integrity, FlagsField uint32
		Image, CommandLine                                                                Text
		User                                                                              Text // a binary SID
	}
	// Exit is the end of a process.
	Exit struct {
		Created               uint64
		PID                   uint32
		Status                int32
		StatusKnown, Reserved uint32
	}
	// Image is a driver or library that was loaded.
	Image struct {
		Base, Size, ProcessCreated                     uint64
		Process, Driver, SignatureLevel, SignatureType uint32
		Path                                           Text
	}
	// Thread was made in another process.
	Thread struct {
		TargetCreated        uint64
		TargetPID, TargetTID uint32
	}
	// Open is a handle to a process.
	Open struct {
		TargetCreated                                               uint64
		TargetPID, Desired, Original, Duplicated, SourcePID, Unused uint32
	}
	// Key is a change of the registry.
	Key struct {
		Type, DataSize uint32
		Key, Name      Text
		Data           Text // bytes
	}
	// File is a change of a file.
	File struct {
		FileID                            [16]byte
		Size, CreatedOld, CreatedNew      uint64
		Holes, Route, Disposition, Access uint32
		Volume, Path, NewPath, Image      Text
	}
	// Flow is a connection, a listener or a refusal.
	Flow struct {
		Flow, Endpoint, BytesIn, BytesOut     uint64
		Local, Remote                         [16]byte
		LocalPort, RemotePort                 uint16
		Family, Protocol, Inbound, BytesKnown uint8
		InterfaceLUID                         uint64
		Refused, Loopback                     uint32
		Image                                 Text
	}
	// Payload is a copy of the first bytes of a flow, or of a datagram.
	Payload struct {
		Flow, Endpoint, Offset, Whole   uint64
		Local, Remote                   [16]byte
		LocalPort, RemotePort           uint16
		Family, Protocol, Inbound, Hint uint8
		Data                            Text // bytes
	}
)
