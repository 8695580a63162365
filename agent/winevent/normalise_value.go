package winevent

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// mapper holds one record while its mapping runs. Fields are looked up by name,
// never by place, so that other versions of an event and missing fields only
// leave columns empty.
type mapper struct {
	normaliser *Normaliser
	record     *Record
	fields     []Field
	event      *telemetryv1.Event
	labels     []string // the fields' names as Defender means them, once they are asked for
}

// text is the value of the first of the names that has one. Windows writes "-"
// for a value that it does not have.
func (m *mapper) text(names ...string) string {
	for _, name := range names {
		for i := range m.fields {
			if m.fields[i].Name != name {
				continue
			}
			if v := strings.TrimSpace(m.fields[i].Value); v != "" && v != "-" {
				return valid(v)
			}
			break
		}
	}
	return ""
}

// at is the i-th value of Data, for classic events without names.
func (m *mapper) at(i int) string {
	if i >= len(m.record.Data) {
		return ""
	}
	if v := strings.TrimSpace(m.record.Data[i].Value); v != "-" {
		return valid(v)
	}
	return ""
}

// param is the n-th of the values that classic events call param1, param2, …;
// older systems give them no name.
func (m *mapper) param(n int) string {
	if v := m.text("param" + strconv.Itoa(n)); v != "" {
		return v
	}
	if n <= len(m.record.Data) && m.record.Data[n-1].Name == "" {
		return m.at(n - 1)
	}
	return ""
}

// paramCount is param as a number.
func (m *mapper) paramCount(n int) *uint32 {
	if v, ok := number(m.param(n)); ok && v <= 1<<32-1 {
		return proto.Uint32(uint32(v))
	}
	return nil
}

// number parses decimal and 0x hexadecimal.
func number(s string) (uint64, bool) {
	s = strings.TrimSpace(s)
	base := 10
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		s, base = s[2:], 16
	}
	v, err := strconv.ParseUint(s, base, 64)
	return v, err == nil
}

// u32 and u64 are numbers, nil where there is none or it does not fit.
func (m *mapper) u32(names ...string) *uint32 {
	if v, ok := number(m.text(names...)); ok && v <= 1<<32-1 {
		return proto.Uint32(uint32(v))
	}
	return nil
}

func (m *mapper) u64(names ...string) *uint64 {
	if v, ok := number(m.text(names...)); ok {
		return proto.Uint64(v)
	}
	return nil
}

func (m *mapper) i32(names ...string) *int32 {
	if v, ok := number(m.text(names...)); ok && v <= 1<<31-1 {
		return proto.Int32(int32(v))
	}
	return nil
}

// boolean reads what Windows writes for yes and no, codes included.
func (m *mapper) boolean(names ...string) *bool {
	switch strings.ToLower(m.text(names...)) {
	case "true", "1", "0x1", "yes", "%%1842", "enabled":
		return proto.Bool(true)
	case "false", "0", "0x0", "no", "%%1843", "disabled":
		return proto.Bool(false)
	}
	return nil
}

// hex is a number as 0x… in lower case without padding.
func (m *mapper) hex(names ...string) string { return minimalHex(m.text(names...)) }

func minimalHex(s string) string {
	if v, ok := number(s); ok {
		return fmt.Sprintf("0x%x", v)
	}
	return s
}

// logon is the id of a logon session, "" for the id of none.
func (m *mapper) logon(names ...string) string {
	if id := m.hex(names...); id != "0x0" {
		return id
	}
	return ""
}

// process is the id of a process that is named beside it. Where there is no
// process the audit log writes the id 0 and no name.
func (m *mapper) process(name string, ids ...string) *uint32 {
	pid := m.u32(ids...)
	if pid != nil && *pid == 0 && m.text(name) == "" {
		return nil
	}
	return pid
}

// guid is lower case with braces, "" for the nil GUID, and a text that is no
// GUID as it is.
func (m *mapper) guid(names ...string) string {
	s := m.text(names...)
	bare := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}"))
	if len(bare) != 36 || bare[8] != '-' || bare[13] != '-' || bare[18] != '-' || bare[23] != '-' {
		return s
	}
	if strings.Trim(bare, "0-") == "" {
		return ""
	}
	return "{" + bare + "}"
}

// account is DOMAIN\name from two fields.
func (m *mapper) account(domain, name string) string {
	d, n := m.text(domain), m.text(name)
	if n == "" || d == "" {
		return n
	}
	return d + `\` + n
}

// sid is a SID; the null SID S-1-0-0 names nobody.
func (m *mapper) sid(names ...string) string {
	s := strings.TrimSuffix(strings.TrimPrefix(m.text(names...), "%{"), "}")
	if s == "S-1-0-0" || s == "NULL SID" {
		return ""
	}
	return s
}

// path is a file's path with a drive letter where one is known.
func (m *mapper) path(names ...string) string { return m.normaliser.drivePath(m.text(names...)) }

func (n *Normaliser) drivePath(p string) string {
	if !strings.HasPrefix(p, `\`) {
		return p
	}
	if rest, ok := strings.CutPrefix(p, `\??\`); ok && len(rest) > 1 && rest[1] == ':' {
		return rest
	}
	for _, d := range n.Drives {
		if len(p) >= len(d.Device) && strings.EqualFold(p[:len(d.Device)], d.Device) &&
			(len(p) == len(d.Device) || p[len(d.Device)] == '\\') {
			return d.Letter + p[len(d.Device):]
		}
	}
	return p
}

const rfc3339Ticks = "2006-01-02T15:04:05.0000000Z"

// time is RFC 3339 UTC with seven digits. What is no time stays as it is, and
// the time before which Windows has none (1601) is none.
func (m *mapper) time(names ...string) string { return timeText(m.text(names...)) }

func timeText(s string) string {
	t, ok := parseTime(s)
	switch {
	case ok && t.Year() <= 1601, !ok && strings.HasPrefix(s, "1/1/1601"):
		return ""
	case !ok:
		return s
	}
	return t.Format(rfc3339Ticks)
}

// parseTime reads RFC 3339 and what Sysmon writes ("2006-01-02 15:04:05.000",
// which is UTC).
func parseTime(s string) (time.Time, bool) {
	// Windows puts left-to-right marks into dates that it formats.
	s = strings.ReplaceAll(s, "\u200e", "")
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// list splits what Windows writes as lines or words, and decodes the codes in
// it that decode knows.
func (m *mapper) list(name string, decode map[string]string) []string {
	words := strings.FieldsFunc(m.text(name), func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' || r == ' ' || r == ',' })
	for i, w := range words {
		if d, ok := decode[w]; ok {
			words[i] = d
		}
	}
	return words
}

// lines splits a value into its lines, which may hold spaces.
func (m *mapper) lines(name string) []string {
	var out []string
	for line := range strings.Lines(m.text(name)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// hashes splits Sysmon's "SHA1=…,MD5=…".
type hashes struct{ md5, sha1, sha256, imphash string }

func (h hashes) known() bool { return h != hashes{} }

func (m *mapper) hashes(names ...string) hashes {
	var h hashes
	for part := range strings.SplitSeq(m.text(names...), ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || strings.Trim(value, "0") == "" {
			continue
		}
		value = strings.ToLower(value)
		switch strings.ToUpper(name) {
		case "MD5":
			h.md5 = value
		case "SHA1":
			h.sha1 = value
		case "SHA256":
			h.sha256 = value
		case "IMPHASH":
			h.imphash = value
		}
	}
	return h
}

// address is an IP address in its shortest form, IPv4 in IPv6 as IPv4. What is
// no address stays as it is.
func address(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return s
}

func (m *mapper) address(names ...string) string { return address(m.text(names...)) }

// outcome is the audit outcome that the keywords say.
func (m *mapper) outcome() string {
	const failure, success = 1 << 52, 1 << 53
	switch {
	case m.record.Keywords&failure != 0:
		return "failure"
	case m.record.Keywords&success != 0:
		return "success"
	}
	return ""
}

// binary is the bytes of the Binary element of a classic event.
func (m *mapper) binary() []byte {
	b, err := hex.DecodeString(m.text("Binary"))
	if err != nil {
		return nil
	}
	return b
}

// utf16Text decodes UTF-16LE up to its first NUL.
func utf16Text(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		u := uint16(b[i]) | uint16(b[i+1])<<8
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return valid(string(utf16.Decode(units)))
}
