package consoleapi

import (
	"context"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/notify"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type notificationService struct{ *Server }

// ListNotificationTargets implements NotificationService.
func (s *notificationService) ListNotificationTargets(ctx context.Context, _ *connect.Request[consolev1.ListNotificationTargetsRequest]) (*connect.Response[consolev1.ListNotificationTargetsResponse], error) {
	targets, err := s.cfg.Store.Targets(ctx)
	if err != nil {
		return nil, err
	}
	stats, err := s.cfg.Store.TargetStats(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListNotificationTargetsResponse{}
	for i := range targets {
		res.Targets = append(res.Targets, targetMessage(&targets[i], stats[targets[i].ID]))
	}
	return connect.NewResponse(res), nil
}

func targetMessage(t *assay.Target, stats postgres.TargetStats) *consolev1.NotificationTarget {
	return &consolev1.NotificationTarget{
		Id: t.ID.String(), Name: t.Name, Kind: t.Kind, Address: t.Address, Format: t.Settings.Format, Security: t.Settings.Security,
		From: t.Settings.From, To: t.Settings.To, Username: t.Settings.Username, Ca: t.Settings.CA, Levels: t.Levels, Kinds: t.Kinds,
		Enabled: t.Enabled, CreatedBy: t.CreatedBy, CreatedAt: stamp(t.CreatedAt), ChangedBy: t.ChangedBy, ChangedAt: stamp(t.ChangedAt),
		ChangedReason: t.ChangedReason, Pending: stats.Pending, Delivered: stats.Delivered, Failed: stats.Failed,
		LastDeliveredAt: stamp(stats.LastDelivered), LastError: stats.LastError, Position: t.Position,
	}
}

// CreateNotificationTarget implements NotificationService.
func (s *notificationService) CreateNotificationTarget(ctx context.Context, req *connect.Request[consolev1.CreateNotificationTargetRequest]) (*connect.Response[consolev1.CreateNotificationTargetResponse], error) {
	target := targetOf(req.Msg.GetTarget())
	target.Kind, target.CreatedBy = req.Msg.GetTarget().GetKind(), sessionOf(ctx).User.Name
	secret, err := s.cfg.Notifier.Create(ctx, &target, assay.TargetSecrets{Password: req.Msg.GetPassword(), Authorization: req.Msg.GetAuthorization()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.CreateNotificationTargetResponse{Target: targetMessage(&target, postgres.TargetStats{}), SigningSecret: secret}), nil
}

// targetOf is what a person asks for of a target, but its kind.
func targetOf(m *consolev1.NotificationTarget) assay.Target {
	return assay.Target{
		Name: strings.TrimSpace(m.GetName()), Address: strings.TrimSpace(m.GetAddress()), Levels: m.GetLevels(), Kinds: m.GetKinds(),
		Settings: assay.TargetSettings{
			Format: m.GetFormat(), Security: m.GetSecurity(), From: m.GetFrom(), To: m.GetTo(), Username: m.GetUsername(), CA: m.GetCa(),
		},
	}
}

// ChangeNotificationTarget implements NotificationService.
func (s *notificationService) ChangeNotificationTarget(ctx context.Context, req *connect.Request[consolev1.ChangeNotificationTargetRequest]) (*connect.Response[consolev1.ChangeNotificationTargetResponse], error) {
	id, err := assay.ParseTargetID(req.Msg.GetTarget().GetId())
	if err != nil {
		return nil, err
	}
	reason, err := reasonOf(req.Msg.GetReason(), "say why the target is changed")
	if err != nil {
		return nil, err
	}
	target := targetOf(req.Msg.GetTarget())
	target.ID, target.ChangedBy, target.ChangedReason = id, sessionOf(ctx).User.Name, reason
	if err := s.cfg.Notifier.Change(ctx, &target, notify.NewSecrets{Password: req.Msg.Password, Authorization: req.Msg.Authorization}); err != nil {
		return nil, err
	}
	changed, err := s.target(ctx, id)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.ChangeNotificationTargetResponse{Target: changed}), nil
}

// target reads a target as it is now.
func (s *notificationService) target(ctx context.Context, id assay.TargetID) (*consolev1.NotificationTarget, error) {
	target, err := s.cfg.Store.Target(ctx, id)
	if err != nil {
		return nil, err
	}
	stats, err := s.cfg.Store.TargetStats(ctx)
	if err != nil {
		return nil, err
	}
	return targetMessage(&target, stats[id]), nil
}

func reasonOf(text, missing string) (string, error) {
	reason := strings.TrimSpace(text)
	if reason == "" {
		return "", assay.Errorf(assay.Invalid, "%s", missing)
	}
	return reason, assay.CheckText("reason", reason, maxCause)
}

// SetNotificationTargetEnabled implements NotificationService.
func (s *notificationService) SetNotificationTargetEnabled(ctx context.Context, req *connect.Request[consolev1.SetNotificationTargetEnabledRequest]) (*connect.Response[consolev1.SetNotificationTargetEnabledResponse], error) {
	id, err := assay.ParseTargetID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	reason, err := reasonOf(req.Msg.GetReason(), "say why the target is turned on or off")
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Store.SetTargetEnabled(ctx, id, req.Msg.GetEnabled(), reason, sessionOf(ctx).User.Name); err != nil {
		return nil, err
	}
	target, err := s.target(ctx, id)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.SetNotificationTargetEnabledResponse{Target: target}), nil
}

// TestNotificationTarget implements NotificationService.
func (s *notificationService) TestNotificationTarget(ctx context.Context, req *connect.Request[consolev1.TestNotificationTargetRequest]) (*connect.Response[consolev1.TestNotificationTargetResponse], error) {
	target, err := assay.ParseTargetID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	id, err := s.cfg.Notifier.Test(ctx, target, sessionOf(ctx).User.Name)
	if err != nil {
		return nil, err
	}
	delivery, err := s.delivery(ctx, id)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.TestNotificationTargetResponse{Delivery: delivery}), nil
}

func (s *notificationService) delivery(ctx context.Context, id assay.DeliveryID) (*consolev1.Delivery, error) {
	notice, err := s.cfg.Store.Notice(ctx, id)
	if err != nil {
		return nil, err
	}
	return deliveryMessage(&notice.Delivery, notice.Target.Name), nil
}

func deliveryMessage(d *assay.Delivery, target string) *consolev1.Delivery {
	m := &consolev1.Delivery{
		Id: d.ID.String(), TargetId: d.Target.String(), TargetName: target, Kind: string(d.Kind), Level: d.Level, State: string(d.State),
		OccurredAt: stamp(d.OccurredAt), CreatedAt: stamp(d.CreatedAt), FinishedAt: stamp(d.FinishedAt), NextAttemptAt: stamp(d.NextAttemptAt),
		MaxAttempts: assay.MaxDeliveryAttempts,
	}
	if d.Alert != (assay.AlertID{}) {
		m.Alert = d.Alert.String()
	}
	if d.Kind == assay.NotifyTest {
		m.MaxAttempts = 1
	}
	for _, a := range d.Attempts {
		m.Attempts = append(m.Attempts, &consolev1.DeliveryAttempt{At: stamp(a.At), Milliseconds: uint32(a.Took.Milliseconds()), Ok: a.OK, Detail: a.Detail})
	}
	return m
}

// maxDeliveryOffset bounds how far back pages go: what is older is found by
// target, state or alert.
const maxDeliveryOffset = 100_000

// ListDeliveries implements NotificationService.
func (s *notificationService) ListDeliveries(ctx context.Context, req *connect.Request[consolev1.ListDeliveriesRequest]) (*connect.Response[consolev1.ListDeliveriesResponse], error) {
	filter, err := deliveryFilter(req.Msg)
	if err != nil {
		return nil, err
	}
	list, total, err := s.cfg.Store.Deliveries(ctx, filter)
	if err != nil {
		return nil, err
	}
	targets, err := s.cfg.Store.Targets(ctx)
	if err != nil {
		return nil, err
	}
	names := map[assay.TargetID]string{}
	for i := range targets {
		names[targets[i].ID] = targets[i].Name
	}
	res := &consolev1.ListDeliveriesResponse{Total: uint32(total)}
	for i := range list {
		res.Deliveries = append(res.Deliveries, deliveryMessage(&list[i], names[list[i].Target]))
	}
	if end := filter.Offset + len(list); uint64(end) < total && end < maxDeliveryOffset && len(list) > 0 {
		res.NextPageToken = writeToken(uint64(end))
	}
	return connect.NewResponse(res), nil
}

func deliveryFilter(m *consolev1.ListDeliveriesRequest) (f postgres.DeliveryFilter, err error) {
	if m.GetTarget() != "" {
		if f.Target, err = assay.ParseTargetID(m.GetTarget()); err != nil {
			return f, err
		}
	}
	if m.GetAlert() != "" {
		if f.Alert, err = assay.ParseAlertID(m.GetAlert()); err != nil {
			return f, err
		}
	}
	if m.GetState() != "" {
		if f.State, err = assay.ParseDeliveryState(m.GetState()); err != nil {
			return f, err
		}
	}
	f.Limit = pageSize(m.GetPage())
	if token := m.GetPage().GetToken(); token != "" {
		fields, err := readToken(token, 1)
		if err != nil {
			return f, err
		}
		f.Offset = int(min(fields[0], maxDeliveryOffset))
	}
	return f, nil
}

// RetryDelivery implements NotificationService.
func (s *notificationService) RetryDelivery(ctx context.Context, req *connect.Request[consolev1.RetryDeliveryRequest]) (*connect.Response[consolev1.RetryDeliveryResponse], error) {
	id, err := assay.ParseDeliveryID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Store.RetryDelivery(ctx, id, sessionOf(ctx).User.Name); err != nil {
		return nil, err
	}
	delivery, err := s.delivery(ctx, id)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.RetryDeliveryResponse{Delivery: delivery}), nil
}
