package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// absences are the payloads that are not there, and the leaves that say why. A
// leaf comes after the batches that it is of, so they are compared at the end.
type absences struct {
	erased  map[hostMonths]absent
	deleted map[int64]absent // by segment
	// excused are what the leaves name.
	excusedMonths   map[hostMonth]bool
	excusedSegments map[int64]bool
}

type hostMonth struct {
	Host  assay.HostID `json:"host"`
	Month string       `json:"month"`
}

// hostMonths are a month and, at the turn of two, the one before, whose key it
// may have been that sealed a payload.
type hostMonths struct {
	Host  assay.HostID `json:"host"`
	Month string       `json:"month"`
	// Before is "" but for the first moments of a month.
	Before string `json:"before,omitempty"`
}

// absent counts payloads, and names the first.
type absent struct {
	Count int64 `json:"count"`
	First int64 `json:"first"`
}

func (a absent) and(position int64) absent {
	if a.Count == 0 {
		a.First = position
	}
	a.Count++
	return a
}

func newAbsences() absences {
	return absences{erased: map[hostMonths]absent{}, deleted: map[int64]absent{}, excusedMonths: map[hostMonth]bool{}, excusedSegments: map[int64]bool{}}
}

// sealedBefore is how long before its receipt was recorded a payload may have
// been sealed: at the turn of a month, under the key of the one before.
const sealedBefore = time.Minute

func (a *absences) note(row *postgres.BatchRow, host assay.HostID) {
	if row.Absence == postgres.Deleted {
		segment := row.Position / postgres.SegmentSize
		a.deleted[segment] = a.deleted[segment].and(row.Position)
		return
	}
	key := hostMonths{Host: host, Month: row.ReceivedAt.UTC().Format("2006-01")}
	if before := row.ReceivedAt.UTC().Add(-sealedBefore).Format("2006-01"); before != key.Month {
		key.Before = before
	}
	a.erased[key] = a.erased[key].and(row.Position)
}

func (v *verifier) hostOf(stream assay.StreamID) assay.HostID {
	if row := v.rows[stream]; row != nil {
		return row.Host
	}
	return assay.HostID{}
}

func (v *verifier) erasureLeaf(position int64, leaf *evidence.Leaf) {
	var record evidence.ErasureRecord
	if err := evidence.Decode(leaf.Body, &record); err != nil {
		v.problem("leaf", position, err.Error())
		return
	}
	v.underHold(position, &record)
	switch record.Action {
	case evidence.ErasureDone:
		v.absences.excusedMonths[hostMonth{assay.HostID(record.Host), record.Month}] = true
	case evidence.SegmentDeleted:
		v.absences.excusedSegments[record.Segment] = true
	}
}

// laterErasures reads the leaves that were appended since the verification began,
// where a payload is missing that none so far excuses: it may have been erased
// meanwhile. That those leaves are in the tree is for the next verification.
func (v *verifier) laterErasures(ctx context.Context, store *postgres.Store) error {
	if v.absences.excused() {
		return nil
	}
	size, err := store.LedgerSize(ctx)
	if err != nil {
		return err
	}
	for from := v.snapshot.Size; from < int64(size); from += v.cfg.Page {
		leaves, err := store.Leaves(ctx, from, min(from+v.cfg.Page, int64(size)))
		if err != nil {
			return err
		}
		for i, data := range leaves {
			leaf, err := evidence.ParseLeaf(data)
			switch {
			case err != nil:
			case leaf.Kind == evidence.LeafErasure:
				v.erasureLeaf(from+int64(i), &leaf)
			case leaf.Kind == evidence.LeafHold: // one that was released lets what it held be erased
				v.holdLeaf(from+int64(i), &leaf)
			}
		}
	}
	return nil
}

// excused reports whether a leaf speaks of all that is missing.
func (a *absences) excused() bool {
	for key := range a.erased {
		if !a.excusesMonth(key) {
			return false
		}
	}
	for segment := range a.deleted {
		if !a.excusedSegments[segment] {
			return false
		}
	}
	return true
}

func (a *absences) excusesMonth(key hostMonths) bool {
	return a.excusedMonths[hostMonth{key.Host, key.Month}] || a.excusedMonths[hostMonth{key.Host, key.Before}]
}

// finishAbsences names what is missing under no leaf.
func (v *verifier) finishAbsences() {
	for key, a := range v.absences.erased {
		if v.absences.excusesMonth(key) {
			v.report.Absent += a.Count
			continue
		}
		v.problem("payload", a.First, fmt.Sprintf("the key that opens it is missing, and no leaf says that what host %s sent in %s was erased (%d batches)", key.Host, key.Month, a.Count))
	}
	for segment, a := range v.absences.deleted {
		if v.absences.excusedSegments[segment] {
			v.report.Absent += a.Count
			continue
		}
		v.problem("payload", a.First, fmt.Sprintf("it is missing, and no leaf says that segment %d was deleted (%d batches)", segment, a.Count))
	}
}
