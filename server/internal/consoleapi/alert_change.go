package consoleapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// maxAlertsChanged bounds the alerts of one request.
const maxAlertsChanged = 500

// change does what a person asks to alerts, and returns them as they are then.
func (s *alertService) change(ctx context.Context, ids []string, c *postgres.AlertChange) ([]*consolev1.Alert, error) {
	if len(ids) == 0 || len(ids) > maxAlertsChanged {
		return nil, assay.Errorf(assay.Invalid, "name 1 to %d alerts", maxAlertsChanged)
	}
	for _, text := range ids {
		id, err := assay.ParseAlertID(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(c.IDs, id) {
			c.IDs = append(c.IDs, id)
		}
	}
	c.Note, c.By = strings.TrimSpace(c.Note), sessionOf(ctx).User.Name
	if err := checkNote("note", c.Note); err != nil {
		return nil, err
	}
	alerts, err := s.cfg.Store.ChangeAlerts(ctx, c)
	if err != nil {
		return nil, err
	}
	return s.alertMessages(ctx, alerts, s.cfg.Now())
}

// AcknowledgeAlerts implements AlertService.
func (s *alertService) AcknowledgeAlerts(ctx context.Context, req *connect.Request[consolev1.AcknowledgeAlertsRequest]) (*connect.Response[consolev1.AcknowledgeAlertsResponse], error) {
	by := sessionOf(ctx).User.Name
	alerts, err := s.change(ctx, req.Msg.GetIds(), &postgres.AlertChange{Kind: assay.ActionAcknowledge, Note: req.Msg.GetNote(),
		Apply: func(a *assay.Alert, now time.Time, _ *assay.AlertPolicy) error { return a.Acknowledge(by, now) }})
	return connect.NewResponse(&consolev1.AcknowledgeAlertsResponse{Alerts: alerts}), err
}

// CloseAlerts implements AlertService.
func (s *alertService) CloseAlerts(ctx context.Context, req *connect.Request[consolev1.CloseAlertsRequest]) (*connect.Response[consolev1.CloseAlertsResponse], error) {
	m, by := req.Msg, sessionOf(ctx).User.Name
	if err := assay.CheckCloseReason(m.GetReason()); err != nil {
		return nil, err
	}
	c := &postgres.AlertChange{Kind: assay.ActionClose, Note: m.GetNote(), Detail: m.GetReason()}
	var of assay.AlertID
	if m.GetReason() == assay.ClosedDuplicate {
		var err error
		if of, err = assay.ParseAlertID(m.GetDuplicateOf()); err != nil {
			return nil, assay.Errorf(assay.Invalid, "name the alert that it is a duplicate of: %w", err)
		}
		c.Also = &of
	} else if m.GetDuplicateOf() != "" {
		return nil, assay.Errorf(assay.Invalid, "another alert is named with the reason %s alone", assay.ClosedDuplicate)
	}
	c.Apply = func(a *assay.Alert, now time.Time, _ *assay.AlertPolicy) error {
		return a.Close(by, m.GetReason(), of, now)
	}
	alerts, err := s.change(ctx, m.GetIds(), c)
	return connect.NewResponse(&consolev1.CloseAlertsResponse{Alerts: alerts}), err
}

// ReopenAlerts implements AlertService.
func (s *alertService) ReopenAlerts(ctx context.Context, req *connect.Request[consolev1.ReopenAlertsRequest]) (*connect.Response[consolev1.ReopenAlertsResponse], error) {
	if strings.TrimSpace(req.Msg.GetNote()) == "" {
		return nil, assay.Errorf(assay.Invalid, "say why it is opened again")
	}
	alerts, err := s.change(ctx, req.Msg.GetIds(), &postgres.AlertChange{Kind: assay.ActionReopen, Note: req.Msg.GetNote(), Notify: "alert.reopen",
		Apply: func(a *assay.Alert, now time.Time, policy *assay.AlertPolicy) error {
			if a.State != assay.AlertClosed {
				return assay.Errorf(assay.Conflict, "alert %s is %s, only a closed one is opened again", a.ID, a.State)
			}
			a.Reopen(now, policy)
			return nil
		}})
	return connect.NewResponse(&consolev1.ReopenAlertsResponse{Alerts: alerts}), err
}

// AssignAlerts implements AlertService.
func (s *alertService) AssignAlerts(ctx context.Context, req *connect.Request[consolev1.AssignAlertsRequest]) (*connect.Response[consolev1.AssignAlertsResponse], error) {
	assignee := req.Msg.GetAssignee()
	if assignee != "" {
		user, err := s.cfg.Store.UserByName(ctx, assignee)
		if assay.KindOf(err) == assay.NotFound {
			return nil, assay.Errorf(assay.NotFound, "there is no user %q", assignee)
		}
		if err != nil {
			return nil, err
		}
		assignee = user.Name
	}
	alerts, err := s.change(ctx, req.Msg.GetIds(), &postgres.AlertChange{Kind: assay.ActionAssign, Note: req.Msg.GetNote(), Detail: assignee,
		Apply: func(a *assay.Alert, _ time.Time, _ *assay.AlertPolicy) error {
			if a.State == assay.AlertClosed {
				return assay.Errorf(assay.Conflict, "alert %s is closed", a.ID)
			}
			a.Assignee = assignee
			return nil
		}})
	return connect.NewResponse(&consolev1.AssignAlertsResponse{Alerts: alerts}), err
}

// EscalateAlerts implements AlertService.
func (s *alertService) EscalateAlerts(ctx context.Context, req *connect.Request[consolev1.EscalateAlertsRequest]) (*connect.Response[consolev1.EscalateAlertsResponse], error) {
	level, err := assay.ParseLevel(req.Msg.GetLevel())
	if err != nil {
		return nil, err
	}
	alerts, err := s.change(ctx, req.Msg.GetIds(), &postgres.AlertChange{Kind: assay.ActionEscalate, Note: req.Msg.GetNote(), Detail: level.String(),
		Notify: "alert.escalate",
		Apply:  func(a *assay.Alert, _ time.Time, policy *assay.AlertPolicy) error { return a.Escalate(level, policy) }})
	return connect.NewResponse(&consolev1.EscalateAlertsResponse{Alerts: alerts}), err
}

// AddAlertNote implements AlertService.
func (s *alertService) AddAlertNote(ctx context.Context, req *connect.Request[consolev1.AddAlertNoteRequest]) (*connect.Response[consolev1.AddAlertNoteResponse], error) {
	if strings.TrimSpace(req.Msg.GetNote()) == "" {
		return nil, assay.Errorf(assay.Invalid, "the note is empty")
	}
	alerts, err := s.change(ctx, []string{req.Msg.GetId()}, &postgres.AlertChange{Kind: assay.ActionNote, Note: req.Msg.GetNote(),
		Apply: func(*assay.Alert, time.Time, *assay.AlertPolicy) error { return nil }})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.AddAlertNoteResponse{Alert: alerts[0]}), nil
}

// RecordReview implements AlertService.
func (s *alertService) RecordReview(ctx context.Context, req *connect.Request[consolev1.RecordReviewRequest]) (*connect.Response[consolev1.RecordReviewResponse], error) {
	note := strings.TrimSpace(req.Msg.GetNote())
	if note == "" {
		return nil, assay.Errorf(assay.Invalid, "say what was looked at and what came of it")
	}
	if err := checkNote("note", note); err != nil {
		return nil, err
	}
	review, err := s.cfg.Store.RecordReview(ctx, sessionOf(ctx).User.Name, note)
	return connect.NewResponse(&consolev1.RecordReviewResponse{Review: reviewMessage(&review)}), err
}

func reviewMessage(r *assay.Review) *consolev1.Review {
	return &consolev1.Review{At: stamp(r.At), By: r.By, Note: r.Note, Open: uint32(r.Open), Overdue: uint32(r.Overdue), Position: r.Position}
}

// ListReviews implements AlertService.
func (s *alertService) ListReviews(ctx context.Context, req *connect.Request[consolev1.ListReviewsRequest]) (*connect.Response[consolev1.ListReviewsResponse], error) {
	all, err := s.cfg.Store.Reviews(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	part, next, err := window(all, req.Msg.GetPage())
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListReviewsResponse{NextPageToken: next, Total: uint32(len(all))}
	for i := range part {
		res.Reviews = append(res.Reviews, reviewMessage(&part[i]))
	}
	return connect.NewResponse(res), nil
}

// GetAlertPolicy implements AlertService.
func (s *alertService) GetAlertPolicy(ctx context.Context, _ *connect.Request[consolev1.GetAlertPolicyRequest]) (*connect.Response[consolev1.GetAlertPolicyResponse], error) {
	policy, err := s.cfg.Store.AlertPolicy(ctx)
	return connect.NewResponse(&consolev1.GetAlertPolicyResponse{Policy: alertPolicyMessage(&policy)}), err
}

func alertPolicyMessage(p *assay.AlertPolicy) *consolev1.AlertPolicy {
	m := &consolev1.AlertPolicy{ReopenWithin: durationpb.New(p.ReopenWithin), AlertFrom: p.AlertFrom.String(), By: p.By, Reason: p.Reason,
		ChangedAt: stamp(p.ChangedAt), Position: p.Position}
	for level := assay.Critical; level >= assay.Informational; level-- {
		clock := &consolev1.AlertLevelClock{Level: level.String()}
		if c := p.Clocks[level]; c.Acknowledge > 0 {
			clock.AcknowledgeWithin = durationpb.New(c.Acknowledge)
		}
		if c := p.Clocks[level]; c.Close > 0 {
			clock.CloseWithin = durationpb.New(c.Close)
		}
		m.Clocks = append(m.Clocks, clock)
	}
	return m
}

// ChangeAlertPolicy implements AlertService.
func (s *alertService) ChangeAlertPolicy(ctx context.Context, req *connect.Request[consolev1.ChangeAlertPolicyRequest]) (*connect.Response[consolev1.ChangeAlertPolicyResponse], error) {
	m := req.Msg.GetPolicy()
	reason, err := checkReason("a change of the policy", req.Msg.GetReason())
	if err != nil {
		return nil, err
	}
	policy := assay.AlertPolicy{ReopenWithin: m.GetReopenWithin().AsDuration(), By: sessionOf(ctx).User.Name, Reason: reason}
	if policy.AlertFrom, err = assay.ParseLevel(m.GetAlertFrom()); err != nil {
		return nil, err
	}
	for _, c := range m.GetClocks() {
		level, err := assay.ParseLevel(c.GetLevel())
		if err != nil || level == assay.NoLevel {
			return nil, assay.Errorf(assay.Invalid, "%q is no level to have clocks", c.GetLevel())
		}
		policy.Clocks[level] = assay.LevelClock{Acknowledge: c.GetAcknowledgeWithin().AsDuration(), Close: c.GetCloseWithin().AsDuration()}
	}
	if policy, err = s.cfg.Store.ChangeAlertPolicy(ctx, policy); err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.ChangeAlertPolicyResponse{Policy: alertPolicyMessage(&policy)}), nil
}
