package assay

import (
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// Head is where a stream stands: its newest committed batch. In an epoch
// without one, Number is 0 and Hash that of the epoch's opening.
type Head struct {
	Stream       StreamID
	Agent        AgentID
	Kind         evidence.StreamKind
	Epoch        uint32
	Number       uint64
	Hash         evidence.Hash
	NextSequence uint64
	// Position and CommittedAt are of the stream's newest batch, in whichever
	// epoch; -1 and zero where there is none.
	Position    int64
	CommittedAt time.Time
}

// Continues reports whether header is the one batch that may come next.
func (h *Head) Continues(header *evidence.Header) bool {
	return StreamID(header.Stream) == h.Stream && header.Kind == h.Kind && header.Epoch == h.Epoch &&
		header.Number == h.Number+1 && header.Previous == h.Hash && header.FirstSequence == h.NextSequence
}

// After returns the head once the batch of header (whose hash is given) is in.
func (h Head) After(header *evidence.Header, hash evidence.Hash) Head {
	h.Epoch, h.Number, h.Hash = header.Epoch, header.Number, hash
	h.NextSequence = header.FirstSequence + uint64(header.EventCount)
	return h
}

// EpochRequest asks for a new epoch of an agent's stream.
type EpochRequest struct {
	Agent          AgentID
	Kind           evidence.StreamKind
	Reason         string
	BootID         string
	VMGenerationID string
	TPMResetCount  uint32
	// LostFrom to LostTo are batches behind our head that nobody holds any more: we
	// had acknowledged them and were restored. LostTo is 0 where the agent does not
	// know their end; LostFrom 0: none.
	LostFrom, LostTo uint64
}

// The reasons for an epoch.
const (
	ReasonFirst     = "first"
	ReasonReinstall = "reinstall"
	ReasonSpoolLost = "spool_lost"
	ReasonRollback  = "rollback"
)

const maxEpochText = 128

// Validate is Invalid if the request names no known kind or reason.
func (r *EpochRequest) Validate() error {
	if !r.Kind.Valid() {
		return Errorf(Invalid, "there is no %s", r.Kind)
	}
	switch r.Reason {
	case ReasonFirst, ReasonReinstall, ReasonSpoolLost, ReasonRollback:
	default:
		return Errorf(Invalid, "%q is no reason for an epoch", r.Reason)
	}
	if r.LostTo > 0 && r.LostTo < r.LostFrom || r.LostFrom == 0 && r.LostTo > 0 {
		return Errorf(Invalid, "batches %d to %d cannot be lost", r.LostFrom, r.LostTo)
	}
	if err := CheckText("boot id", r.BootID, maxEpochText); err != nil {
		return err
	}
	return CheckText("VM generation id", r.VMGenerationID, maxEpochText)
}
