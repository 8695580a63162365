package consoleapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type alertService struct{ *Server }

// page is where a page begins in a list that the database cuts, and its size.
func page(p *consolev1.Page) (start, size int, err error) {
	size = pageSize(p)
	if token := p.GetToken(); token != "" {
		fields, err := readToken(token, 1)
		if err != nil {
			return 0, 0, err
		}
		start = int(min(fields[0], 1<<31))
	}
	return start, size, nil
}

// nextPage is the token of what follows a page.
func nextPage(start, got, total int) string {
	if end := start + got; got > 0 && end < total {
		return writeToken(uint64(end))
	}
	return ""
}

// moment is the time that an answer is for, and whether it is a past one.
func (s *alertService) moment(ctx context.Context, asOf *consolev1.AsOf) (at time.Time, past bool, err error) {
	at = s.cfg.Now()
	if instant := timeOf(asOf.GetInstant()); !instant.IsZero() {
		at, past = instant, true
	}
	if size := asOf.GetTreeSize(); size > 0 {
		known, err := s.cfg.Store.LeafTime(ctx, size-1)
		if err != nil {
			return at, false, err
		}
		if !past || known.Before(at) {
			at, past = known, true
		}
	}
	return at, past, nil
}

func (s *alertService) query(ctx context.Context, m *consolev1.ListAlertsRequest) (*postgres.AlertQuery, error) {
	q := &postgres.AlertQuery{Rule: assay.RuleID{Pack: m.GetPack(), ID: m.GetRule()}, Overdue: m.GetOverdue(), Reason: m.GetReason(), Text: m.GetText(),
		From: timeOf(m.GetOpenedFrom()), To: timeOf(m.GetOpenedTo()), Order: m.GetOrder()}
	var err error
	if q.Start, q.Limit, err = page(m.GetPage()); err != nil {
		return nil, err
	}
	if q.At, q.AsOf, err = s.moment(ctx, m.GetAsOf()); err != nil {
		return nil, err
	}
	for _, text := range m.GetStates() {
		state, err := assay.ParseAlertState(text)
		if err != nil {
			return nil, err
		}
		q.States = append(q.States, state)
	}
	for _, text := range m.GetLevels() {
		level, err := assay.ParseLevel(text)
		if err != nil {
			return nil, err
		}
		q.Levels = append(q.Levels, level)
	}
	if q.Host, err = optionalHost(m.GetHost()); err != nil {
		return nil, err
	}
	if q.Assignee = m.GetAssignee(); q.Assignee == "-" {
		q.Assignee, q.Unassigned = "", true
	}
	if q.Reason != "" {
		err = assay.CheckCloseReason(q.Reason)
	}
	if err == nil {
		err = assay.CheckText("text", q.Text, maxSearch)
	}
	return q, err
}

// maxSearch bounds a text that is looked for.
const maxSearch = 200

func optionalHost(text string) (*assay.HostID, error) {
	if text == "" {
		return nil, nil
	}
	id, err := assay.ParseHostID(text)
	return &id, err
}

// ListAlerts implements AlertService.
func (s *alertService) ListAlerts(ctx context.Context, req *connect.Request[consolev1.ListAlertsRequest]) (*connect.Response[consolev1.ListAlertsResponse], error) {
	q, err := s.query(ctx, req.Msg)
	if err != nil {
		return nil, err
	}
	alerts, total, err := s.cfg.Store.Alerts(ctx, q)
	if err != nil {
		return nil, err
	}
	messages, err := s.alertMessages(ctx, alerts, q.At)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consolev1.ListAlertsResponse{Alerts: messages, NextPageToken: nextPage(q.Start, len(alerts), total), Total: uint32(total)}), nil
}

// CountAlerts implements AlertService.
func (s *alertService) CountAlerts(ctx context.Context, req *connect.Request[consolev1.CountAlertsRequest]) (*connect.Response[consolev1.CountAlertsResponse], error) {
	q := &postgres.AlertQuery{}
	var err error
	if q.Host, err = optionalHost(req.Msg.GetHost()); err != nil {
		return nil, err
	}
	if q.At, q.AsOf, err = s.moment(ctx, req.Msg.GetAsOf()); err != nil {
		return nil, err
	}
	n, err := s.cfg.Store.CountAlerts(ctx, q)
	if err != nil {
		return nil, err
	}
	res := &consolev1.CountAlertsResponse{Open: uint32(n.Open), Acknowledged: uint32(n.Acknowledged), Closed: uint32(n.Closed),
		OverdueAcknowledge: uint32(n.OverdueAcknowledge), OverdueClose: uint32(n.OverdueClose), Suppressed: uint64(n.Suppressed)}
	for level := assay.Critical; level >= assay.Informational; level-- {
		res.Levels = append(res.Levels, &consolev1.LevelCount{Level: level.String(), Count: uint32(n.Levels[level]), Overdue: uint32(n.Overdue[level])})
	}
	return connect.NewResponse(res), nil
}

// maxRelated bounds the other alerts that are shown beside one.
const maxRelated = 20

// GetAlert implements AlertService.
func (s *alertService) GetAlert(ctx context.Context, req *connect.Request[consolev1.GetAlertRequest]) (*connect.Response[consolev1.GetAlertResponse], error) {
	id, err := assay.ParseAlertID(req.Msg.GetId())
	if err != nil {
		return nil, err
	}
	at, past, err := s.moment(ctx, req.Msg.GetAsOf())
	if err != nil {
		return nil, err
	}
	alert, err := s.cfg.Store.AlertAt(ctx, id, at, past)
	if err != nil {
		return nil, err
	}
	related, _, err := s.cfg.Store.Alerts(ctx, &postgres.AlertQuery{Host: &alert.Host, At: at, AsOf: past, Limit: maxRelated + 1,
		States: []assay.AlertState{assay.AlertOpen, assay.AlertAcknowledged}})
	if err != nil {
		return nil, err
	}
	related = slices.DeleteFunc(related, func(a assay.Alert) bool { return a.ID == id })
	messages, err := s.alertMessages(ctx, append([]assay.Alert{alert}, related[:min(len(related), maxRelated)]...), at)
	if err != nil {
		return nil, err
	}
	res := &consolev1.GetAlertResponse{Alert: messages[0], Related: messages[1:]}
	actions, err := s.cfg.Store.AlertActions(ctx, alert.Host, alert.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range actions {
		if !a.At.After(at) {
			res.Actions = append(res.Actions, &consolev1.AlertAction{Kind: a.Kind, By: a.By, At: stamp(a.At), Note: a.Note, Detail: a.Detail, Position: a.Position})
		}
	}
	return connect.NewResponse(res), s.describeRule(ctx, &alert, res)
}

// describeRule adds the rule as it matched the newest detection, or the check.
func (s *alertService) describeRule(ctx context.Context, alert *assay.Alert, res *consolev1.GetAlertResponse) error {
	if alert.Rule.Pack == assay.ChecksPack {
		if check := s.cfg.Library.Check(alert.Rule.ID); check != nil {
			res.RuleDescription = check.Description
		}
		return nil
	}
	text, err := s.cfg.Store.RuleText(ctx, alert.Rule, res.GetAlert().GetLatest().GetVersion())
	if assay.KindOf(err) == assay.NotFound {
		return nil // of a pack that no longer has it, and no detection left to say which version
	}
	if err != nil {
		return err
	}
	res.RuleSource = strings.ToValidUTF8(string(text.Text), "\ufffd")
	res.RuleDescription, res.RuleReferences, res.RuleFalsePositives = text.Description, text.References, text.FalsePositives
	return nil
}

// ListDetections implements AlertService.
func (s *alertService) ListDetections(ctx context.Context, req *connect.Request[consolev1.ListDetectionsRequest]) (*connect.Response[consolev1.ListDetectionsResponse], error) {
	m := req.Msg
	q := &postgres.DetectionQuery{Rule: assay.RuleID{Pack: m.GetPack(), ID: m.GetRule()}, Suppressed: m.GetSuppressed(), From: timeOf(m.GetFrom()), To: timeOf(m.GetTo())}
	err := yesNo("suppressed", q.Suppressed)
	if err != nil {
		return nil, err
	}
	if q.Host, err = optionalHost(m.GetHost()); err != nil {
		return nil, err
	}
	if m.GetAlert() != "" {
		id, err := assay.ParseAlertID(m.GetAlert())
		if err != nil {
			return nil, err
		}
		q.Alert = &id
	}
	if q.Start, q.Limit, err = page(m.GetPage()); err != nil {
		return nil, err
	}
	detections, total, err := s.cfg.Store.Detections(ctx, q)
	if err != nil {
		return nil, err
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListDetectionsResponse{NextPageToken: nextPage(q.Start, len(detections), total), Total: uint32(total)}
	for i := range detections {
		res.Detections = append(res.Detections, detectionMessage(&detections[i], names[detections[i].Host]))
	}
	return connect.NewResponse(res), nil
}

func (s *Server) alertMessages(ctx context.Context, alerts []assay.Alert, at time.Time) ([]*consolev1.Alert, error) {
	ids := make([]assay.AlertID, len(alerts))
	for i := range alerts {
		ids[i] = alerts[i].ID
	}
	latest, err := s.cfg.Store.LatestDetections(ctx, ids)
	if err != nil {
		return nil, err
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]*consolev1.Alert, len(alerts))
	for i := range alerts {
		list[i] = alertMessage(&alerts[i], names[alerts[i].Host], at)
		if d, ok := latest[alerts[i].ID]; ok {
			list[i].Latest = detectionMessage(&d, names[d.Host])
		}
	}
	return list, nil
}

func alertMessage(a *assay.Alert, host string, at time.Time) *consolev1.Alert {
	m := &consolev1.Alert{
		Id: a.ID.String(), Pack: a.Rule.Pack, Rule: a.Rule.ID, Title: a.Title, Level: a.Level.String(), RuleLevel: a.RuleLevel.String(),
		HostId: a.Host.String(), HostName: host, State: string(a.State), Reason: a.Reason, Assignee: a.Assignee, Count: a.Count,
		FirstSeen: stamp(a.FirstSeen), LastSeen: stamp(a.LastSeen), OpenedAt: stamp(a.OpenedAt), AcknowledgedAt: stamp(a.AcknowledgedAt),
		AcknowledgedBy: a.AcknowledgedBy, ClosedAt: stamp(a.ClosedAt), ClosedBy: a.ClosedBy, Reopened: uint32(a.Opening),
		Acknowledge: clockMessage(a.AcknowledgeDue, a.AcknowledgeMet(), at), Close: clockMessage(a.CloseDue, a.ClosedAt, at),
		Key: namedTexts(a.Key), Tags: a.Tags, Position: a.Position,
	}
	if a.DuplicateOf != (assay.AlertID{}) {
		m.DuplicateOf = a.DuplicateOf.String()
	}
	if a.Finding != (assay.FindingID{}) {
		m.Finding = a.Finding.String()
	}
	return m
}

func clockMessage(due, met, at time.Time) *consolev1.AlertClock {
	return &consolev1.AlertClock{Due: stamp(due), Met: stamp(met), State: string(assay.Clock(due, met, at))}
}

func namedTexts(list []assay.NamedText) []*consolev1.NamedValue {
	out := make([]*consolev1.NamedValue, len(list))
	for i, n := range list {
		out[i] = &consolev1.NamedValue{Name: n.Name, Value: n.Value}
	}
	return out
}

func detectionMessage(d *postgres.ListedDetection, host string) *consolev1.Detection {
	m := &consolev1.Detection{
		Pack: d.Rule.Pack, Version: d.Version, Rule: d.Rule.ID, Title: d.Title, Level: d.Level.String(), HostId: d.Host.String(), HostName: host,
		Event: refMessage(d.Ref), ObservedAt: stamp(d.BookedAt), ReceivedAt: stamp(d.ReceivedAt), Grade: d.Grade.String(), Source: d.Source,
		Channel: d.Channel, EventId: d.EventID, ProcessUid: d.ProcessUID, Members: refMessages(d.Members), MemberCount: uint32(d.MemberCount),
		Group: namedTexts(d.Group), ClockFault: d.ClockFault,
	}
	for _, v := range d.Matched {
		m.Matched = append(m.Matched, &consolev1.MatchedValue{Selection: v.Selection, Field: v.Field, Value: v.Value})
	}
	if d.Alert != (assay.AlertID{}) {
		m.Alert = d.Alert.String()
	}
	if d.Suppression != (assay.SuppressionID{}) {
		m.Suppression = d.Suppression.String()
	}
	return m
}
