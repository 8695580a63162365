package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// recordCertificate appends the leaf of an issue and keeps the certificate.
func (s *Store) recordCertificate(ctx context.Context, tx pgx.Tx, agent *assay.Agent, c *assay.Certificate) (position int64, err error) {
	body, err := evidence.Encode(evidence.CertificateRecord{
		Action: evidence.CertificateIssued, Agent: evidence.ID(agent.ID), Host: evidence.ID(agent.HostID),
		Serial: hex.EncodeToString(c.Serial), SHA256: sha256.Sum256(c.DER), KeyKind: string(agent.KeyKind),
		NotBefore: evidence.Ticks(c.NotBefore), NotAfter: evidence.Ticks(c.NotAfter),
	})
	if err != nil {
		return 0, err
	}
	position, err = s.AppendLeaves(ctx, tx, []evidence.Leaf{{Kind: evidence.LeafCertificate, Body: body}})
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO certificate (serial, agent_id, der, not_before, not_after, position) VALUES ($1, $2, $3, $4, $5, $6)`,
		c.Serial, [16]byte(c.AgentID), c.DER, c.NotBefore, c.NotAfter, position)
	if err != nil {
		return 0, fmt.Errorf("inserting certificate: %w", err)
	}
	return position, nil
}

// AgentByCertificate returns the agent that the certificate der, with the given
// serial, was issued to. A certificate that is not among those issued, byte for
// byte, is Unauthentic.
func (s *Store) AgentByCertificate(ctx context.Context, serial, der []byte) (assay.Agent, error) {
	agent, stored, err := agentByCertificate(ctx, s.db, serial, "")
	if err == nil && !bytes.Equal(stored, der) {
		err = errNotOurs
	}
	return agent, translate("reading certificate", unknownCertificate(err))
}

// Renewal exchanges a certificate for a new one by the same key.
type Renewal struct {
	Serial, DER []byte
	Issue       func(*assay.Agent) (assay.Certificate, error)
}

// Renew issues and records a new certificate for the agent of the old one. It
// is Unauthentic if that is not one of ours and Denied if the agent is revoked;
// what else must hold is for Issue to judge.
func (s *Store) Renew(ctx context.Context, r Renewal) (agent assay.Agent, certificate assay.Certificate, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var stored []byte
		// The lock keeps a revocation from getting its position before this issue does.
		agent, stored, err = agentByCertificate(ctx, tx, r.Serial, "FOR UPDATE OF a")
		if err == nil && !bytes.Equal(stored, r.DER) {
			err = errNotOurs
		}
		if err != nil {
			return unknownCertificate(err)
		}
		if agent.Revoked() {
			return assay.Errorf(assay.Denied, "the agent is revoked")
		}
		if certificate, err = r.Issue(&agent); err != nil {
			return err
		}
		certificate.Position, err = s.recordCertificate(ctx, tx, &agent, &certificate)
		return err
	})
	return agent, certificate, translate("renewing certificate", err)
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// agentByCertificate reads an agent by a certificate's serial; lock is a locking
// clause of ours or empty.
func agentByCertificate(ctx context.Context, q querier, serial []byte, lock string) (assay.Agent, []byte, error) {
	var r agentRow
	var der []byte
	err := q.QueryRow(ctx, `SELECT c.der, `+agentColumns+` FROM certificate c JOIN agent a ON a.id = c.agent_id WHERE c.serial = $1 `+lock, serial).
		Scan(append([]any{&der}, r.into()...)...)
	return r.finish(), der, err
}

func unknownCertificate(err error) error {
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, errNotOurs) {
		return &assay.Error{Kind: assay.Unauthentic, Msg: "the certificate is not one that this server issued", Err: err}
	}
	return err
}
