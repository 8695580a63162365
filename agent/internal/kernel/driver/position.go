package driver

import (
	"encoding/binary"
	"math"

	"github.com/assay-audit/assay/agent/internal/kernel"
)

// position is where a class was read to: the epoch, which grows by one with each
// load of the driver, since loads are named by a clock that may go back; the load;
// n; and how many of that record's events, last for all.
type position struct {
	epoch uint32
	load  uint64
	n     uint64
	event uint32
}

const last = math.MaxUint32

func (p position) bytes() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 24), p.epoch)
	b = binary.BigEndian.AppendUint64(b, p.load)
	b = binary.BigEndian.AppendUint64(b, p.n)
	return binary.BigEndian.AppendUint32(b, p.event)
}

func parsePosition(b []byte) (position, bool) {
	if len(b) != 24 {
		return position{}, false
	}
	return position{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:]), binary.BigEndian.Uint32(b[20:])}, true
}

// whole is the last n of which all events are in p, where p is of that load.
func (p position) whole(load uint64) uint64 {
	switch {
	case p.load != load:
		return 0
	case p.event == last:
		return p.n
	}
	return p.n - 1
}

func key(class kernel.Class) string { return "kernel/" + class.String() }
