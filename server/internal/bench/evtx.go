package bench

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

// sampleLogs are the logs of the sample archive that reading speed is stated for.
var sampleLogs = []string{"log2timeline-System.evtx", "williballenthin-system.evtx", "omerbenamram-post-Security.evtx"}

// maxLog bounds one log of the archive.
const maxLog = 256 << 20

// eventLogs are the logs to read, and what they are.
type eventLogs struct {
	data   [][]byte
	about  string
	sample bool
}

// loadLogs takes the sample logs from evtx.tar.gz in folder; where there is none
// it writes one.
func loadLogs(folder string) (*eventLogs, error) {
	if folder == "" {
		return writtenLog(), nil
	}
	file, err := os.Open(filepath.Join(folder, "evtx.tar.gz"))
	if errors.Is(err, os.ErrNotExist) {
		return writtenLog(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening sample logs: %w", err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("reading sample logs: %w", err)
	}
	logs := &eventLogs{about: "sample logs", sample: true}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading sample logs: %w", err)
		}
		if !slices.Contains(sampleLogs, path.Base(header.Name)) {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(archive, maxLog))
		if err != nil {
			return nil, fmt.Errorf("reading sample logs: %w", err)
		}
		logs.data = append(logs.data, data)
	}
	if len(logs.data) != len(sampleLogs) {
		return nil, fmt.Errorf("reading sample logs: %d of %v are in the archive", len(logs.data), sampleLogs)
	}
	return logs, nil
}

// The provider of the Security log, as Windows writes it.
const (
	securityProvider = "Microsoft-Windows-Security-Auditing"
	securityGUID     = "{54849625-5478-4994-a5ba-3e3b0328c30d}"
)

func writtenLog() *eventLogs {
	events := make([]evtxtest.Event, 5000)
	for i := range events {
		events[i] = evtxtest.Event{
			RecordID: uint64(i + 1), Time: time.Unix(1_760_000_000+int64(i), 0), Provider: securityProvider, ProviderGUID: securityGUID[1:37],
			EventID: 4624, Channel: securityChannel, Computer: "HOST.example",
			Data: []evtxtest.Field{
				evtxtest.Named("SubjectUserSid", evtxtest.SID("S-1-5-21-1-2-3-500")), evtxtest.Named("SubjectLogonId", evtxtest.Hex64(0x3e7)),
				evtxtest.Named("TargetUserName", evtxtest.String("administrator")), evtxtest.Named("LogonGuid", evtxtest.GUID(securityGUID[1:37])),
				evtxtest.Named("ProcessName", evtxtest.String(`C:\Windows\System32\svchost.exe`)), evtxtest.Named("KeyLength", evtxtest.Uint32(128)),
			},
		}
	}
	return &eventLogs{data: [][]byte{evtxtest.Log(evtxtest.Options{}, events...)}, about: "a generated log: no sample logs"}
}

// read decodes the logs on one core for at least the duration and returns records
// a second. Garbage collection shares the core.
func (l *eventLogs) read(atLeast time.Duration) (perSecond float64, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	records := 0
	start := time.Now()
	for {
		for _, data := range l.data {
			file, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
			if err != nil {
				return 0, fmt.Errorf("opening log: %w", err)
			}
			for range file.Records() {
				records++
			}
		}
		if took := time.Since(start); took >= atLeast {
			return float64(records) / took.Seconds(), nil
		}
	}
}
