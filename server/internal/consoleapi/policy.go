package consoleapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

type policyService struct{ *Server }

// GetPolicy implements PolicyService.
func (s *policyService) GetPolicy(ctx context.Context, _ *connect.Request[consolev1.GetPolicyRequest]) (*connect.Response[consolev1.GetPolicyResponse], error) {
	all, err := s.cfg.Store.PolicyChanges(ctx, 0)
	if err != nil {
		return nil, err
	}
	newest := map[string]assay.PolicyChange{}
	for _, c := range all {
		key := string(c.Kind) + "\x00" + c.Name
		if c.Kind != assay.PolicyChangeWindow && len(c.Values) == 0 {
			delete(newest, key)
			continue
		}
		newest[key] = c
	}
	res := &consolev1.GetPolicyResponse{}
	for _, c := range newest {
		res.Changes = append(res.Changes, policyMessage(&c))
	}
	slices.SortFunc(res.Changes, func(a, b *consolev1.PolicyChange) int {
		return strings.Compare(a.GetKind()+"\x00"+a.GetName(), b.GetKind()+"\x00"+b.GetName())
	})
	return connect.NewResponse(res), nil
}

// ChangePolicy implements PolicyService.
func (s *policyService) ChangePolicy(ctx context.Context, req *connect.Request[consolev1.ChangePolicyRequest]) (*connect.Response[consolev1.ChangePolicyResponse], error) {
	m := req.Msg.GetChange()
	change := assay.PolicyChange{
		Kind: assay.PolicyKind(m.GetKind()), Name: m.GetName(), Values: m.GetValues(), Owner: m.GetOwner(),
		From: timeOf(m.GetFrom()), To: timeOf(m.GetTo()), Checks: m.GetChecks(), Reason: m.GetReason(), By: sessionOf(ctx).User.Name,
	}
	if err := s.checkPolicy(&change); err != nil {
		return nil, err
	}
	position, err := s.cfg.Store.ChangePolicy(ctx, change)
	if err != nil {
		return nil, err
	}
	change.Position, change.RecordedAt = position, s.cfg.Now()
	return connect.NewResponse(&consolev1.ChangePolicyResponse{Change: policyMessage(&change)}), nil
}

// checkPolicy refuses what no check would ever read.
func (s *policyService) checkPolicy(change *assay.PolicyChange) error {
	if err := change.Validate(); err != nil {
		return err
	}
	for _, id := range change.Checks {
		if s.cfg.Library.Check(id) == nil {
			return assay.Errorf(assay.Invalid, "there is no check %q", id)
		}
	}
	if change.Kind != assay.PolicyParameter {
		return nil
	}
	id, name, ok := strings.Cut(change.Name, "/")
	check := s.cfg.Library.Check(id)
	if !ok || check == nil {
		return assay.Errorf(assay.Invalid, "a parameter is named check/parameter, as in log.forward_lag/limit; there is no check %q", id)
	}
	var names []string
	for _, p := range check.Parameters {
		names = append(names, p.Name)
		if p.Name != name {
			continue
		}
		if len(change.Values) > 0 {
			if _, err := framework.ParseParameter(p.Type, strings.Join(change.Values, "\n")); err != nil {
				return assay.Errorf(assay.Invalid, "%s is a %s: %w", change.Name, p.Type, err)
			}
		}
		return nil
	}
	if len(names) == 0 {
		return assay.Errorf(assay.Invalid, "check %s has no parameters", id)
	}
	return assay.Errorf(assay.Invalid, "check %s has no parameter %q; it has %s", id, name, strings.Join(names, ", "))
}

func policyMessage(c *assay.PolicyChange) *consolev1.PolicyChange {
	return &consolev1.PolicyChange{
		Kind: string(c.Kind), Name: c.Name, Values: c.Values, Owner: c.Owner, From: stamp(c.From), To: stamp(c.To),
		Checks: c.Checks, Reason: c.Reason, By: c.By, RecordedAt: stamp(c.RecordedAt), Position: c.Position,
	}
}

// stamp is nil for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// timeOf is the zero time for nil.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
