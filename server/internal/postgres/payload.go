package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Vault has the keys under which payloads rest.
type Vault interface {
	// Seal returns what is stored of a payload of the host, received at about
	// that time.
	Seal(ctx context.Context, host assay.HostID, at time.Time, payload []byte) ([]byte, error)
	// Open returns the payload again. It is NotFound once it was erased, Invalid
	// where what is stored was altered.
	Open(ctx context.Context, host assay.HostID, stored []byte) ([]byte, error)
}

// Archive has what was stored of batches whose payloads left Postgres.
type Archive interface {
	// Payloads returns what was stored of the payloads of batches of one object,
	// in the order asked for. It is Invalid where the object is not what it was.
	Payloads(ctx context.Context, object string, positions []int64) ([][]byte, error)
}

// Absence says why a batch's payload is not to be had.
type Absence uint8

// The reasons.
const (
	Present Absence = iota
	Erased          // its key was deleted
	Deleted         // its segment was deleted from the archive
	Damaged         // it is there, and not what was stored
)

func (a Absence) String() string {
	switch a {
	case Present:
		return "it is there"
	case Erased:
		return "it was erased"
	case Deleted:
		return "its segment was deleted from the archive when its retention ended"
	case Damaged:
		return "what is stored of it was altered"
	}
	return "unknown"
}

// seal returns what is to be stored of the batches' payloads.
func (s *Store) seal(ctx context.Context, batches []*assay.Batch) ([][]byte, error) {
	sealed := make([][]byte, len(batches))
	at := s.clock()
	for i, b := range batches {
		sealed[i] = b.Payload
		if s.vault == nil {
			continue
		}
		var err error
		if sealed[i], err = s.vault.Seal(ctx, b.Host, at, b.Payload); err != nil {
			return nil, fmt.Errorf("sealing payload: %w", err)
		}
	}
	return sealed, nil
}

// resting is a stored payload that is to be opened where it is.
type resting struct {
	position int64
	host     assay.HostID
	payload  *[]byte
	absence  *Absence
}

// openAll opens the payloads of batches as they are stored. An error is of the
// moment: what is lost for good is told by each batch's Absence.
func (s *Store) openAll(ctx context.Context, batches []StoredBatch) error {
	list := make([]resting, len(batches))
	for i := range batches {
		b := &batches[i]
		list[i] = resting{int64(b.Position), b.Host, &b.Payload, &b.Absence}
	}
	return s.open(ctx, list)
}

func (s *Store) open(ctx context.Context, list []resting) error {
	if err := s.fetch(ctx, list); err != nil {
		return err
	}
	for _, r := range list {
		if s.vault == nil || *r.absence != Present {
			continue
		}
		payload, err := s.vault.Open(ctx, r.host, *r.payload)
		switch assay.KindOf(err) {
		case assay.NotFound:
			*r.absence, payload = Erased, nil
		case assay.Invalid:
			*r.absence, payload = Damaged, nil
		default:
			if err != nil {
				return fmt.Errorf("opening payload at position %d: %w", r.position, err)
			}
		}
		*r.payload = payload
	}
	return nil
}

// fetch reads the payloads that are in the archive from there.
func (s *Store) fetch(ctx context.Context, list []resting) error {
	bySegment := map[int64][]resting{}
	for _, r := range list {
		if *r.payload == nil {
			bySegment[r.position/SegmentSize] = append(bySegment[r.position/SegmentSize], r)
		}
	}
	for segment, missing := range bySegment {
		if err := s.fetchSegment(ctx, segment, missing); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) fetchSegment(ctx context.Context, segment int64, missing []resting) error {
	archived, err := s.ArchivedSegment(ctx, segment)
	switch {
	case assay.KindOf(err) == assay.NotFound:
		// A payload was set to null by a hand that was not ours.
		return absent(missing, Damaged)
	case err != nil:
		return err
	case !archived.DeletedAt.IsZero():
		return absent(missing, Deleted)
	case s.archive == nil:
		return assay.Errorf(assay.Unavailable, "segment %d is in the archive, and this program was not told where that is (--archive)", segment)
	}
	positions := make([]int64, len(missing))
	for i, r := range missing {
		positions[i] = r.position
	}
	payloads, err := s.archive.Payloads(ctx, archived.Object, positions)
	if assay.KindOf(err) == assay.Invalid || assay.KindOf(err) == assay.NotFound {
		return absent(missing, Damaged)
	}
	if err != nil {
		return fmt.Errorf("reading segment %d from the archive: %w", segment, err)
	}
	for i, r := range missing {
		*r.payload = payloads[i]
	}
	return nil
}

func absent(list []resting, why Absence) error {
	for _, r := range list {
		*r.absence = why
	}
	return nil
}

// openRows opens the payloads of a ledger page.
func (s *Store) openRows(ctx context.Context, rows map[int64]BatchRow) error {
	if len(rows) == 0 {
		return nil
	}
	hosts, err := s.streamHosts(ctx, rows)
	if err != nil {
		return err
	}
	opened := make([]BatchRow, 0, len(rows))
	for _, r := range rows {
		opened = append(opened, r)
	}
	list := make([]resting, len(opened))
	for i := range opened {
		r := &opened[i]
		list[i] = resting{r.Position, hosts[r.Stream], &r.Payload, &r.Absence}
	}
	if err := s.open(ctx, list); err != nil {
		return err
	}
	for _, r := range opened {
		rows[r.Position] = r
	}
	return nil
}

func (s *Store) streamHosts(ctx context.Context, batches map[int64]BatchRow) (map[assay.StreamID]assay.HostID, error) {
	var ids [][16]byte
	hosts := map[assay.StreamID]assay.HostID{}
	for _, r := range batches {
		if _, ok := hosts[r.Stream]; !ok {
			hosts[r.Stream] = assay.HostID{}
			ids = append(ids, r.Stream)
		}
	}
	rows, err := s.db.Query(ctx, `SELECT s.id, a.host_id FROM stream s JOIN agent a ON a.id = s.agent_id WHERE s.id = ANY ($1)`, ids)
	if err != nil {
		return nil, translate("reading hosts of streams", err)
	}
	var stream, host [16]byte
	_, err = pgx.ForEachRow(rows, []any{&stream, &host}, func() error {
		hosts[stream] = host
		return nil
	})
	return hosts, translate("reading hosts of streams", err)
}
