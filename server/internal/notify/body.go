package notify

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// maxBody bounds what is sent to a webhook, in bytes. Every text in it has a
// bound of its own; tags could add up.
const (
	maxBody = 64 << 10
	maxTags = 50
)

type jsonBody struct {
	Type      assay.NotificationKind `json:"type"`
	Timestamp time.Time              `json:"timestamp"` // of what is told
	Data      jsonData               `json:"data"`
}

type jsonData struct {
	Summary string     `json:"summary"`
	Detail  string     `json:"detail,omitempty"`
	Link    string     `json:"link"`
	Alert   *jsonAlert `json:"alert,omitempty"`
}

type jsonAlert struct {
	ID             string    `json:"id"`
	Title          string    `json:"title"`
	Level          string    `json:"level"`
	State          string    `json:"state"`
	Pack           string    `json:"pack"`
	Rule           string    `json:"rule"`
	Tags           []string  `json:"tags"`
	HostID         string    `json:"host_id"`
	HostName       string    `json:"host_name"`
	Assignee       string    `json:"assignee"`
	Count          uint64    `json:"count"`
	FirstSeen      time.Time `json:"first_seen,omitzero"`
	LastSeen       time.Time `json:"last_seen,omitzero"`
	OpenedAt       time.Time `json:"opened_at,omitzero"`
	AcknowledgeDue time.Time `json:"acknowledge_due,omitzero"`
	CloseDue       time.Time `json:"close_due,omitzero"`
	Position       uint64    `json:"position"`
}

func (m *message) tags() []string {
	tags := make([]string, 0, len(m.Alert.Tags))
	for _, tag := range m.Alert.Tags[:min(len(m.Alert.Tags), maxTags)] {
		tags = append(tags, plain(tag))
	}
	return tags
}

// body is what a webhook is sent, in its target's format.
func (m *message) body() ([]byte, error) {
	var value any
	if m.Target.Settings.Format == "ocsf" {
		value = m.ocsf()
	} else {
		value = m.json()
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("writing message %s: %w", m.ID, err)
	}
	if len(text) > maxBody {
		return nil, fmt.Errorf("writing message %s: it has %d bytes, at most %d", m.ID, len(text), maxBody)
	}
	return text, nil
}

func (m *message) json() jsonBody {
	b := jsonBody{Type: m.Kind, Timestamp: m.OccurredAt, Data: jsonData{Summary: m.summary(), Detail: plain(m.Detail), Link: m.link}}
	if m.Kind != assay.NotifyTest {
		a := &m.Alert
		b.Data.Alert = &jsonAlert{
			ID: m.Delivery.Alert.String(), Title: plain(m.title()), Level: a.Level, State: a.State, Pack: plain(a.Pack), Rule: plain(a.Rule), Tags: m.tags(),
			HostID: a.Host.String(), HostName: plain(a.HostName), Assignee: plain(a.Assignee), Count: a.Count, FirstSeen: a.FirstSeen, LastSeen: a.LastSeen,
			OpenedAt: a.OpenedAt, AcknowledgeDue: a.AcknowledgeDue, CloseDue: a.CloseDue, Position: a.Position,
		}
	}
	return b
}

// OCSF 1.4: class 2004, Detection Finding, of category 2, Findings.
const (
	ocsfVersion  = "1.4.0"
	ocsfCategory = 2
	ocsfClass    = 2004
	ocsfCreate   = 1
	ocsfUpdate   = 2
)

var ocsfSeverities = map[string]int{"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}

// ocsfStatuses: 1 new, 2 in progress, 4 resolved.
var ocsfStatuses = map[string]int{"open": 1, "acknowledged": 2, "closed": 4}

type ocsfFinding struct {
	ActivityID   int            `json:"activity_id"`
	CategoryUID  int            `json:"category_uid"`
	ClassUID     int            `json:"class_uid"`
	TypeUID      int            `json:"type_uid"`
	Time         int64          `json:"time"` // milliseconds
	SeverityID   int            `json:"severity_id"`
	StatusID     int            `json:"status_id,omitempty"`
	IsAlert      bool           `json:"is_alert"`
	Count        uint64         `json:"count,omitempty"`
	StartTime    int64          `json:"start_time,omitempty"`
	EndTime      int64          `json:"end_time,omitempty"`
	Message      string         `json:"message"`
	Metadata     ocsfMetadata   `json:"metadata"`
	FindingInfo  ocsfInfo       `json:"finding_info"`
	Resources    []ocsfResource `json:"resources,omitempty"`
	Observables  []ocsfObserved `json:"observables,omitempty"`
	Unmapped     map[string]any `json:"unmapped,omitempty"`
	CategoryName string         `json:"category_name"`
	ClassName    string         `json:"class_name"`
}

type ocsfMetadata struct {
	Version string      `json:"version"`
	UID     string      `json:"uid"` // of the delivery
	Product ocsfProduct `json:"product"`
}

type ocsfProduct struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor_name"`
	Version string `json:"version"`
}

type ocsfInfo struct {
	UID       string        `json:"uid"`
	Title     string        `json:"title"`
	Types     []string      `json:"types,omitempty"`
	Created   int64         `json:"created_time,omitempty"`
	FirstSeen int64         `json:"first_seen_time,omitempty"`
	LastSeen  int64         `json:"last_seen_time,omitempty"`
	SrcURL    string        `json:"src_url"`
	Analytic  *ocsfAnalytic `json:"analytic,omitempty"`
}

type ocsfAnalytic struct {
	TypeID   int    `json:"type_id"` // 1: rule
	Name     string `json:"name"`
	UID      string `json:"uid"`
	Category string `json:"category,omitempty"`
}

type ocsfResource struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
	Type string `json:"type"`
}

type ocsfObserved struct {
	Name   string `json:"name"`
	TypeID int    `json:"type_id"` // 1: host name
	Value  string `json:"value"`
}

func milliseconds(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMilli()
}

func (m *message) ocsf() ocsfFinding {
	a := &m.Alert
	f := ocsfFinding{
		ActivityID: ocsfUpdate, CategoryUID: ocsfCategory, ClassUID: ocsfClass, CategoryName: "Findings", ClassName: "Detection Finding",
		Time: milliseconds(m.OccurredAt), SeverityID: ocsfSeverities[m.Delivery.Level], StatusID: ocsfStatuses[a.State], IsAlert: m.Kind != assay.NotifyTest,
		Count: a.Count, StartTime: milliseconds(a.FirstSeen), EndTime: milliseconds(a.LastSeen), Message: m.summary(),
		Metadata:    ocsfMetadata{Version: ocsfVersion, UID: m.ID.String(), Product: ocsfProduct{Name: "Assay", Vendor: "Assay", Version: m.version}},
		FindingInfo: ocsfInfo{UID: m.Delivery.Alert.String(), Title: plain(m.title()), SrcURL: m.link, Created: milliseconds(a.OpenedAt), FirstSeen: milliseconds(a.FirstSeen), LastSeen: milliseconds(a.LastSeen), Types: m.tags()},
		Unmapped:    map[string]any{"kind": m.Kind, "detail": plain(m.Detail)},
	}
	if m.Kind == assay.NotifyAlertOpen || m.Kind == assay.NotifyTest {
		f.ActivityID = ocsfCreate
	}
	f.TypeUID = ocsfClass*100 + f.ActivityID
	if m.Kind == assay.NotifyTest {
		f.FindingInfo = ocsfInfo{UID: m.ID.String(), Title: "Test message", SrcURL: m.link}
		return f
	}
	f.FindingInfo.Analytic = &ocsfAnalytic{TypeID: 1, Name: plain(m.title()), UID: plain(a.Rule), Category: plain(a.Pack)}
	if a.Host != (assay.HostID{}) {
		f.Resources = []ocsfResource{{UID: a.Host.String(), Name: plain(a.HostName), Type: "host"}}
	}
	if a.HostName != "" {
		f.Observables = []ocsfObserved{{Name: "resources.name", TypeID: 1, Value: plain(a.HostName)}}
	}
	return f
}
