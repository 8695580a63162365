package enrol

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
)

const (
	maxToken     = 4 << 10
	maxMachineID = 256
)

// Host is what an agent says of its host when it enrols.
type Host struct {
	Name, Domain  string
	OS, OSVersion string
	SMBIOSUUID    string
	MachineID     string // the OS installation's own
	KeyKind       string // "software" or "tpm", as claimed
	Simulated     bool   // made up
}

func (h *Host) message() *agentv1.HostIdentity {
	return &agentv1.HostIdentity{
		Hostname: h.Name, Domain: h.Domain, Os: h.OS, OsVersion: h.OSVersion, SmbiosUuid: h.SMBIOSUUID, MachineId: h.MachineID,
		KeyKind: h.KeyKind, Simulated: h.Simulated,
	}
}

// ThisHost describes the host that the program runs on.
func ThisHost() (*Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading host name: %w", err)
	}
	short, domain, _ := strings.Cut(name, ".")
	return &Host{Name: short, Domain: domain, OS: runtime.GOOS, OSVersion: osVersion(), MachineID: machineID(), KeyKind: "software"}, nil
}

// ReadToken returns the token of a file, "-" being standard input.
func ReadToken(name string) (string, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return "", fmt.Errorf("reading token: %w", err)
		}
		defer func() { _ = f.Close() }()
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("reading token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(b) > maxToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("reading token: %s does not hold one token", name)
	}
	return token, nil
}
