package agentapi

import (
	"context"
	"crypto/rand"
	"crypto/x509"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Enrol implements EnrolmentService. Everything that can be refused without
// the database is refused before it, and the token is looked at last: a guess
// costs the guesser a proof of a key each.
func (s *Server) Enrol(ctx context.Context, req *agentv1.EnrolRequest) (*agentv1.EnrolResponse, error) {
	key, spki, err := ca.RequestKey(req.GetCsr())
	if err != nil {
		return nil, s.refuseEnrolment("csr", err)
	}
	identity := req.GetHost()
	host := assay.Host{
		Name: identity.GetHostname(), Domain: identity.GetDomain(), OS: identity.GetOs(), OSVersion: identity.GetOsVersion(),
		SMBIOSUUID: identity.GetSmbiosUuid(), MachineID: identity.GetMachineId(), Simulated: identity.GetSimulated(),
	}
	if err := host.Validate(); err != nil {
		return nil, s.refuseEnrolment("identity", err)
	}
	kind := assay.KeyKind(identity.GetKeyKind())
	if !kind.Valid() {
		return nil, s.refuseEnrolment("identity", assay.Errorf(assay.Invalid, "the key kind is software or tpm"))
	}
	if err := assay.CheckText("agent version", req.GetAgentVersion(), 64); err != nil {
		return nil, s.refuseEnrolment("identity", err)
	}
	secret, err := assay.HashTokenSecret(req.GetToken())
	if err != nil {
		return nil, s.refuseEnrolment("token", err)
	}
	host.ID = assay.HostID(newID())
	agent, certificate, err := s.cfg.Store.Enrol(ctx, assay.AgentID(newID()), postgres.Enrolment{
		SecretHash: secret[:], Host: host, KeyKind: kind, PublicKey: spki, Version: req.GetAgentVersion(),
		Issue: func(id assay.AgentID) (assay.Certificate, error) { return s.cfg.Authority.IssueAgent(id, key) },
	})
	if err != nil {
		return nil, s.refuseEnrolment("token", err)
	}
	s.metrics.enrolled.Inc()
	s.cfg.Log.InfoContext(ctx, "agent enrolled", "agent_id", agent.ID.String(), "host_id", agent.HostID.String(),
		"token_id", agent.TokenID.String(), "address", callerOf(ctx).address.String(), "position", certificate.Position)
	return &agentv1.EnrolResponse{
		AgentId: agent.ID[:], HostId: agent.HostID[:], Certificate: certificate.DER, CaCertificates: s.cfg.Authority.Chain(),
		LedgerKey: s.cfg.Authority.LedgerKey(), Rights: rightTexts(agent.Rights),
	}, nil
}

func (s *Server) refuseEnrolment(reason string, err error) error {
	if kind := assay.KindOf(err); kind != assay.Unavailable && kind != assay.Internal {
		s.metrics.refused("enrol_" + reason)
	}
	return err
}

// Renew implements EnrolmentService. The request is signed by the agent's key;
// the certificate says whose it is, and may have expired a while ago.
func (s *Server) Renew(ctx context.Context, req *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	key, spki, err := ca.RequestKey(req.GetCsr())
	if err != nil {
		return nil, s.refuseEnrolment("csr", err)
	}
	if len(req.GetCertificate()) > ca.MaxCertificate {
		return nil, s.refuseEnrolment("certificate", assay.Errorf(assay.Invalid, "the certificate has %d bytes, at most %d", len(req.GetCertificate()), ca.MaxCertificate))
	}
	old, err := x509.ParseCertificate(req.GetCertificate())
	if err != nil {
		return nil, s.refuseEnrolment("certificate", &assay.Error{Kind: assay.Invalid, Msg: "the certificate cannot be read", Err: err})
	}
	id, err := s.cfg.Authority.VerifyRenewal(old)
	if err != nil {
		return nil, s.refuseEnrolment("certificate", err)
	}
	if !key.Equal(old.PublicKey) {
		return nil, s.refuseEnrolment("key", assay.Errorf(assay.Denied, "the request is not by the certificate's key"))
	}
	agent, certificate, err := s.cfg.Store.Renew(ctx, postgres.Renewal{
		Serial: ca.SerialBytes(old.SerialNumber), DER: old.Raw,
		Issue: func(agent *assay.Agent) (assay.Certificate, error) {
			if agent.ID != id || string(agent.PublicKey) != string(spki) {
				return assay.Certificate{}, assay.Errorf(assay.Denied, "the request is not by the agent's key")
			}
			return s.cfg.Authority.IssueAgent(agent.ID, key)
		},
	})
	if err != nil {
		return nil, s.refuseEnrolment("certificate", err)
	}
	s.metrics.renewed.Inc()
	s.cfg.Log.InfoContext(ctx, "certificate renewed", "agent_id", agent.ID.String(), "position", certificate.Position)
	return &agentv1.RenewResponse{Certificate: certificate.DER, CaCertificates: s.cfg.Authority.Chain(), LedgerKey: s.cfg.Authority.LedgerKey()}, nil
}

// newID draws a random UUID.
func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails: the program ends if the system has no randomness
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func rightTexts(rights []assay.Right) []string {
	texts := make([]string, len(rights))
	for i, right := range rights {
		texts[i] = string(right)
	}
	return texts
}
