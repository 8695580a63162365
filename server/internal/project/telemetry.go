package project

import (
	"fmt"
	"strconv"
	"time"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Typed projects events into the tables of the telemetry registry.
type Typed struct{}

// Project implements Projection.
func (Typed) Project(b *Batch, step *Step) {
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.View.Table != nil {
			step.events().Add(telemetry.Placement{
				HostID: ev.Host, Position: int64(ev.Ref.Position), Ordinal: int32(ev.Ref.Ordinal), ReceivedAt: ev.ReceivedAt,
			}, ev.View)
		}
	}
}

// speaksOfItself reports whether an event is one of the few that say how a host
// and its agent are. Only those are decoded in full.
func speaksOfItself(ev *Event) bool {
	if ev.View.Table == nil {
		return true // statements of the agent have no tables
	}
	return ev.View.Table.Name == "win_power_events" || ev.View.Table.Name == "win_security_software_events"
}

// Posture projects the newest of what a host says of itself, and its activity.
type Posture struct{}

// Project implements Projection.
func (Posture) Project(b *Batch, step *Step) {
	for i := range b.Events {
		ev := &b.Events[i]
		step.activity(ev)
		if !speaksOfItself(ev) {
			continue
		}
		switch body := ev.Message().GetBody().(type) {
		case *telemetryv1.Event_SourceHealth:
			step.health(ev, body.SourceHealth)
		case *telemetryv1.Event_Power:
			step.state(ev, "power", body.Power.GetAction())
		case *telemetryv1.Event_SecuritySoftware:
			step.securitySoftware(ev, body.SecuritySoftware)
		}
	}
}

func (s *Step) activity(ev *Event) {
	// Events of one host come together.
	if s.active == nil || s.activeHost != ev.Host {
		if s.active = s.activities[ev.Host]; s.active == nil {
			s.active = &postgres.Activity{FirstObserved: ev.BookedAt}
			s.activities[ev.Host] = s.active
		}
		s.activeHost = ev.Host
	}
	a := s.active
	a.Events++
	a.FirstObserved = earlierOf(a.FirstObserved, ev.BookedAt)
	a.LastObserved = laterOf(a.LastObserved, ev.BookedAt)
	a.LastReceived = laterOf(a.LastReceived, ev.ReceivedAt)
	if ev.View.Table == nil && ev.Message().GetSourceHealth() != nil {
		a.LastHealth = laterOf(a.LastHealth, ev.BookedAt)
	}
}

func (s *Step) health(ev *Event, health *telemetryv1.SourceHealth) {
	s.state(ev, "agent.version", health.GetAgentVersion())
	s.state(ev, "agent.spool_bytes", strconv.FormatUint(health.GetSpoolBytes(), 10))
	s.state(ev, "agent.clock_skew_ms", strconv.FormatInt(health.GetClockSkewMs(), 10))
	for n, source := range health.GetSources() {
		if n == maxSources {
			break
		}
		value := "running"
		if !source.GetRunning() {
			value = "not running: " + source.GetReason()
		}
		s.state(ev, "source."+source.GetSource()+"."+source.GetChannel(), value)
	}
}

func (s *Step) securitySoftware(ev *Event, body *telemetryv1.SecuritySoftwareEvent) {
	product := body.GetProduct()
	if body.GetState() != "" {
		s.state(ev, fmt.Sprintf("security.%s.%s", product, body.GetFeature()), body.GetState())
	}
	if body.RealtimeEnabled != nil {
		s.state(ev, "security."+product+".realtime_enabled", strconv.FormatBool(body.GetRealtimeEnabled()))
	}
	if body.SignatureAgeDays != nil {
		s.state(ev, "security."+product+".signature_age_days", strconv.FormatUint(uint64(body.GetSignatureAgeDays()), 10))
	}
	if body.GetSignatureVersion() != "" {
		s.state(ev, "security."+product+".signature_version", body.GetSignatureVersion())
	}
}

func (s *Step) state(ev *Event, name, value string) {
	name = clean(name)
	key := postureKey{ev.Host, name}
	if old, ok := s.posture[key]; ok && old.ObservedAt.After(ev.BookedAt) {
		return
	}
	s.posture[key] = postgres.PostureRow{Host: ev.Host, Name: name, Value: clean(value), ObservedAt: ev.BookedAt, Ref: ev.Ref}
}

// clean makes text that a host chose fit for a text column, and bounds it.
func clean(text string) string {
	const limit = 512
	if len(text) > limit {
		text = text[:limit]
	}
	return telemetry.Text(text)
}

// lagBounds are the upper bounds, in seconds, that forwarding lag is counted under.
var lagBounds = [...]int{1, 5, 15, 60, 300, 900, 3600, 86400}

// Metrics counts what the metric checks need.
type Metrics struct{}

// Project implements Projection.
func (Metrics) Project(b *Batch, step *Step) {
	for i := range b.Events {
		ev := &b.Events[i]
		if ev.Mode == assay.Live && !ev.Imported && !ev.ClockFault {
			step.lag(ev)
		}
		if complete, applies := sixFields(ev.View); applies {
			step.fields(ev, complete)
		}
	}
}

// lag counts an event under every bound that it keeps.
func (s *Step) lag(ev *Event) {
	key := lagKey{ev.Host, dayOf(ev.BookedAt)}
	if s.lagging == nil || s.lagged != key {
		if s.lagging = s.lags[key]; s.lagging == nil {
			s.lagging = &lagCounts{}
			s.lags[key] = s.lagging
		}
		s.lagged = key
	}
	counts := s.lagging
	counts.total++
	lag := ev.ReceivedAt.Sub(ev.ObservedAt)
	for i := len(lagBounds) - 1; i >= 0 && lag <= time.Duration(lagBounds[i])*time.Second; i-- {
		counts.good[i]++
	}
}

// lagKey is a host and a UTC day.
type lagKey struct {
	host assay.HostID
	day  unixDay
}

// fieldsKey is a host, a table and a UTC day.
type fieldsKey struct {
	host  assay.HostID
	table *telemetry.Table
	day   unixDay
}

// unixDay counts UTC days from 1970, so that keys with it are quick to compare.
type unixDay int64

func dayOf(t time.Time) unixDay {
	seconds := t.Unix()
	day := seconds / 86_400
	if seconds%86_400 < 0 {
		day--
	}
	return unixDay(day)
}

func (d unixDay) time() time.Time { return time.Unix(int64(d)*86_400, 0).UTC() }

// fields counts an audit record by whether it tells all that it must.
func (s *Step) fields(ev *Event, complete bool) {
	key := fieldsKey{ev.Host, ev.View.Table, dayOf(ev.BookedAt)}
	m := s.complete[key]
	if m == nil {
		m = &assay.Metric{Host: ev.Host, Name: "fields", Key: ev.View.Table.Name, Day: key.day.time()}
		s.complete[key] = m
	}
	m.Total++
	if complete {
		m.Good++
	}
}

type lagCounts struct {
	total uint64
	good  [len(lagBounds)]uint64
}

func (c *lagCounts) metrics(key lagKey, list []assay.Metric) []assay.Metric {
	for i, bound := range lagBounds {
		list = append(list, assay.Metric{Host: key.host, Name: "forward_lag", Key: strconv.Itoa(bound), Day: key.day.time(), Good: c.good[i], Total: c.total})
	}
	return list
}
