package assay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Identifiers are 16 bytes, written as UUIDs. Distinct types keep a host's id
// from standing where an agent's belongs.
type (
	HostID   [16]byte
	AgentID  [16]byte
	StreamID [16]byte
)

func (id HostID) String() string   { return formatID(id) }
func (id AgentID) String() string  { return formatID(id) }
func (id StreamID) String() string { return formatID(id) }

func formatID(id [16]byte) string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseHostID reads a UUID.
func ParseHostID(text string) (HostID, error) {
	id, err := parseID(text)
	return HostID(id), err
}

// ParseAgentID reads a UUID.
func ParseAgentID(text string) (AgentID, error) {
	id, err := parseID(text)
	return AgentID(id), err
}

// ParseTokenID reads a UUID.
func ParseTokenID(text string) (TokenID, error) {
	id, err := parseID(text)
	return TokenID(id), err
}

func parseID(text string) (id [16]byte, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != len(id) {
		return id, Errorf(Invalid, "%q is not an id of the form 00000000-0000-0000-0000-000000000000", text)
	}
	copy(id[:], raw)
	return id, nil
}

// ImportedHostID is the identity of a host that is known from an import stream
// alone: computer names compare without case. It is computed, never drawn, so
// that a rebuilt projection names the same hosts.
func ImportedHostID(stream StreamID, computer string) HostID {
	sum := sha256.Sum256(fmt.Appendf(nil, "assay/imported-host/v1\x00%s\x00%s", stream[:], strings.ToLower(computer)))
	var id HostID
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80 // version 8: our own scheme
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Lanes is the number of lane values that streams are spread over. A projector
// with n workers gives worker i the lanes with lane mod n == i.
const Lanes = 256

// LaneOf spreads an agent's host over the lanes: all streams of a host share one.
func LaneOf(host HostID) int16 { return int16(host[15]) }
