package consoleapi

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
)

type agentService struct{ *Server }

const (
	maxTokens     = 1000
	maxTokenHours = 24 * 90
)

// ListAgents implements AgentService.
func (s *agentService) ListAgents(ctx context.Context, req *connect.Request[consolev1.ListAgentsRequest]) (*connect.Response[consolev1.ListAgentsResponse], error) {
	agents, err := s.cfg.Store.AgentList(ctx)
	if err != nil {
		return nil, err
	}
	part, next, err := window(agents, req.Msg.GetPage())
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListAgentsResponse{NextPageToken: next}
	for i := range part {
		a := &part[i]
		m := &consolev1.Agent{
			Id: a.ID.String(), HostId: a.HostID.String(), HostName: a.HostName, Version: a.Version, KeyKind: string(a.KeyKind),
			EnrolledAt: stamp(a.EnrolledAt), LastSeenAt: stamp(a.LastSeenAt), RevokedAt: stamp(a.RevokedAt),
			RevokedReason: a.RevokedReason, CertificateExpiresAt: stamp(a.CertificateExpiresAt),
		}
		for _, right := range a.Rights {
			m.Rights = append(m.Rights, string(right))
		}
		res.Agents = append(res.Agents, m)
	}
	return connect.NewResponse(res), nil
}

// RevokeAgent implements AgentService.
func (s *agentService) RevokeAgent(ctx context.Context, req *connect.Request[consolev1.RevokeAgentRequest]) (*connect.Response[consolev1.RevokeAgentResponse], error) {
	id, err := assay.ParseAgentID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	revocation := assay.Revocation{
		Agent: id, Reason: req.Msg.GetReason(), By: sessionOf(ctx).User.Name, CompromisedSince: timeOf(req.Msg.GetCompromisedSince()),
	}
	if _, err := s.cfg.Store.RevokeAgent(ctx, revocation); err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.RevokeAgentResponse{Agent: &consolev1.Agent{
		Id: id.String(), RevokedAt: stamp(s.cfg.Now()), RevokedReason: revocation.Reason,
	}}), nil
}

// ListTokens implements AgentService.
func (s *agentService) ListTokens(ctx context.Context, _ *connect.Request[consolev1.ListTokensRequest]) (*connect.Response[consolev1.ListTokensResponse], error) {
	tokens, err := s.cfg.Store.Tokens(ctx, maxTokens)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListTokensResponse{}
	for i := range tokens {
		res.Tokens = append(res.Tokens, tokenMessage(&tokens[i]))
	}
	return connect.NewResponse(res), nil
}

// CreateToken implements AgentService.
func (s *agentService) CreateToken(ctx context.Context, req *connect.Request[consolev1.CreateTokenRequest]) (*connect.Response[consolev1.CreateTokenResponse], error) {
	m := req.Msg
	if m.GetValidHours() > maxTokenHours {
		return nil, assay.Errorf(assay.Invalid, "a token is valid for at most %d hours", maxTokenHours)
	}
	secret, hash := assay.NewTokenSecret()
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	token := assay.Token{
		ID: assay.TokenID(uuid.New()), Name: m.GetName(), SecretHash: hash, Tags: m.GetTags(), UsesLeft: int(m.GetUses()),
		CreatedAt: now, CreatedBy: sessionOf(ctx).User.Name, ExpiresAt: now.Add(time.Duration(m.GetValidHours()) * time.Hour),
	}
	for _, right := range m.GetRights() {
		token.Rights = append(token.Rights, assay.Right(right))
	}
	if err := s.cfg.Store.CreateToken(ctx, token); err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.CreateTokenResponse{
		Token: tokenMessage(&token), Secret: secret, CaHash: s.cfg.CAHash, Server: s.cfg.AgentAddress,
	}), nil
}

// RevokeToken implements AgentService.
func (s *agentService) RevokeToken(ctx context.Context, req *connect.Request[consolev1.RevokeTokenRequest]) (*connect.Response[consolev1.RevokeTokenResponse], error) {
	id, err := assay.ParseTokenID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Store.RevokeToken(ctx, id, sessionOf(ctx).User.Name); err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.RevokeTokenResponse{Token: &consolev1.Token{Id: id.String(), RevokedAt: stamp(s.cfg.Now())}}), nil
}

func tokenMessage(t *assay.Token) *consolev1.Token {
	m := &consolev1.Token{
		Id: t.ID.String(), Name: t.Name, Tags: t.Tags, UsesLeft: uint32(max(0, t.UsesLeft)), CreatedBy: t.CreatedBy,
		CreatedAt: stamp(t.CreatedAt), ExpiresAt: stamp(t.ExpiresAt), RevokedAt: stamp(t.RevokedAt),
	}
	for _, right := range t.Rights {
		m.Rights = append(m.Rights, string(right))
	}
	return m
}
