package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// Bounds of a set of filters, as driver/abi.h has them.
const (
	maxFiltersBlob     = 131072
	maxFilterSections  = 16
	maxFilterEntries   = 2048
	maxFilterChars     = 512
	filtersPayload     = 1
	filtersHeadSize    = 32
	filtersSectionSize = 24
	filtersEntrySize   = 8
	matchPath          = 1
	matchImage         = 2
	matchOwn           = 3
)

// Filters is what the driver is told to leave out: only what it can decide exactly,
// by kind and by the beginning of a name. The rest is the agent's to filter.
type Filters struct {
	// Record adds kinds that are not recorded by default: key_created, key_renamed.
	Record []string `json:"record,omitempty"`
	// Skip leaves kinds out altogether. What the driver says of itself, tampering
	// and volumes cannot be left out.
	Skip []string `json:"skip,omitempty"`
	// NoPayload stops the copies of payloads.
	NoPayload bool `json:"no_payload,omitempty"`
	// Exclude leaves out what begins so.
	Exclude []Exclude `json:"exclude,omitempty"`
	// Own are the agent's files and keys: what others change there is tampering.
	Own []string `json:"own,omitempty"`
}

// Exclude leaves out records of some kinds, all of one class.
type Exclude struct {
	// Kinds are names of kinds; empty: all of Class.
	Class string   `json:"class"`
	Kinds []string `json:"kinds,omitempty"`
	// Prefixes are the beginnings of paths, of keys, or of a process's image:
	// C:\Temp\, HKLM\SOFTWARE\Vendor\, \Device\HarddiskVolume3\.
	Prefixes []string `json:"prefixes"`
	// Why is for people.
	Why string `json:"why,omitempty"`
}

// kindClasses are the classes of the kinds that can be left out.
var kindClasses = map[Kind]Class{
	KindProcessCreated: ClassProcess, KindProcessExited: ClassProcess, KindProcessFound: ClassProcess, KindImageLoaded: ClassImage,
	KindThreadRemote: ClassObject, KindProcessOpened: ClassObject, KindKeySet: ClassRegistry, KindKeyValueDeleted: ClassRegistry,
	KindKeyDeleted: ClassRegistry, KindKeyCreated: ClassRegistry, KindKeyRenamed: ClassRegistry, KindFileCreated: ClassFile,
	KindFileWritten: ClassFile, KindFileRenamed: ClassFile, KindFileDeleted: ClassFile, KindFileLinked: ClassFile, KindFileTimesSet: ClassFile,
	KindFileStreamCreated: ClassFile, KindFileMapped: ClassFile, KindFlowConnected: ClassNetwork, KindFlowAccepted: ClassNetwork,
	KindFlowListening: ClassNetwork, KindFlowRefused: ClassNetwork, KindFlowEnded: ClassNetwork, KindPayloadCopied: ClassPayload,
}

// rare are the kinds that are recorded only where a filter asks for them.
const rare = 1<<KindKeyCreated | 1<<KindKeyRenamed

// ErrFilters is of filters that cannot be put in force.
var ErrFilters = errors.New("filters for the driver")

func badFilters(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFilters, fmt.Sprintf(format, args...))
}

// ReadFilters reads the JSON of a set. What it does not know is an error.
func ReadFilters(r io.Reader) (*Filters, error) {
	text, err := io.ReadAll(io.LimitReader(r, 4*maxFiltersBlob))
	if err != nil {
		return nil, fmt.Errorf("reading filters: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	f := &Filters{}
	if err := d.Decode(f); err != nil {
		return nil, badFilters("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, badFilters("something follows the set")
	}
	return f, nil
}

// FilterBlob is a set as the driver takes it.
type FilterBlob struct {
	Bytes []byte
	// Generation names the set: it is made of its digest, so that whoever knows the
	// set knows from the driver's own description whether it is in force.
	Generation uint64
	// Digest is the SHA-256 of Bytes but for the generation, in hex.
	Digest string
	// Kinds has a bit for each kind that is recorded.
	Kinds   uint64
	Payload bool
	// Excludes is how many prefixes there are.
	Excludes int
}

// Records reports whether a kind is recorded at all.
func (b *FilterBlob) Records(k Kind) bool { return b.Kinds>>k&1 != 0 }

// Encode checks a set and makes the driver's form of it. native turns a path with a
// drive letter into the driver's own; it is not called for keys.
func (f *Filters) Encode(native func(path string) (string, error)) (*FilterBlob, error) {
	kinds := uint64(1<<64-1) &^ rare
	for _, list := range []struct {
		names []string
		set   bool
	}{{f.Record, true}, {f.Skip, false}} {
		mask, err := kindMask(list.names, "")
		if err != nil {
			return nil, err
		}
		if list.set {
			kinds |= mask
		} else {
			kinds &^= mask
		}
	}
	b := &filterBuilder{native: native}
	for i := range f.Exclude {
		if err := b.exclude(&f.Exclude[i]); err != nil {
			return nil, err
		}
	}
	if err := b.own(f.Own); err != nil {
		return nil, err
	}
	return b.blob(kinds, !f.NoPayload)
}

// kindMask is of kinds by name; class, where it is given, is the only one allowed.
func kindMask(names []string, class string) (mask uint64, err error) {
	for _, name := range names {
		found := false
		for kind, of := range kindClasses {
			if kind.String() != name {
				continue
			}
			if class != "" && of.String() != class {
				return 0, badFilters("%s is of class %s, not %s", name, of, class)
			}
			mask, found = mask|1<<kind, true
		}
		if !found {
			return 0, badFilters("there is no kind %q that can be left out", name)
		}
	}
	return mask, nil
}

// classMask is all kinds of a class.
func classMask(class Class) (mask uint64) {
	for kind, of := range kindClasses {
		if of == class {
			mask |= 1 << kind
		}
	}
	return mask
}

type filterBuilder struct {
	native            func(string) (string, error)
	bytes             []byte
	sections, entries int
}

func (b *filterBuilder) exclude(e *Exclude) error {
	class := Class(slices.Index(classNames[:], e.Class))
	match := uint32(matchPath)
	switch class {
	case ClassProcess:
		match = matchImage
	case ClassImage, ClassRegistry, ClassFile:
	default:
		return badFilters("class %q has no names to exclude by: use process, image, registry or file", e.Class)
	}
	mask, err := kindMask(e.Kinds, e.Class)
	if err != nil {
		return err
	}
	if len(e.Kinds) == 0 {
		mask = classMask(class)
	}
	if len(e.Prefixes) == 0 {
		return badFilters("an exclude of class %s has no prefixes", e.Class)
	}
	return b.section(class, match, mask, e.Prefixes)
}

// own makes up to two sections: files and keys.
func (b *filterBuilder) own(paths []string) error {
	var files, keys []string
	for _, p := range paths {
		if _, isKey := nativeKey(p); isKey {
			keys = append(keys, p)
		} else {
			files = append(files, p)
		}
	}
	for _, part := range []struct {
		class Class
		list  []string
	}{{ClassFile, files}, {ClassRegistry, keys}} {
		if len(part.list) == 0 {
			continue
		}
		if err := b.section(part.class, matchOwn, classMask(part.class), part.list); err != nil {
			return err
		}
	}
	return nil
}

func (b *filterBuilder) section(class Class, match uint32, kinds uint64, prefixes []string) error {
	if b.sections++; b.sections > maxFilterSections {
		return badFilters("more than %d excludes: put prefixes of the same kinds together", maxFilterSections)
	}
	if b.entries += len(prefixes); b.entries > maxFilterEntries {
		return badFilters("more than %d prefixes", maxFilterEntries)
	}
	b.bytes = binary.LittleEndian.AppendUint32(b.bytes, uint32(class))
	b.bytes = binary.LittleEndian.AppendUint32(b.bytes, match)
	b.bytes = binary.LittleEndian.AppendUint64(b.bytes, kinds)
	b.bytes = binary.LittleEndian.AppendUint32(b.bytes, uint32(len(prefixes)))
	b.bytes = binary.LittleEndian.AppendUint32(b.bytes, 0)
	for _, p := range prefixes {
		prefix, err := b.prefix(class, p)
		if err != nil {
			return err
		}
		units := utf16.Encode([]rune(prefix))
		if len(units) == 0 || len(units) > maxFilterChars {
			return badFilters("%q has %d characters, a prefix has 1 to %d", p, len(units), maxFilterChars)
		}
		b.bytes = binary.LittleEndian.AppendUint32(b.bytes, uint32(len(units)))
		b.bytes = binary.LittleEndian.AppendUint32(b.bytes, 0)
		for _, u := range units {
			b.bytes = binary.LittleEndian.AppendUint16(b.bytes, u)
		}
		for len(b.bytes)%8 != 0 {
			b.bytes = append(b.bytes, 0)
		}
	}
	return nil
}

// prefix is a name as the driver sees it. One that stands for many things (a
// wildcard, a control set) cannot be decided by its beginning.
func (b *filterBuilder) prefix(class Class, p string) (string, error) {
	if strings.ContainsAny(p, "*?") && !strings.HasPrefix(p, `\??\`) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == '\ufffd' }) {
		return "", badFilters("%q: the driver compares the beginning of a name and knows no wildcards", p)
	}
	key, isKey := nativeKey(p)
	if (class == ClassRegistry) != isKey {
		return "", badFilters("%q is no name of class %s", p, class)
	}
	if isKey {
		if strings.Contains(strings.ToLower(key)+`\`, `\system\currentcontrolset\`) {
			return "", badFilters("%q: the system writes to one of HKLM\\SYSTEM\\ControlSet001 and so on; name that one", p)
		}
		return key, nil
	}
	if strings.HasPrefix(p, `\Device\`) {
		return p, nil
	}
	if len(p) < 3 || p[1] != ':' || p[2] != '\\' {
		return "", badFilters(`%q is no path such as C:\Temp\ or \Device\HarddiskVolume3\Temp\`, p)
	}
	full, err := b.native(p)
	if err != nil {
		return "", badFilters("%q: %v", p, err)
	}
	return full, nil
}

// nativeKey is a key as the driver sees it; false for what is no key.
func nativeKey(p string) (string, bool) {
	for _, root := range [...][2]string{
		{`HKLM\`, `\REGISTRY\MACHINE\`}, {`HKEY_LOCAL_MACHINE\`, `\REGISTRY\MACHINE\`}, {`HKU\`, `\REGISTRY\USER\`}, {`HKEY_USERS\`, `\REGISTRY\USER\`}, {`\REGISTRY\`, `\REGISTRY\`},
	} {
		if len(p) >= len(root[0]) && strings.EqualFold(p[:len(root[0])], root[0]) {
			return root[1] + p[len(root[0]):], true
		}
	}
	return "", false
}

func (b *filterBuilder) blob(kinds uint64, payload bool) (*FilterBlob, error) {
	size := filtersHeadSize + len(b.bytes)
	if size > maxFiltersBlob {
		return nil, badFilters("the set has %d bytes, the driver takes %d", size, maxFiltersBlob)
	}
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, size), abiVersion)
	out = binary.LittleEndian.AppendUint32(out, uint32(size))
	out = binary.LittleEndian.AppendUint64(out, 0)
	out = binary.LittleEndian.AppendUint64(out, kinds)
	out = binary.LittleEndian.AppendUint32(out, uint32(b.sections))
	flags := uint32(0)
	if payload {
		flags = filtersPayload
	}
	out = append(binary.LittleEndian.AppendUint32(out, flags), b.bytes...)
	sum := sha256.Sum256(out)
	generation := max(binary.LittleEndian.Uint64(sum[:]), 1)
	binary.LittleEndian.PutUint64(out[8:], generation)
	return &FilterBlob{Bytes: out, Generation: generation, Digest: hex.EncodeToString(sum[:]), Kinds: kinds, Payload: payload, Excludes: b.entries}, nil
}
