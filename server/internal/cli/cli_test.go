package cli

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

// run runs a command that needs no server.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"--config", filepath.Join(t.TempDir(), "session.json")}, args...)
	code = Main(context.Background(), Config{Args: args, Stdin: strings.NewReader("a password of length\n"), Stdout: &out, Stderr: &errs, Version: "test", Now: time.Now})
	return code, out.String(), errs.String()
}

func TestRefusesInOneLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"not signed in", []string{"status"}, "not signed in: assayctl login --server https://HOST:PORT --user NAME"},
		{"no such command", []string{"frobnicate"}, "unexpected argument frobnicate"},
		{"address without TLS", []string{"login", "--server", "http://127.0.0.1:1", "--user", "admin"}, `"http://127.0.0.1:1" is no console address: write https://HOST:PORT`},
		{"nobody listens", []string{"login", "--server", "https://127.0.0.1:1", "--user", "admin"}, "the server cannot be reached or is not ready"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(t, tt.args...)
			if code != ExitError || stdout != "" {
				t.Errorf("exit code %d, output %q", code, stdout)
			}
			if !strings.HasPrefix(stderr, "assayctl: ") || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("said %q, want one line with %q", stderr, tt.want)
			}
		})
	}
}

func TestHelpShowsExamplesAndExitCodes(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run(t, "--help")
	if code != ExitDone || !strings.Contains(stdout, "assayctl ledger verify") || !strings.Contains(stdout, "Exit codes:") {
		t.Errorf("exit code %d, help:\n%s", code, stdout)
	}
}

func TestHostileTextIsShownNotObeyed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain é ü":             "plain é ü",
		"\x1b[31mred":           `\u001b[31mred`,
		"txt.\u202eexe":         `txt.\u202eexe`,
		"a\nb\tc":               `a\u000ab\u0009c`,
		"zero\u200bwidth\u2066": `zero\u200bwidth\u2066`,
	} {
		if got := plain(text); got != want {
			t.Errorf("plain(%q) = %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"=1+1": "'=1+1", "@cmd": "'@cmd", "-1": "'-1", "ok": "ok", "": ""} {
		if got := neutral(text); got != want {
			t.Errorf("neutral(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{"2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01T12:00"} {
		if got, err := parseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("parseTime(%q) = %v, %v", text, got, err)
		}
	}
	if _, err := parseTime("yesterday"); err == nil {
		t.Error("yesterday is a time")
	}
}

func TestVectorSaysTheWorstFirst(t *testing.T) {
	t.Parallel()
	if got := vector(&consolev1.StateCounts{Pass: 20, Unknown: 2, Fail: 3, NotApplicable: 1}); got != "3 fail, 2 unknown, 20 pass, 1 n/a" {
		t.Errorf("vector is %q", got)
	}
	if got := vector(&consolev1.StateCounts{}); got != "-" {
		t.Errorf("an empty vector is %q", got)
	}
}
