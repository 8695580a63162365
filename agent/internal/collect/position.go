package collect

import (
	"encoding/binary"
	"encoding/hex"
)

// The position in an imported file: a phase, then what belongs to it. It grows
// with the reading by bytes.Compare, and is complete once the phase is ended.
const (
	phaseBegun  = 1
	phaseRecord = 2 // chunk, ordinal
	phaseEnded  = 3 // records, unreadable
)

func fileKey(sha256 [32]byte) string { return "import/" + hex.EncodeToString(sha256[:]) }

func begunPosition() []byte { return []byte{phaseBegun} }

func recordPosition(chunk, ordinal uint32) []byte {
	b := make([]byte, 0, 1+4+4)
	b = append(b, phaseRecord)
	b = binary.BigEndian.AppendUint32(b, chunk)
	return binary.BigEndian.AppendUint32(b, ordinal)
}

func endedPosition(records, unreadable uint64) []byte {
	b := make([]byte, 0, 1+8+8)
	b = append(b, phaseEnded)
	b = binary.BigEndian.AppendUint64(b, records)
	return binary.BigEndian.AppendUint64(b, unreadable)
}

// parseEnded reads an endedPosition; ok is false for any other.
func parseEnded(b []byte) (records, unreadable uint64, ok bool) {
	if len(b) != 1+8+8 || b[0] != phaseEnded {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), true
}
