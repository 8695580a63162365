package consoleapi

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

type eventService struct{ *Server }

// maxConditions bounds one query.
const maxConditions = 20

// ListTables implements EventService.
func (s *eventService) ListTables(ctx context.Context, _ *connect.Request[consolev1.ListTablesRequest]) (*connect.Response[consolev1.ListTablesResponse], error) {
	totals, err := s.cfg.Store.EventTotals(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListTablesResponse{}
	for _, t := range telemetry.Tables() {
		table := &consolev1.Table{Name: t.Name, Description: t.Description, Events: uint64(totals[t.Name])}
		for _, c := range t.Columns {
			table.Columns = append(table.Columns, &consolev1.Column{Name: c.Name, Type: c.SQLType, Description: c.Description})
		}
		res.Tables = append(res.Tables, table)
	}
	return connect.NewResponse(res), nil
}

// ListEvents implements EventService.
func (s *eventService) ListEvents(ctx context.Context, req *connect.Request[consolev1.ListEventsRequest]) (*connect.Response[consolev1.ListEventsResponse], error) {
	q, err := eventQuery(req.Msg)
	if err != nil {
		return nil, err
	}
	rows, err := s.cfg.Store.Events(ctx, q)
	if err != nil {
		return nil, err
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	res := &consolev1.ListEventsResponse{Columns: q.Table.ColumnNames()}
	for _, row := range rows {
		res.Rows = append(res.Rows, &consolev1.EventRow{Ref: refMessage(row.Key.Ref), HostName: names[row.Host], Values: row.Values})
	}
	if len(rows) == q.Limit {
		last := rows[len(rows)-1].Key
		res.NextPageToken = writeToken(uint64(last.ObservedAt.UnixMicro()), last.Ref.Position, uint64(last.Ref.Ordinal))
	}
	return connect.NewResponse(res), nil
}

func eventQuery(m *consolev1.ListEventsRequest) (postgres.EventQuery, error) {
	q := postgres.EventQuery{Table: telemetry.ByName(m.GetTable()), From: timeOf(m.GetFrom()), To: timeOf(m.GetTo()), Limit: pageSize(m.GetPage())}
	if q.Table == nil {
		return q, assay.Errorf(assay.Invalid, "there is no table %q", m.GetTable())
	}
	if len(m.GetConditions()) > maxConditions {
		return q, assay.Errorf(assay.Invalid, "%d conditions, at most %d", len(m.GetConditions()), maxConditions)
	}
	if m.GetHost() != "" {
		id, err := assay.ParseHostID(m.GetHost())
		if err != nil {
			return q, err
		}
		q.Host = &id
	}
	for _, c := range m.GetConditions() {
		q.Conditions = append(q.Conditions, postgres.EventCondition{Column: c.GetColumn(), Op: c.GetOp(), Value: c.GetValue()})
	}
	if token := m.GetPage().GetToken(); token != "" {
		fields, err := readToken(token, 3)
		if err != nil {
			return q, err
		}
		q.After = &postgres.EventKey{ObservedAt: time.UnixMicro(int64(fields[0])).UTC(), Ref: assay.EventRef{Position: fields[1], Ordinal: uint32(fields[2])}}
	}
	return q, nil
}

// GetEvent implements EventService.
func (s *eventService) GetEvent(ctx context.Context, req *connect.Request[consolev1.GetEventRequest]) (*connect.Response[consolev1.GetEventResponse], error) {
	ref := assay.EventRef{Position: req.Msg.GetRef().GetPosition(), Ordinal: req.Msg.GetRef().GetOrdinal()}
	stored, signed, err := s.cfg.Store.BatchAt(ctx, ref.Position)
	if assay.KindOf(err) == assay.NotFound {
		return nil, assay.Errorf(assay.NotFound, "ledger position %d holds no batch of events", ref.Position)
	}
	if err != nil {
		return nil, err
	}
	shown, err := project.Show(stored, ref.Ordinal)
	if err != nil {
		return nil, err
	}
	names, err := s.hostNames(ctx)
	if err != nil {
		return nil, err
	}
	ev := shown.Event
	res := &consolev1.GetEventResponse{
		Ref: req.Msg.GetRef(), HostId: ev.Host.String(), HostName: names[ev.Host],
		Source: telemetry.SourceName(ev.Body.GetSource()), Grade: telemetry.GradeName(ev.Body.GetGrade()), Mode: telemetry.ModeName(ev.Body.GetMode()),
		ObservedAt: timestamppb.New(ev.ObservedAt), ReceivedAt: timestamppb.New(ev.ReceivedAt),
		Fields: namedValues(shown.Fields), System: namedValues(shown.System), Raw: namedValues(shown.Raw),
	}
	if table := telemetry.Of(ev.Body); table != nil {
		res.Table = table.Name
	}
	res.Batch, err = s.proof(ctx, stored, shown, signed)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(res), nil
}

// proof is the event's place in the evidence, as far as it is signed yet.
func (s *eventService) proof(ctx context.Context, stored postgres.StoredBatch, shown *project.Shown, signed bool) (*consolev1.BatchProof, error) {
	h := shown.Header
	hash := evidence.HashHeader(stored.Header)
	m := &consolev1.BatchProof{
		Position: stored.Position, StreamId: stored.Stream.String(), StreamKind: h.Kind.String(), Epoch: h.Epoch, Number: h.Number,
		HeaderHash: hex.EncodeToString(hash[:]), PreviousHash: hex.EncodeToString(h.Previous[:]), PayloadSha256: hex.EncodeToString(h.PayloadSHA256[:]),
		Commitment: hex.EncodeToString(shown.Commitment[:]), CommitmentRoot: hex.EncodeToString(h.Commitments[:]), Signed: signed, EventCount: h.EventCount,
	}
	leaf, checkpoint, path, err := s.inclusion(ctx, stored.Position)
	if err != nil {
		return nil, err
	}
	m.LeafHash = hex.EncodeToString(leaf[:])
	m.CheckpointSize, m.CheckpointNote = uint64(checkpoint.Size), string(checkpoint.Note)
	for _, p := range path {
		m.InclusionProof = append(m.InclusionProof, hex.EncodeToString(p[:]))
	}
	return m, nil
}

func (s *Server) hostNames(ctx context.Context) (map[assay.HostID]string, error) {
	hosts, err := s.cfg.Store.Hosts(ctx)
	names := make(map[assay.HostID]string, len(hosts))
	for i := range hosts {
		names[hosts[i].ID] = hosts[i].Name
	}
	return names, err
}

func refMessage(ref assay.EventRef) *consolev1.EventRef {
	return &consolev1.EventRef{Position: ref.Position, Ordinal: ref.Ordinal}
}

func refMessages(refs []assay.EventRef) []*consolev1.EventRef {
	list := make([]*consolev1.EventRef, len(refs))
	for i, ref := range refs {
		list[i] = refMessage(ref)
	}
	return list
}

func namedValues(fields []project.Named) []*consolev1.NamedValue {
	list := make([]*consolev1.NamedValue, len(fields))
	for i, f := range fields {
		list[i] = &consolev1.NamedValue{Name: f.Name, Value: f.Value}
	}
	return list
}

// sortedFields lists a map's fields by name.
func sortedFields(fields map[string]string) []*consolev1.NamedValue {
	list := make([]*consolev1.NamedValue, 0, len(fields))
	for name, value := range fields {
		list = append(list, &consolev1.NamedValue{Name: name, Value: value})
	}
	slices.SortFunc(list, func(a, b *consolev1.NamedValue) int {
		if a.GetName() < b.GetName() {
			return -1
		}
		return 1
	})
	return list
}
