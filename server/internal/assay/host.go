package assay

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// HostKind says how a host is known.
type HostKind string

// The kinds of host.
const (
	EnrolledHost HostKind = "enrolled" // it runs an agent
	ImportedHost HostKind = "imported" // known from logs only
)

// Host is a machine.
type Host struct {
	ID         HostID
	Kind       HostKind
	Name       string
	Domain     string
	OS         string
	OSVersion  string
	SMBIOSUUID string
	MachineID  string
	// Simulated hosts are made up, and marked so wherever they are shown.
	Simulated bool
	Tags      []string
	CreatedAt time.Time
	// RetiredAt is zero while the host is expected to report.
	RetiredAt time.Time
}

// maxHostText bounds each text of a host's identity, in bytes.
const maxHostText = 255

// Validate checks what an agent says of its host. It is Invalid if a text is
// too long or holds what cannot be shown or stored, or if there is no name.
func (h *Host) Validate() error {
	for _, part := range []struct{ name, text string }{
		{"host name", h.Name}, {"domain", h.Domain}, {"os", h.OS}, {"os version", h.OSVersion},
		{"SMBIOS UUID", h.SMBIOSUUID}, {"machine id", h.MachineID},
	} {
		if err := CheckText(part.name, part.text, maxHostText); err != nil {
			return err
		}
	}
	if strings.TrimSpace(h.Name) == "" {
		return Errorf(Invalid, "host name is empty")
	}
	return nil
}

// CheckText is Invalid if text is longer than limit bytes, is not UTF-8 or has
// control characters.
func CheckText(name, text string, limit int) error {
	switch {
	case len(text) > limit:
		return Errorf(Invalid, "%s has %d bytes, at most %d", name, len(text), limit)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return Errorf(Invalid, "%s holds characters that are not text", name)
	}
	return nil
}
