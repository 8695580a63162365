package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An alarm is on disk, a line each, whatever becomes of the system's log.
func TestAlarmIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{"first", "second\nover two lines"} {
		if err := keepAlarm(dir, at, text); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, alarmFile))
	if err != nil {
		t.Fatal(err)
	}
	if want := "2026-11-27T12:00:00Z first\n2026-11-27T12:00:00Z second over two lines\n"; string(text) != want {
		t.Errorf("kept %q, want %q", text, want)
	}
	if info, err := os.Stat(filepath.Join(dir, alarmFile)); err != nil || !strings.HasSuffix(info.Mode().String(), "rw-------") {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
