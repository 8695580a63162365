package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/cli"
	"github.com/assay-audit/assay/agent/internal/fleet"
	"github.com/assay-audit/assay/agent/internal/servertest"
)

// fleetCLI runs the fleet command.
func fleetCLI(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Main(t.Context(), "test", append([]string{"fleet"}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestFleetTellsItsWorld(t *testing.T) {
	t.Parallel()
	code, out, _ := fleetCLI(t, "--approved-devices")
	if want := strings.Join(fleet.ApprovedDevices(), "\n") + "\n"; code != 0 || out != want {
		t.Errorf("exit %d: %q", code, out)
	}
	code, out, _ = fleetCLI(t, "--script")
	if lines := strings.Count(out, "\n"); code != 0 || lines != len(fleet.Script())+1 || !strings.Contains(out, "log.cleared") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestFleetSendsItsPastAndLoads(t *testing.T) {
	t.Parallel()
	server := servertest.New(t, time.Now)
	folder := t.TempDir()
	token := filepath.Join(folder, "token")
	if err := os.WriteFile(token, []byte(servertest.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := []string{"--server", server.Address, "--ca-hash", server.CAHash, "--token-file", token, "--once", "--hosts", "2"}
	code, out, errs := fleetCLI(t, append(to, "--dir", filepath.Join(folder, "demo"), "--backfill", "2h")...)
	if code != 0 || !strings.HasPrefix(out, "backfilled 2 hosts, ") || !strings.Contains(errs, "fleet: 2 of 2 hosts sent their backfill, ") {
		t.Errorf("exit %d: %q, %q", code, out, errs)
	}
	code, out, errs = fleetCLI(t, append(to, "--dir", filepath.Join(folder, "load"), "--events", "700")...)
	var result fleet.LoadResult
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != 0 || result.Hosts != 2 || result.Events != 1400 {
		t.Errorf("exit %d: %v, %q, %q", code, err, out, errs)
	}
}

func TestFleetUsage(t *testing.T) {
	t.Parallel()
	server := servertest.New(t, time.Now)
	for _, args := range [][]string{
		{"--hosts", "2"}, {"--server", server.Address, "--ca-hash", server.CAHash, "--events", "5"},
		{"--server", server.Address, "--ca-hash", server.CAHash, "--role-token", "CAT=x"},
		{"--server", server.Address, "--ca-hash", "beef"},
	} {
		if code, _, errs := fleetCLI(t, append(args, "--dir", filepath.Join(t.TempDir(), "fleet"))...); code == 0 || errs == "" {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
}
