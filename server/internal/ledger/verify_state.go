package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// keepEvery is how often a resumable verification keeps where it is, and
// keptFor how old that may be to be gone on with: what was verified then may
// have been altered since.
const (
	keepEvery = 15 * time.Second
	keptFor   = 24 * time.Hour
)

// stateVersion changes with what a state holds or means.
const stateVersion = 3

// state is what a verifier keeps of all positions before the next.
type state struct {
	Version        int            `json:"version"`
	Report         Report         `json:"report"`
	Vouchers       vouchers       `json:"vouchers"`
	TreeSize       int64          `json:"tree_size"`
	TreeIndex      int64          `json:"tree_index"`
	Roots          []rootState    `json:"roots"`
	Checkpoints    int64          `json:"checkpoints"`
	LastCheckpoint int64          `json:"last_checkpoint"`
	Streams        []headState    `json:"streams"`
	Revoked        []revokedState `json:"revoked"`
	Erased         []erasedState  `json:"erased"`
	Deleted        []deletedState `json:"deleted"`
	ExcusedMonths  []hostMonth    `json:"excused_months"`
	ExcusedSegment []int64        `json:"excused_segments"`
	Holds          []holdState    `json:"holds"`
	HeldDeleted    []heldSegment  `json:"held_deleted"`
	Findings       []findingSaid  `json:"findings"`
}

type holdState struct {
	ID   assay.HoldID `json:"id"`
	Host assay.HostID `json:"host"`
}

type findingSaid struct {
	ID   assay.FindingID `json:"id"`
	Said findingDigests  `json:"said"`
}

type rootState struct {
	Hash  evidence.Hash `json:"hash"`
	Doubt bool          `json:"doubt"`
}

type headState struct {
	Head     assay.Head `json:"head"`
	OpenedAt int64      `json:"opened_at"`
}

type revokedState struct {
	Agent    assay.AgentID `json:"agent"`
	Position int64         `json:"position"`
}

type erasedState struct {
	Key   hostMonths `json:"key"`
	Count absent     `json:"count"`
}

type deletedState struct {
	Segment int64  `json:"segment"`
	Count   absent `json:"count"`
}

// save makes a state of what the verifier knows.
func (v *verifier) save() ([]byte, error) {
	s := state{Version: stateVersion, Report: *v.report, Vouchers: v.vouchers, TreeSize: v.tree.size, TreeIndex: v.tree.index, Checkpoints: v.checkpoints, LastCheckpoint: v.lastCheckpoint}
	for _, n := range v.tree.roots {
		s.Roots = append(s.Roots, rootState{n.hash, n.doubt})
	}
	for _, stream := range v.streams {
		s.Streams = append(s.Streams, headState{stream.head, stream.openedAt})
	}
	for agent, position := range v.revoked {
		s.Revoked = append(s.Revoked, revokedState{agent, position})
	}
	for key, count := range v.absences.erased {
		s.Erased = append(s.Erased, erasedState{key, count})
	}
	for segment, count := range v.absences.deleted {
		s.Deleted = append(s.Deleted, deletedState{segment, count})
	}
	for month := range v.absences.excusedMonths {
		s.ExcusedMonths = append(s.ExcusedMonths, month)
	}
	for segment := range v.absences.excusedSegments {
		s.ExcusedSegment = append(s.ExcusedSegment, segment)
	}
	for id, host := range v.holds.standing {
		s.Holds = append(s.Holds, holdState{id, host})
	}
	for held := range v.holds.deleted {
		s.HeldDeleted = append(s.HeldDeleted, held)
	}
	for id, said := range v.findings {
		s.Findings = append(s.Findings, findingSaid{id, said})
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding verification: %w", err)
	}
	return text, nil
}

// errState is of a state that this version of the program did not write.
var errState = errors.New("the kept verification is of another version")

// load takes a state in again.
func (v *verifier) load(text []byte) error {
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.Version != stateVersion {
		return errState
	}
	*v.report, v.vouchers = s.Report, s.Vouchers
	v.tree.size, v.tree.index, v.checkpoints, v.lastCheckpoint = s.TreeSize, s.TreeIndex, s.Checkpoints, s.LastCheckpoint
	for _, n := range s.Roots {
		v.tree.roots = append(v.tree.roots, node{n.Hash, n.Doubt})
	}
	for _, stream := range s.Streams {
		v.streams[stream.Head.Stream] = &streamState{head: stream.Head, openedAt: stream.OpenedAt}
	}
	for _, r := range s.Revoked {
		v.revoked[r.Agent] = r.Position
	}
	for _, e := range s.Erased {
		v.absences.erased[e.Key] = e.Count
	}
	for _, d := range s.Deleted {
		v.absences.deleted[d.Segment] = d.Count
	}
	for _, month := range s.ExcusedMonths {
		v.absences.excusedMonths[month] = true
	}
	for _, segment := range s.ExcusedSegment {
		v.absences.excusedSegments[segment] = true
	}
	for _, hold := range s.Holds {
		v.holds.standing[hold.ID] = hold.Host
	}
	for _, held := range s.HeldDeleted {
		v.holds.deleted[held] = true
	}
	for _, f := range s.Findings {
		v.findings[f.ID] = f.Said
	}
	return nil
}

// resume returns where to begin: behind what an earlier run has verified, if one
// was kept that can be gone on with.
func (v *verifier) resume(ctx context.Context, store *postgres.Store) (from int64, err error) {
	kept, err := store.KeptVerification(ctx)
	switch {
	case assay.KindOf(err) == assay.NotFound:
		return 0, nil
	case err != nil:
		return 0, err
	case v.cfg.Now().Sub(kept.StartedAt) > keptFor, kept.Position > v.snapshot.Tree.Size:
		return 0, nil
	}
	text, ok := v.opened(&kept)
	if !ok {
		return 0, nil
	}
	if err := v.load(text); errors.Is(err, errState) {
		return 0, nil // nothing of it was taken in
	} else if err != nil {
		return 0, err
	}
	return kept.Position, nil
}

// keep keeps where the verifier is. Pages end where the signed tree does at the
// latest, so that what is kept is of the tree alone.
func (v *verifier) keep(ctx context.Context, store *postgres.Store, position int64) error {
	text, err := v.save()
	if err != nil {
		return err
	}
	kept := postgres.VerificationState{StartedAt: v.report.StartedAt, SavedAt: v.cfg.Now(), Position: position}
	kept.State = append(v.seal(&kept, text), text...)
	return store.KeepVerification(ctx, kept)
}

// opened returns what was kept without its seal. ok is false for what was not
// written with the key: whoever can alter the ledger in the database can write
// there as well that it was found good.
func (v *verifier) opened(kept *postgres.VerificationState) (text []byte, ok bool) {
	if len(kept.State) < sha256.Size {
		return nil, false
	}
	seal, text := kept.State[:sha256.Size], kept.State[sha256.Size:]
	return text, hmac.Equal(seal, v.seal(kept, text))
}

// seal is the HMAC-SHA-256 of the start (microseconds), the position, both big
// endian, and the text.
func (v *verifier) seal(kept *postgres.VerificationState, text []byte) []byte {
	mac := hmac.New(sha256.New, v.cfg.KeepKey)
	head := binary.BigEndian.AppendUint64(nil, uint64(kept.StartedAt.UnixMicro()))
	mac.Write(binary.BigEndian.AppendUint64(head, uint64(kept.Position)))
	mac.Write(text)
	return mac.Sum(nil)
}
