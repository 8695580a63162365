package evtx_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

// benchmarkFiles are the three larger logs that reading speed is stated for.
var benchmarkFiles = []string{"log2timeline-System.evtx", "williballenthin-system.evtx", "omerbenamram-post-Security.evtx"}

// readAll reads a log to its end and returns the number of its records.
func readAll(tb testing.TB, data []byte) int {
	file, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for range file.Records() {
		n++
	}
	return n
}

func benchmarkLogs(b *testing.B, logs [][]byte) {
	b.Helper()
	records, size := 0, 0
	for _, log := range logs {
		size += len(log)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, log := range logs {
			records += readAll(b, log)
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkRead decodes the three sample logs. State its figures with
// GOMAXPROCS=1.
func BenchmarkRead(b *testing.B) {
	var logs [][]byte
	for _, s := range samples(b) {
		if slices.Contains(benchmarkFiles, filepath.Base(s.name)) {
			logs = append(logs, s.data)
		}
	}
	if len(logs) != len(benchmarkFiles) {
		b.Fatalf("%d of the logs %v are there", len(logs), benchmarkFiles)
	}
	benchmarkLogs(b, logs)
}

// BenchmarkReadWritten decodes a log from the test writer, and so needs no
// sample logs.
func BenchmarkReadWritten(b *testing.B) {
	events := make([]evtxtest.Event, 5000)
	for i := range events {
		events[i] = evtxtest.Event{
			RecordID: uint64(i + 1), Time: moment, Provider: "Microsoft-Windows-Security-Auditing",
			ProviderGUID: "54849625-5478-4994-a5ba-3e3b0328c30d", EventID: 4624, Channel: "Security", Computer: "HOST.example",
			Data: []evtxtest.Field{
				evtxtest.Named("SubjectUserSid", evtxtest.SID("S-1-5-21-1-2-3-500")), evtxtest.Named("SubjectLogonId", evtxtest.Hex64(0x3e7)),
				evtxtest.Named("TargetUserName", evtxtest.String("administrator")), evtxtest.Named("LogonGuid", evtxtest.GUID("54849625-5478-4994-a5ba-3e3b0328c30d")),
				evtxtest.Named("ProcessName", evtxtest.String(`C:\Windows\System32\svchost.exe`)), evtxtest.Named("KeyLength", evtxtest.Uint32(128)),
			},
		}
	}
	benchmarkLogs(b, [][]byte{evtxtest.Log(evtxtest.Options{}, events...)})
}
