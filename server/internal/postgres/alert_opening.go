package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// AlertOpening is one opening of an alert with what people did about it, as
// their leaves say.
type AlertOpening struct {
	Host                     assay.HostID
	Alert                    assay.AlertID
	Number                   int
	Rule                     assay.RuleID
	Title                    string
	Level                    assay.Level
	At                       time.Time
	Position                 uint64
	AcknowledgeDue, CloseDue time.Time
	Acknowledged, Closed     AlertDeed
}

// AlertDeed is the first of its kind that was done in an opening.
type AlertDeed struct {
	At       time.Time
	Position uint64
}

// AlertOpenings returns the openings since a time of the alerts of some hosts,
// and what was done in them. Both are read from their leaves, which the ledger's
// tree binds: the rows beside them only say where the leaves are.
func (s *Store) AlertOpenings(ctx context.Context, hosts []assay.HostID, since time.Time) ([]AlertOpening, error) {
	rows, err := s.db.Query(ctx, `SELECT c.host_id, c.alert_id, c.kind, c.opening, c.position, l.data FROM alert_action c JOIN leaf l USING (position)
		WHERE c.host_id = ANY ($1) AND c.acted_at >= $2 AND c.kind IN ('open', 'reopen', 'acknowledge', 'close')
		ORDER BY c.host_id, c.alert_id, c.number`, uuids(hosts), since)
	if err != nil {
		return nil, translate("reading what was done about alerts", err)
	}
	var list []AlertOpening
	var host, alert [16]byte
	var kind string
	var number int
	var position int64
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&host, &alert, &kind, &number, &position, &data}, func() error {
		if kind == assay.ActionOpen || kind == assay.ActionReopen {
			o, err := readOpening(data, alert, uint64(position))
			if err != nil {
				return fmt.Errorf("opening %d: %w", position, err)
			}
			o.Host, o.Number = host, number
			list = append(list, o)
			return nil
		}
		n := len(list) - 1
		if n < 0 || list[n].Alert != alert || list[n].Number != number {
			return nil // of an opening before the time
		}
		deed, err := readDeed(data, kind, alert, uint64(position))
		if err != nil {
			return fmt.Errorf("deed %d: %w", position, err)
		}
		of := &list[n].Closed
		if kind == assay.ActionAcknowledge {
			of = &list[n].Acknowledged
		}
		if of.At.IsZero() {
			*of = deed
		}
		return nil
	})
	return list, translate("reading what was done about alerts", err)
}

// readOpening reads the leaf of an opening. One by a person is an operator's.
func readOpening(data []byte, alert assay.AlertID, position uint64) (AlertOpening, error) {
	o := AlertOpening{Alert: alert, Position: position}
	var record alertRecord
	if err := unmarshalLeaf(data, evidence.LeafAlert, &record); err != nil {
		return o, err
	}
	if record.Alert != alert.String() {
		return o, fmt.Errorf("its leaf is of alert %s", record.Alert)
	}
	level, err := assay.ParseLevel(record.Level)
	o.Level, o.Title, o.At, o.Rule = level, record.Title, record.At.UTC(), assay.RuleID{Pack: record.Pack, ID: record.Rule}
	o.AcknowledgeDue, o.CloseDue = record.AcknowledgeDue.UTC(), record.CloseDue.UTC()
	return o, err
}

// readDeed reads the operator's leaf of a deed, which names the alert.
func readDeed(data []byte, kind string, alert assay.AlertID, position uint64) (AlertDeed, error) {
	var entry assay.AuditEntry
	if err := unmarshalLeaf(data, evidence.LeafOperator, &entry); err != nil {
		return AlertDeed{}, err
	}
	named := entry.Subject == alert.String() || slices.Contains(strings.Fields(entry.Detail["alerts"]), alert.String())
	if entry.Action != "alert."+kind || !named {
		return AlertDeed{}, fmt.Errorf("its leaf is of the action %q on %s", entry.Action, entry.Subject)
	}
	return AlertDeed{At: entry.RecordedAt.UTC(), Position: position}, nil
}
