package cli

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type eventsCmd struct {
	Table  string   `arg:"" optional:"" help:"Event table, e.g. win_process_events; without one the tables are listed."`
	Host   string   `help:"Only this host, by name or id." placeholder:"HOST"`
	From   string   `help:"Observed at or after." placeholder:"TIME"`
	To     string   `help:"Observed before." placeholder:"TIME"`
	Where  []string `help:"Condition COLUMN OP VALUE, OP being =, !=, <, <=, >, >=, contains, starts_with; may be repeated." sep:"none" placeholder:"CONDITION"`
	Limit  uint32   `help:"At most this many events." default:"50"`
	Event  string   `help:"One event in full, by POSITION/ORDINAL." placeholder:"REF"`
	Format string   `help:"table, csv or json." enum:"table,csv,json" default:"table"`
	JSON   bool     `name:"json" help:"As --format json."`
}

// Run lists tables, rows of one, or shows one event.
func (c *eventsCmd) Run(e *env) error {
	if c.JSON {
		c.Format = "json"
	}
	client, err := e.client()
	if err != nil {
		return err
	}
	switch {
	case c.Event != "":
		return c.show(e, client)
	case c.Table == "":
		return c.tables(e, client)
	}
	req, err := c.request(e, client)
	if err != nil {
		return err
	}
	all := &consolev1.ListEventsResponse{}
	for token := ""; uint32(len(all.GetRows())) < c.Limit; {
		req.Page = &consolev1.Page{Size: min(500, c.Limit-uint32(len(all.GetRows()))), Token: token}
		res, err := client.Event.ListEvents(e.ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		all.Columns, all.Rows = res.Msg.GetColumns(), append(all.GetRows(), res.Msg.GetRows()...)
		if token = res.Msg.GetNextPageToken(); token == "" {
			break
		}
	}
	return c.print(e, all)
}

func (c *eventsCmd) request(e *env, client *Client) (*consolev1.ListEventsRequest, error) {
	req := &consolev1.ListEventsRequest{Table: c.Table}
	if c.Host != "" {
		host, err := findHost(e.ctx, client, c.Host)
		if err != nil {
			return nil, err
		}
		req.Host = host.GetId()
	}
	from, err := parseTime(c.From)
	if err != nil {
		return nil, err
	}
	to, err := parseTime(c.To)
	if err != nil {
		return nil, err
	}
	req.From, req.To = stampOf(from), stampOf(to)
	for _, text := range c.Where {
		column, rest, ok := strings.Cut(strings.TrimSpace(text), " ")
		op, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if !ok || op == "" {
			return nil, fmt.Errorf("%q is no condition: write COLUMN OP VALUE, as in 'event_id = 1102'", text)
		}
		req.Conditions = append(req.Conditions, &consolev1.Condition{Column: column, Op: op, Value: strings.TrimSpace(value)})
	}
	return req, nil
}

func (c *eventsCmd) print(e *env, all *consolev1.ListEventsResponse) error {
	switch c.Format {
	case "json":
		rows := make([]map[string]string, len(all.GetRows()))
		for i, r := range all.GetRows() {
			rows[i] = map[string]string{"host": r.GetHostName()}
			for j, column := range all.GetColumns() {
				rows[i][column] = r.GetValues()[j]
			}
		}
		return printValue(e.stdout, rows)
	case "csv":
		w := csv.NewWriter(e.stdout)
		if err := w.Write(append([]string{"host"}, all.GetColumns()...)); err != nil {
			return err
		}
		for _, r := range all.GetRows() {
			record := []string{neutral(r.GetHostName())}
			for _, v := range r.GetValues() {
				record = append(record, neutral(v))
			}
			if err := w.Write(record); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	}
	t := newTable(e.stdout, "EVENT", "OBSERVED", "HOST", "FIELDS")
	for _, r := range all.GetRows() {
		var fields []string
		observed := ""
		for j, column := range all.GetColumns() {
			switch v := r.GetValues()[j]; {
			case column == "observed_at":
				observed = v
			case v == "", j < 3, column == "received_at", column == "mode", column == "source", column == "grade", column == "provider", column == "channel":
			default:
				fields = append(fields, column+"="+shorten(v, 80))
			}
		}
		t.row(fmt.Sprintf("%d/%d", r.GetRef().GetPosition(), r.GetRef().GetOrdinal()), observed, r.GetHostName(), shorten(strings.Join(fields, " "), 240))
	}
	return t.flush()
}

// neutral keeps a spreadsheet from reading a value as a formula.
func neutral(value string) string {
	if value != "" && strings.ContainsRune("=+-@\t\r", rune(value[0])) {
		return "'" + value
	}
	return value
}

func (c *eventsCmd) tables(e *env, client *Client) error {
	res, err := client.Event.ListTables(e.ctx, connect.NewRequest(&consolev1.ListTablesRequest{}))
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return printJSON(e.stdout, res.Msg)
	}
	t := newTable(e.stdout, "TABLE", "EVENTS", "HOLDS")
	for _, table := range res.Msg.GetTables() {
		t.row(table.GetName(), strconv.FormatUint(table.GetEvents(), 10), shorten(table.GetDescription(), 90))
	}
	return t.flush()
}

func (c *eventsCmd) show(e *env, client *Client) error {
	position, ordinal, ok := strings.Cut(c.Event, "/")
	p, errP := strconv.ParseUint(position, 10, 64)
	o, errO := strconv.ParseUint(ordinal, 10, 32)
	if !ok || errP != nil || errO != nil {
		return fmt.Errorf("%q names no event: write POSITION/ORDINAL, as in 1042/7", c.Event)
	}
	res, err := client.Event.GetEvent(e.ctx, connect.NewRequest(&consolev1.GetEventRequest{Ref: &consolev1.EventRef{Position: p, Ordinal: uint32(o)}}))
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return printJSON(e.stdout, res.Msg)
	}
	m := res.Msg
	t := newTable(e.stdout, "event "+c.Event, "")
	t.row("host", m.GetHostName())
	t.row("table", m.GetTable())
	t.row("source, grade, mode", m.GetSource()+", "+m.GetGrade()+", "+m.GetMode())
	t.row("observed", when(m.GetObservedAt()))
	t.row("received", when(m.GetReceivedAt()))
	for _, group := range [][]*consolev1.NamedValue{m.GetFields(), m.GetSystem(), m.GetRaw()} {
		t.row("", "")
		for _, f := range group {
			t.row(f.GetName(), f.GetValue())
		}
	}
	t.row("", "")
	b := m.GetBatch()
	t.row("stream", fmt.Sprintf("%s %s, epoch %d, batch %d of %d events", b.GetStreamKind(), b.GetStreamId(), b.GetEpoch(), b.GetNumber(), b.GetEventCount()))
	t.row("header hash", b.GetHeaderHash())
	t.row("payload SHA-256", b.GetPayloadSha256())
	t.row("event commitment", b.GetCommitment())
	t.row("ledger position", strconv.FormatUint(b.GetPosition(), 10))
	t.row("leaf hash", b.GetLeafHash())
	t.row("checkpoint size", strconv.FormatUint(b.GetCheckpointSize(), 10))
	return t.flush()
}
