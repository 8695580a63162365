package event

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// drivePath is a path with a drive letter where one is known. The longest device
// that begins it wins: \Device\HarddiskVolume1 does not begin \Device\HarddiskVolume12.
func (m *Mapper) drivePath(p string) string {
	switch {
	case !strings.HasPrefix(p, `\`):
		return p
	case len(p) > 5 && strings.HasPrefix(p, `\??\`) && p[5] == ':':
		return p[4:]
	case foldPrefix(p, `\??\UNC\`):
		return `\\` + p[len(`\??\UNC\`):]
	case foldPrefix(p, `\Device\Mup\`):
		return `\\` + strings.TrimPrefix(p[len(`\Device\Mup\`):], `;`)
	case foldPrefix(p, `\SystemRoot\`):
		// The system's folder is on the drive that the system was started from.
		return `C:\Windows` + p[len(`\SystemRoot`):]
	}
	for _, d := range m.drives() {
		if foldPrefix(p, d.Device) && (len(p) == len(d.Device) || p[len(d.Device)] == '\\') {
			return d.Letter + p[len(d.Device):]
		}
	}
	return p
}

func foldPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// keyPath is a registry key as Sysmon writes it.
func keyPath(p string) string {
	switch {
	case foldPrefix(p, `\REGISTRY\MACHINE`):
		p = "HKLM" + p[len(`\REGISTRY\MACHINE`):]
	case foldPrefix(p, `\REGISTRY\USER`):
		return "HKU" + p[len(`\REGISTRY\USER`):]
	default:
		return p
	}
	// Which of the control sets is in force is the one that is written to.
	const set = `HKLM\SYSTEM\ControlSet`
	if foldPrefix(p, set) && len(p) >= len(set)+3 && strings.Trim(p[len(set):len(set)+3], "0123456789") == "" &&
		(len(p) == len(set)+3 || p[len(set)+3] == '\\') {
		return `HKLM\System\CurrentControlSet` + p[len(set)+3:]
	}
	return p
}

// sid is a binary SID as text, "" for what is none.
func sid(b string) string {
	if len(b) < 8 || b[0] != 1 || b[1] > 15 || len(b) != 8+4*int(b[1]) {
		return ""
	}
	authority := uint64(0)
	for _, c := range []byte(b[2:8]) {
		authority = authority<<8 | uint64(c)
	}
	out := "S-1-" + strconv.FormatUint(authority, 10)
	for rest := []byte(b[8:]); len(rest) > 0; rest = rest[4:] {
		out += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(rest)), 10)
	}
	return out
}

// accountOf names the account of a SID.
func (m *Mapper) accountOf(sid string) string {
	switch sid {
	case "":
		return ""
	case "S-1-5-18":
		return `NT AUTHORITY\SYSTEM`
	case "S-1-5-19":
		return `NT AUTHORITY\LOCAL SERVICE`
	case "S-1-5-20":
		return `NT AUTHORITY\NETWORK SERVICE`
	}
	if m.account == nil {
		return ""
	}
	name, known := m.accounts[sid]
	if !known {
		if len(m.accounts) >= maxAccounts {
			clear(m.accounts) // all are asked again, rarely
		}
		name = m.account(sid)
		m.accounts[sid] = name
	}
	return name
}

// integrities are the levels of a token's label, and how Sysmon names them.
func integrity(rid uint32) (level, sysmon string) {
	switch rid {
	case 0:
		return "untrusted", "Untrusted"
	case 0x1000:
		return "low", "Low"
	case 0x2000:
		return "medium", "Medium"
	case 0x2100:
		return "medium_plus", "Medium"
	case 0x3000:
		return "high", "High"
	case 0x4000:
		return "system", "System"
	case 0x5000:
		return "protected", "ProtectedProcess"
	}
	return "", ""
}

// elevations are TOKEN_ELEVATION_TYPE.
var elevations = [...]string{"", "default", "full", "limited"}

func elevation(n uint32) string {
	if int(n) < len(elevations) {
		return elevations[n]
	}
	return ""
}
