package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Verification is one run of the verifier, as it is kept.
type Verification struct {
	ID                    [16]byte
	StartedAt, FinishedAt time.Time
	// Size is how much of the ledger was verified.
	Size int64
	// Problems name every fault; none is a good verification.
	Problems []string
}

// RecordVerification keeps the outcome of a run.
func (s *Store) RecordVerification(ctx context.Context, v Verification) error {
	_, err := s.db.Exec(ctx, `INSERT INTO ledger_verification (id, started_at, finished_at, size, problems) VALUES ($1, $2, $3, $4, $5)`,
		v.ID, v.StartedAt, v.FinishedAt, v.Size, orEmpty(v.Problems))
	return translate("recording verification", err)
}

// LedgerSnapshot is what changes in the ledger, as of one instant. Everything
// else below its Size never does.
type LedgerSnapshot struct {
	Size    int64
	Tree    Tree
	Streams []StreamRow
	// RevokedAgents are those whose rows say so.
	RevokedAgents []assay.AgentID
	// StrayCheckpoints are the sizes of checkpoints that no tree so far can
	// have, StrayHashes the number of tree hashes beyond the tree of Tree.Size,
	// which has HashCount of them.
	StrayCheckpoints []int64
	StrayHashes      int64
	// Keys are the ledger's, oldest first: those whose rows can be read.
	Keys []LedgerKey
	// Findings are what the rows of all findings say: read later they would say
	// more than the leaves below Size.
	Findings []FindingState
	// StrayRows are of retention and of alerts.
	StrayRows []StrayRow
}

// StreamRow is a stream's row in full.
type StreamRow struct {
	assay.Head
	Lane     int16
	Revoked  bool
	OpenedAt time.Time
	Host     assay.HostID
}

// LedgerSnapshot reads it in one transaction. hashCount is how many stored
// hashes a tree of a size has.
func (s *Store) LedgerSnapshot(ctx context.Context, hashCount func(size int64) int64) (snapshot LedgerSnapshot, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY`); err != nil {
			return fmt.Errorf("fixing the snapshot: %w", err)
		}
		if snapshot.Tree, snapshot.Size, err = readTree(ctx, tx); err != nil {
			return err
		}
		if snapshot.Streams, err = readStreams(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id FROM agent WHERE revoked_at IS NOT NULL`)
		if err != nil {
			return fmt.Errorf("reading revoked agents: %w", err)
		}
		revoked, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
		if err != nil {
			return fmt.Errorf("reading revoked agents: %w", err)
		}
		for _, id := range revoked {
			snapshot.RevokedAgents = append(snapshot.RevokedAgents, id)
		}
		err = tx.QueryRow(ctx, `SELECT (SELECT coalesce(array_agg(size ORDER BY size), '{}') FROM checkpoint WHERE size < 1 OR size > $1),
			(SELECT count(*) FROM ledger_hash WHERE index < 0 OR index >= $2)`, snapshot.Tree.Size, hashCount(snapshot.Tree.Size)).
			Scan(&snapshot.StrayCheckpoints, &snapshot.StrayHashes)
		if err != nil {
			return fmt.Errorf("looking for stray rows: %w", err)
		}
		if snapshot.Keys, err = legibleKeys(ctx, tx); err != nil {
			return err
		}
		if snapshot.StrayRows, err = readStrayRows(ctx, tx, snapshot.Size); err != nil {
			return err
		}
		alerts, err := readStrayAlerts(ctx, tx, snapshot.Size)
		if err != nil {
			return err
		}
		snapshot.StrayRows = append(snapshot.StrayRows, alerts...)
		snapshot.Findings, err = readFindingStates(ctx, tx)
		return err
	})
	return snapshot, translate("reading ledger snapshot", err)
}

// legibleKeys leaves out what cannot be read: its leaf will tell.
func legibleKeys(ctx context.Context, tx pgx.Tx) ([]LedgerKey, error) {
	rows, err := tx.Query(ctx, `SELECT position, body FROM leaf_record WHERE kind = $1 ORDER BY position`, int16(evidence.LeafKey))
	if err != nil {
		return nil, fmt.Errorf("reading ledger keys: %w", err)
	}
	var keys []LedgerKey
	var position int64
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&position, &body}, func() error {
		key := LedgerKey{Position: position}
		if evidence.Decode(body, &key.KeyRecord) == nil {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading ledger keys: %w", err)
	}
	return keys, nil
}

func readStreams(ctx context.Context, tx pgx.Tx) ([]StreamRow, error) {
	rows, err := tx.Query(ctx, `SELECT s.lane, s.revoked, s.opened_at, a.host_id, s.id, s.agent_id, s.kind, s.epoch, s.number, s.hash,
		s.next_sequence, s.position, s.committed_at FROM stream s JOIN agent a ON a.id = s.agent_id`)
	if err != nil {
		return nil, fmt.Errorf("reading streams: %w", err)
	}
	streams, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (StreamRow, error) {
		var r headRow
		var stream StreamRow
		err := row.Scan(append([]any{&stream.Lane, &stream.Revoked, &stream.OpenedAt, (*[16]byte)(&stream.Host)}, r.into()...)...)
		stream.Head, stream.OpenedAt = r.finish(), stream.OpenedAt.UTC()
		return stream, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading streams: %w", err)
	}
	return streams, nil
}

// LedgerPage is what the tables hold of the positions [From, To).
type LedgerPage struct {
	From, To     int64
	Leaves       []LeafRow
	Batches      map[int64]BatchRow
	Forks        map[int64]BatchRow
	Epochs       map[int64]EpochRow
	Certificates map[int64]CertificateRow
	// Records are the rows beside leaves of runs, transitions, deeds, policy and retention.
	Records map[int64]RecordRow
	// Deeds are what rows say was done to alerts beside a user's leaf, in the form of
	// NormalDeed.
	Deeds map[int64][]byte
	// Signers are the certificates that the batches and forks name, by serial.
	Signers map[string]CertificateRow
	// Checkpoints are those of sizes in (From, To], by size.
	Checkpoints map[int64]Checkpoint
	// Hashes are the stored hashes that the page's leaves added, by index.
	Hashes map[int64]evidence.Hash
}

// LeafRow is a row of leaf.
type LeafRow struct {
	Position int64
	Kind     int16
	Data     []byte
}

// BatchRow is a row of batch, or of fork without a lane.
type BatchRow struct {
	Position                               int64
	Stream                                 assay.StreamID
	Lane                                   int16
	Epoch                                  int32
	Number                                 int64
	Serial, Header, HeadSignature, Payload []byte
	Absence                                Absence // why there is no Payload
	ReceivedAt                             time.Time
}

// EpochRow is a row of epoch.
type EpochRow struct {
	Position  int64
	Stream    assay.StreamID
	Epoch     int32
	Opening   []byte
	GrantedAt time.Time
}

// CertificateRow is a row of certificate, with what its agent's row adds.
type CertificateRow struct {
	assay.Certificate
	Host      assay.HostID
	PublicKey []byte
}

// LedgerPage reads the page [from, to) and the stored hashes [firstHash, endHash).
func (s *Store) LedgerPage(ctx context.Context, from, to, firstHash, endHash int64) (*LedgerPage, error) {
	p := &LedgerPage{From: from, To: to, Batches: map[int64]BatchRow{}, Forks: map[int64]BatchRow{}, Epochs: map[int64]EpochRow{},
		Certificates: map[int64]CertificateRow{}, Records: map[int64]RecordRow{}, Deeds: map[int64][]byte{}, Signers: map[string]CertificateRow{}, Checkpoints: map[int64]Checkpoint{}, Hashes: map[int64]evidence.Hash{}}
	b := &pgx.Batch{}
	p.queueRows(b)
	p.queueRecords(b)
	p.queueTree(b, firstHash, endHash)
	err := s.inTx(ctx, func(tx pgx.Tx) error { return tx.SendBatch(ctx, b).Close() })
	if err != nil {
		return nil, translate("reading ledger page", err)
	}
	for _, batches := range []map[int64]BatchRow{p.Batches, p.Forks} {
		if err := s.openRows(ctx, batches); err != nil {
			return nil, err
		}
	}
	return p, translate("reading signers", p.readSigners(ctx, s.db))
}

func (p *LedgerPage) queueRows(b *pgx.Batch) {
	b.Queue(`SELECT position, kind, data FROM leaf WHERE position >= $1 AND position < $2 ORDER BY position`, p.From, p.To).Query(func(rows pgx.Rows) error {
		leaves, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LeafRow])
		p.Leaves = leaves
		return err
	})
	scan := func(into map[int64]BatchRow) func(pgx.Rows) error {
		return func(rows pgx.Rows) error {
			for rows.Next() {
				var r BatchRow
				err := rows.Scan(&r.Position, (*[16]byte)(&r.Stream), &r.Lane, &r.Epoch, &r.Number, &r.Serial, &r.ReceivedAt, &r.Header, &r.HeadSignature, &r.Payload)
				if err != nil {
					return err
				}
				into[r.Position] = r
			}
			return rows.Err()
		}
	}
	b.Queue(`SELECT position, stream_id, lane, epoch, number, certificate_serial, received_at, header, head_signature, payload
		FROM batch WHERE position >= $1 AND position < $2`, p.From, p.To).Query(scan(p.Batches))
	b.Queue(`SELECT position, stream_id, 0::smallint, epoch, number, certificate_serial, received_at, header, head_signature, payload
		FROM fork WHERE position >= $1 AND position < $2`, p.From, p.To).Query(scan(p.Forks))
	b.Queue(`SELECT position, stream_id, epoch, opening, granted_at FROM epoch WHERE position >= $1 AND position < $2`, p.From, p.To).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var r EpochRow
				if err := rows.Scan(&r.Position, (*[16]byte)(&r.Stream), &r.Epoch, &r.Opening, &r.GrantedAt); err != nil {
					return err
				}
				p.Epochs[r.Position] = r
			}
			return rows.Err()
		})
	b.Queue(certificateQuery+` WHERE c.position >= $1 AND c.position < $2`, p.From, p.To).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			r, err := scanCertificate(rows)
			if err != nil {
				return err
			}
			p.Certificates[r.Position] = r
		}
		return rows.Err()
	})
}

func (p *LedgerPage) queueTree(b *pgx.Batch, firstHash, endHash int64) {
	b.Queue(`SELECT size, root, note, signed_at FROM checkpoint WHERE size > $1 AND size <= $2`, p.From, p.To).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var c Checkpoint
			var root []byte
			if err := rows.Scan(&c.Size, &root, &c.Note, &c.SignedAt); err != nil {
				return err
			}
			copy(c.Root[:], root)
			p.Checkpoints[c.Size] = c
		}
		return rows.Err()
	})
	b.Queue(`SELECT index, hash FROM ledger_hash WHERE index >= $1 AND index < $2`, firstHash, endHash).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var index int64
			var hash []byte
			if err := rows.Scan(&index, &hash); err != nil {
				return err
			}
			p.Hashes[index] = evidence.Hash(hash)
		}
		return rows.Err()
	})
}

const certificateQuery = `SELECT c.serial, c.agent_id, c.der, c.not_before, c.not_after, c.position, a.host_id, a.public_key
	FROM certificate c JOIN agent a ON a.id = c.agent_id`

func scanCertificate(row pgx.CollectableRow) (r CertificateRow, err error) {
	err = row.Scan(&r.Serial, (*[16]byte)(&r.AgentID), &r.DER, &r.NotBefore, &r.NotAfter, &r.Position, (*[16]byte)(&r.Host), &r.PublicKey)
	return r, err
}

// readSigners reads the certificates that the page's batches and forks name.
func (p *LedgerPage) readSigners(ctx context.Context, q manyQuerier) error {
	wanted := map[string]bool{}
	for _, rows := range []map[int64]BatchRow{p.Batches, p.Forks} {
		for _, r := range rows {
			wanted[string(r.Serial)] = true
		}
	}
	serials := make([][]byte, 0, len(wanted))
	for serial := range wanted {
		serials = append(serials, []byte(serial))
	}
	rows, err := q.Query(ctx, certificateQuery+` WHERE c.serial = ANY ($1)`, serials)
	if err != nil {
		return err
	}
	signers, err := pgx.CollectRows(rows, scanCertificate)
	for _, r := range signers {
		p.Signers[string(r.Serial)] = r
	}
	return err
}
