package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func mountedOnly(path string) (string, error) {
	if !strings.HasPrefix(path, "C:") {
		return "", fmt.Errorf("drive %s is not mounted", path[:2])
	}
	return `\Device\HarddiskVolume3` + path[2:], nil
}

func encodeText(t testing.TB, text string) (*FilterBlob, error) {
	t.Helper()
	set, err := ReadFilters(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	return set.Encode(mountedOnly)
}

const goodSet = `{"record": ["key_created"], "skip": ["file_mapped"], "no_payload": true,
 "exclude": [{"class": "file", "kinds": ["file_written", "file_created"], "prefixes": ["C:\\Windows\\Temp\\", "\\Device\\HarddiskVolume9\\"], "why": "noise"},
             {"class": "registry", "prefixes": ["HKLM\\SOFTWARE\\Vendor\\", "HKU\\S-1-5-18\\"]},
             {"class": "process", "prefixes": ["C:\\Program Files\\Backup\\"]},
             {"class": "image", "prefixes": ["C:\\Program Files\\"]}],
 "own": ["C:\\ProgramData\\Assay\\", "HKLM\\SYSTEM\\ControlSet001\\Services\\assay"]}`

func TestFilters(t *testing.T) {
	t.Parallel()
	blob, err := encodeText(t, goodSet)
	if err != nil {
		t.Fatal(err)
	}
	if blob.Records(KindFileMapped) || !blob.Records(KindKeyCreated) || blob.Records(KindKeyRenamed) || !blob.Records(KindFileWritten) || blob.Payload || blob.Excludes != 8 {
		t.Errorf("the set is %+v", blob)
	}
	le := binary.LittleEndian
	if le.Uint32(blob.Bytes[4:]) != uint32(len(blob.Bytes)) || le.Uint64(blob.Bytes[8:]) != blob.Generation || le.Uint32(blob.Bytes[24:]) != 6 || len(blob.Digest) != 64 {
		t.Errorf("the blob begins with %x", blob.Bytes[:32])
	}
	again, err := encodeText(t, strings.Replace(goodSet, "noise", "another reason", 1))
	if err != nil || again.Generation != blob.Generation {
		t.Errorf("another reason is another set: %v", err)
	}
	other, err := encodeText(t, strings.Replace(goodSet, "Backup", "Backup2", 1))
	if err != nil || other.Generation == blob.Generation {
		t.Errorf("another prefix is the same set: %v", err)
	}
	if folded := bytes.Index(blob.Bytes, []byte("V\x00o\x00l\x00u\x00m\x00e\x003\x00\\\x00W\x00i\x00n\x00d\x00o\x00w\x00s\x00")); folded < 0 {
		t.Error("the drive's letter was not translated")
	}
}

// TestFiltersThatCannotBe: what the driver could not decide exactly, or would
// refuse, is refused here with what is wrong.
func TestFiltersThatCannotBe(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	many := `"C:\\a` + strings.Repeat(`", "C:\\a`, 2048) + `"`
	sections := strings.TrimSuffix(strings.Repeat(`{"class": "file", "prefixes": ["C:\\a"]},`, 17), ",")
	for text, want := range map[string]string{
		``:                       "EOF",
		`{"sampling": 3}`:        "unknown field",
		`{} {}`:                  "something follows",
		`{"skip": ["tamper"]}`:   `no kind "tamper" that can be left out`,
		`{"skip": ["nonsense"]}`: "no kind",
		`{"record": ["gap"]}`:    "no kind",
		`{"exclude": [{"class": "file", "prefixes": ["*.txt"]}]}`:                                            "no wildcards",
		`{"exclude": [{"class": "file", "prefixes": ["C:\\a?"]}]}`:                                           "no wildcards",
		`{"exclude": [{"class": "file", "prefixes": ["a.txt"]}]}`:                                            "no path",
		`{"exclude": [{"class": "file", "prefixes": ["HKLM\\SOFTWARE"]}]}`:                                   "no name of class file",
		`{"exclude": [{"class": "registry", "prefixes": ["C:\\a"]}]}`:                                        "no name of class registry",
		`{"exclude": [{"class": "registry", "prefixes": ["HKLM\\SYSTEM\\CurrentControlSet\\Services\\x"]}]}`: "name that one",
		`{"exclude": [{"class": "file", "prefixes": ["E:\\a"]}]}`:                                            "not mounted",
		`{"exclude": [{"class": "file", "prefixes": []}]}`:                                                   "no prefixes",
		`{"exclude": [{"class": "file", "kinds": ["key_set"], "prefixes": ["C:\\a"]}]}`:                      "of class registry, not file",
		`{"exclude": [{"class": "network", "prefixes": ["C:\\a"]}]}`:                                         "no names to exclude by",
		`{"exclude": [{"class": "control", "prefixes": ["C:\\a"]}]}`:                                         "no names to exclude by",
		`{"exclude": [{"class": "file", "prefixes": ["C:\\` + long + `"]}]}`:                                 "1 to 512",
		`{"exclude": [{"class": "file", "prefixes": [` + many + `]}]}`:                                       "more than 2048",
		`{"exclude": [` + sections + `]}`:                                                                    "more than 16",
	} {
		blob, err := encodeText(t, text)
		if err == nil || !errors.Is(err, ErrFilters) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.90s: %v, %v; want %q", text, blob, err, want)
		}
	}
}

// core compiles the driver's own filters into a program that takes a set from its
// input: 0 is that it would be in force.
func core(t *testing.T) string {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler: deploy/setup test brings one")
	}
	out := filepath.Join(t.TempDir(), "filters")
	sources, err := filepath.Glob("../../../driver/core/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("the driver's core: %v", err)
	}
	args := append([]string{"-std=c11", "-O1", "-I../../../driver", "-I../../../driver/core", "-o", out, "testdata/filters.c", "../../../driver/test/core/seam.c"}, sources...)
	if text, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("compiling the driver's core: %v\n%s", err, text)
	}
	return out
}

// TestTheDriverTakesThem gives sets to the driver's own code.
func TestTheDriverTakesThem(t *testing.T) {
	t.Parallel()
	program := core(t)
	ask := func(b []byte, words ...string) string {
		command := exec.Command(program, words...)
		command.Stdin = bytes.NewReader(b)
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	blob, err := encodeText(t, goodSet)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[[3]string]string{
		{"33", "1", `\Device\HarddiskVolume3\windows\TEMP\x`}:                "1",
		{"35", "1", `\Device\HarddiskVolume3\windows\TEMP\x`}:                "0", // deletes are not left out
		{"33", "1", `\Device\HarddiskVolume3\Windows\Tem`}:                   "0",
		{"24", "1", `\REGISTRY\MACHINE\SOFTWARE\Vendor\Key`}:                 "1",
		{"8", "2", `\Device\HarddiskVolume3\Program Files\Backup\b.exe`}:     "1",
		{"33", "3", `\Device\HarddiskVolume3\ProgramData\Assay\spool`}:       "1",
		{"24", "3", `\REGISTRY\MACHINE\SYSTEM\ControlSet001\Services\assay`}: "1",
	} {
		if got := ask(blob.Bytes, name[:]...); got != "0 "+want {
			t.Errorf("%v: the driver says %q, want %q", name, got, "0 "+want)
		}
	}
	broken := append([]byte(nil), blob.Bytes...)
	broken[len(broken)-1] = 1
	if got := ask(broken, "33", "1", "x"); strings.HasPrefix(got, "0 ") {
		t.Errorf("the driver takes a broken set: %s", got)
	}
}

func FuzzFilters(f *testing.F) {
	f.Add(goodSet)
	f.Add(`{"own":["\\??\\C:\\x"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		blob, err := encodeText(t, text)
		if err != nil {
			return
		}
		if len(blob.Bytes)%8 != 0 || len(blob.Bytes) > maxFiltersBlob || blob.Generation == 0 || !blob.Records(KindTamper) || !blob.Records(KindGap) {
			t.Errorf("%q becomes %+v", text, blob)
		}
	})
}

// TestContract compares what Go says with the header itself.
func TestContract(t *testing.T) {
	t.Parallel()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler: deploy/setup test brings one")
	}
	out := filepath.Join(t.TempDir(), "contract")
	if text, err := exec.Command(compiler, "-std=c11", "-I../../../driver", "-o", out, "testdata/contract.c").CombinedOutput(); err != nil {
		t.Fatalf("compiling: %v\n%s", err, text)
	}
	got, err := exec.Command(out).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintln(abiVersion, abiMagic, int(Classes), Sources, headerSize, refSize, batchSize, DescriptionSize, maxRecord, maxRead,
		ControlDescribe, ControlRead, ControlFilters, ControlHealthy, ControlUnload, maxFiltersBlob, maxFilterSections, maxFilterEntries, maxFilterChars,
		filtersHeadSize, filtersSectionSize, filtersEntrySize, len(ReadRequest(false, 0, [Classes]uint64{})), len(LoadRequest(0)))
	if string(got) != want {
		t.Errorf("the contract says\n%sGo says\n%s", got, want)
	}
}
