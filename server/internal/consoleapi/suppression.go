package consoleapi

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
)

type suppressionService struct{ *Server }

// ListSuppressions implements SuppressionService.
func (s *suppressionService) ListSuppressions(ctx context.Context, req *connect.Request[consolev1.ListSuppressionsRequest]) (*connect.Response[consolev1.ListSuppressionsResponse], error) {
	m := req.Msg
	if state := m.GetState(); state != "" && state != "active" && state != "ended" {
		return nil, assay.Errorf(assay.Invalid, "a suppression's state is active or ended, not %q", state)
	}
	host, err := optionalHost(m.GetHost())
	if err != nil {
		return nil, err
	}
	all, err := s.cfg.Store.Suppressions(ctx)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	all = slices.DeleteFunc(all, func(p assay.Suppression) bool {
		return m.GetState() != "" && p.Active(now) != (m.GetState() == "active") || m.GetPack() != "" && p.Scope.Rule.Pack != m.GetPack() ||
			m.GetRule() != "" && p.Scope.Rule.ID != m.GetRule() || host != nil && p.Scope.Host != *host
	})
	part, next, err := window(all, m.GetPage())
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListSuppressionsResponse{NextPageToken: next, Total: uint32(len(all))}
	res.Suppressions, err = s.messages(ctx, part, now)
	return connect.NewResponse(res), err
}

// messages names what the scopes refer to.
func (s *suppressionService) messages(ctx context.Context, list []assay.Suppression, now time.Time) ([]*consolev1.Suppression, error) {
	if len(list) == 0 {
		return nil, nil
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	titles := map[assay.RuleID]string{}
	out := make([]*consolev1.Suppression, len(list))
	for i := range list {
		p := &list[i]
		out[i] = suppressionMessage(p, now)
		if p.Scope.Host != (assay.HostID{}) {
			out[i].HostName = names[p.Scope.Host]
		}
		if p.Scope.Rule.ID == "" {
			continue
		}
		title, known := titles[p.Scope.Rule]
		if !known {
			title, err = s.ruleTitle(ctx, p.Scope.Rule)
			if err != nil {
				return nil, err
			}
			titles[p.Scope.Rule] = title
		}
		out[i].RuleTitle = title
	}
	return out, nil
}

// ruleTitle is empty for a rule that the version in force does not have.
func (s *suppressionService) ruleTitle(ctx context.Context, id assay.RuleID) (string, error) {
	text, err := s.cfg.Store.RuleText(ctx, id, "")
	if assay.KindOf(err) == assay.NotFound {
		return "", nil
	}
	return text.Title, err
}

func suppressionMessage(p *assay.Suppression, now time.Time) *consolev1.Suppression {
	m := &consolev1.Suppression{
		Id: p.ID.String(), Owner: p.Owner, Reason: p.Reason, CreatedBy: p.CreatedBy, CreatedAt: stamp(p.CreatedAt), ExpiresAt: stamp(p.ExpiresAt),
		EndedAt: stamp(p.EndedAt), EndedBy: p.EndedBy, EndedReason: p.EndedReason, State: "ended", Count: p.Count, LastAt: stamp(p.LastAt), Position: p.Position,
		Scope: &consolev1.SuppressionScope{Pack: p.Scope.Rule.Pack, Rule: p.Scope.Rule.ID, Tag: p.Scope.Tag},
	}
	if p.Active(now) {
		m.State = "active"
	}
	if p.Scope.Host != (assay.HostID{}) {
		m.Scope.Host = p.Scope.Host.String()
	}
	for _, c := range p.Scope.Conditions {
		m.Scope.Conditions = append(m.Scope.Conditions, &consolev1.SuppressionCondition{Field: c.Name, Value: c.Value})
	}
	return m
}

func (s *suppressionService) one(ctx context.Context, id assay.SuppressionID) (*consolev1.Suppression, error) {
	p, err := s.cfg.Store.Suppression(ctx, id)
	if err != nil {
		return nil, err
	}
	list, err := s.messages(ctx, []assay.Suppression{p}, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// GetSuppression implements SuppressionService.
func (s *suppressionService) GetSuppression(ctx context.Context, req *connect.Request[consolev1.GetSuppressionRequest]) (*connect.Response[consolev1.GetSuppressionResponse], error) {
	id, err := assay.ParseSuppressionID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	m, err := s.one(ctx, id)
	return connect.NewResponse(&consolev1.GetSuppressionResponse{Suppression: m}), err
}

// CreateSuppression implements SuppressionService.
func (s *suppressionService) CreateSuppression(ctx context.Context, req *connect.Request[consolev1.CreateSuppressionRequest]) (*connect.Response[consolev1.CreateSuppressionResponse], error) {
	m, scope := req.Msg, req.Msg.GetScope()
	p := assay.Suppression{
		Owner: strings.TrimSpace(m.GetOwner()), Reason: strings.TrimSpace(m.GetReason()), ExpiresAt: timeOf(m.GetExpiresAt()), CreatedBy: sessionOf(ctx).User.Name,
		Scope: assay.SuppressionScope{Rule: assay.RuleID{Pack: scope.GetPack(), ID: strings.ToLower(scope.GetRule())}, Tag: scope.GetTag()},
	}
	if err := checkNote("reason", p.Reason); err != nil {
		return nil, err
	}
	host, err := optionalHost(scope.GetHost())
	if err != nil {
		return nil, err
	}
	if host != nil {
		p.Scope.Host = *host
	}
	for _, c := range scope.GetConditions() {
		if strings.Contains(c.GetField()+c.GetValue(), "\x00") {
			return nil, assay.Errorf(assay.Invalid, "a condition holds characters that are not text")
		}
		p.Scope.Conditions = append(p.Scope.Conditions, assay.NamedText{Name: c.GetField(), Value: c.GetValue()})
	}
	_, _ = rand.Read(p.ID[:]) // never fails
	p.ID[6], p.ID[8] = p.ID[6]&0x0f|0x40, p.ID[8]&0x3f|0x80
	closed, err := s.cfg.Store.CreateSuppression(ctx, &p, m.GetCloseOpen())
	if err != nil {
		return nil, err
	}
	created, err := s.one(ctx, p.ID)
	return connect.NewResponse(&consolev1.CreateSuppressionResponse{Suppression: created, Closed: uint32(closed)}), err
}

// EndSuppression implements SuppressionService.
func (s *suppressionService) EndSuppression(ctx context.Context, req *connect.Request[consolev1.EndSuppressionRequest]) (*connect.Response[consolev1.EndSuppressionResponse], error) {
	id, err := assay.ParseSuppressionID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	reason, err := checkReason("ending a suppression", req.Msg.GetReason())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Store.EndSuppression(ctx, id, sessionOf(ctx).User.Name, reason); err != nil {
		return nil, err
	}
	m, err := s.one(ctx, id)
	return connect.NewResponse(&consolev1.EndSuppressionResponse{Suppression: m}), err
}
