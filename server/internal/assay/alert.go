package assay

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// AlertID is computed from what first opened the alert, so that consuming the
// same detections again names the same alerts.
type AlertID [16]byte

func (id AlertID) String() string { return formatID(id) }

// ParseAlertID reads a UUID.
func ParseAlertID(text string) (AlertID, error) {
	id, err := parseID(text)
	return AlertID(id), err
}

// AlertKey is what alerts are told apart by: rule and chosen fields, on a host.
func AlertKey(rule RuleID, key []NamedText) [32]byte {
	h := sha256.New()
	h.Write([]byte("assay/alert-key/v1\x00" + rule.Pack + "\x00" + rule.ID))
	for _, k := range key {
		var size [8]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(k.Name)))
		binary.BigEndian.PutUint32(size[4:], uint32(len(k.Value)))
		h.Write(size[:])
		// Windows compares names of files, users and values without case.
		h.Write([]byte(k.Name + strings.ToLower(k.Value)))
	}
	return [32]byte(h.Sum(nil))
}

// NewAlertID is the identity of the alert that a detection opens.
func NewAlertID(host HostID, key [32]byte, ref EventRef) AlertID {
	h := sha256.New()
	h.Write([]byte("assay/alert/v1\x00"))
	h.Write(host[:])
	h.Write(key[:])
	h.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, ref.Position), ref.Ordinal))
	var id AlertID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80 // version 8: our own scheme
	id[8] = id[8]&0x3f | 0x80
	return id
}

// AlertState is where an alert stands.
type AlertState string

// The states of an alert.
const (
	AlertOpen         AlertState = "open"
	AlertAcknowledged AlertState = "acknowledged"
	AlertClosed       AlertState = "closed"
)

// ParseAlertState reads a state.
func ParseAlertState(text string) (AlertState, error) {
	switch s := AlertState(text); s {
	case AlertOpen, AlertAcknowledged, AlertClosed:
		return s, nil
	}
	return "", Errorf(Invalid, "%q is no state of an alert: use open, acknowledged or closed", text)
}

// Reasons to close an alert.
const (
	ClosedTruePositive    = "true_positive"
	ClosedBenign          = "benign"
	ClosedFalsePositive   = "false_positive"
	ClosedDuplicate       = "duplicate"
	ClosedNotReproducible = "not_reproducible"
)

// CheckCloseReason is Invalid for what is none.
func CheckCloseReason(reason string) error {
	all := []string{ClosedTruePositive, ClosedBenign, ClosedFalsePositive, ClosedDuplicate, ClosedNotReproducible}
	if !slices.Contains(all, reason) {
		return Errorf(Invalid, "%q is no reason to close an alert: use %s", reason, strings.Join(all, ", "))
	}
	return nil
}

// Alert asks people to look. It holds the detections of one rule on one host
// that agree in the fields that the rule chose.
type Alert struct {
	ID        AlertID
	Host      HostID
	Rule      RuleID
	Key       []NamedText
	KeyHash   [32]byte
	Title     string
	Tags      []string
	RuleLevel Level
	Level     Level
	State     AlertState
	Reason    string
	// DuplicateOf is zero unless it was closed as a duplicate.
	DuplicateOf AlertID
	Assignee    string
	Count       uint64
	FirstSeen   time.Time
	LastSeen    time.Time
	// OpenedAt is of the newest opening; Opening counts those after the first.
	OpenedAt       time.Time
	Opening        int
	AcknowledgeDue time.Time // zero: no clock
	CloseDue       time.Time
	AcknowledgedAt time.Time
	AcknowledgedBy string
	ClosedAt       time.Time
	ClosedBy       string
	OverdueNoted   int // 1 the first clock, 2 the second, 3 both
	Latest         EventRef
	Finding        FindingID // zero unless it is of a finding
	Position       uint64    // leaf of its newest opening
}

// Kinds of action on an alert.
const (
	ActionOpen        = "open"
	ActionAcknowledge = "acknowledge"
	ActionClose       = "close"
	ActionReopen      = "reopen"
	ActionAssign      = "assign"
	ActionEscalate    = "escalate"
	ActionNote        = "note"
	ActionOverdue     = "overdue"
)

// AlertAction is something that was done. By is empty for what the server did.
type AlertAction struct {
	Kind     string
	By       string
	At       time.Time
	Note     string
	Detail   string
	Position uint64
}

// ClockState is where one of an alert's clocks stands at a moment.
type ClockState string

// The states of a clock.
const (
	ClockNone    ClockState = "none"
	ClockRunning ClockState = "running"
	ClockMet     ClockState = "met"
	ClockLate    ClockState = "late"
	ClockOverdue ClockState = "overdue"
)

// Clock judges a clock at a moment; met is zero while it is not.
func Clock(due, met, at time.Time) ClockState {
	switch {
	case due.IsZero():
		return ClockNone
	case met.IsZero() && at.After(due):
		return ClockOverdue
	case met.IsZero():
		return ClockRunning
	case met.After(due):
		return ClockLate
	}
	return ClockMet
}

// AcknowledgeMet is when the first clock stopped: closing acknowledges too.
func (a *Alert) AcknowledgeMet() time.Time {
	if a.AcknowledgedAt.IsZero() {
		return a.ClosedAt
	}
	return a.AcknowledgedAt
}

// open opens the alert, or opens it again, at a time under a policy.
func (a *Alert) open(at time.Time, policy *AlertPolicy) {
	a.State, a.Reason, a.DuplicateOf = AlertOpen, "", AlertID{}
	a.OpenedAt, a.OverdueNoted = at, 0
	a.AcknowledgedAt, a.AcknowledgedBy, a.ClosedAt, a.ClosedBy = time.Time{}, "", time.Time{}, ""
	a.setClocks(policy)
}

func (a *Alert) setClocks(policy *AlertPolicy) {
	a.AcknowledgeDue, a.CloseDue = time.Time{}, time.Time{}
	clock := policy.Clocks[a.Level]
	if clock.Acknowledge > 0 {
		a.AcknowledgeDue = a.OpenedAt.Add(clock.Acknowledge)
	}
	if clock.Close > 0 {
		a.CloseDue = a.OpenedAt.Add(clock.Close)
	}
}

// NewAlert is the alert that a detection opens.
func NewAlert(d *Detection, title string, tags []string, at time.Time, policy *AlertPolicy) *Alert {
	hash := AlertKey(d.Rule, d.Key)
	a := &Alert{
		ID: NewAlertID(d.Host, hash, d.Ref), Host: d.Host, Rule: d.Rule, Key: d.Key, KeyHash: hash, Title: title, Tags: tags,
		RuleLevel: d.Level, Level: d.Level, FirstSeen: d.BookedAt, LastSeen: d.BookedAt,
	}
	a.open(at, policy)
	a.hold(d)
	return a
}

func (a *Alert) hold(d *Detection) {
	a.Count++
	if d.BookedAt.Before(a.FirstSeen) {
		a.FirstSeen = d.BookedAt
	}
	if a.Latest == (EventRef{}) || !d.BookedAt.Before(a.LastSeen) {
		a.LastSeen, a.Latest = d.BookedAt, d.Ref
	}
}

// Admission is what an alert makes of a detection.
type Admission uint8

// The admissions.
const (
	Refuse Admission = iota // another alert is to be opened
	Held                    // it is one more
	Again                   // it opened the alert again
)

// Admit takes a detection in, or refuses it. What happened before a closing is
// part of what was closed; what happens within the policy's time after it opens
// the alert again.
func (a *Alert) Admit(d *Detection, at time.Time, policy *AlertPolicy) Admission {
	if a.State != AlertClosed || !d.BookedAt.After(a.ClosedAt) {
		a.hold(d)
		return Held
	}
	if d.BookedAt.Sub(a.ClosedAt) > policy.ReopenWithin {
		return Refuse
	}
	a.Reopen(at, policy)
	a.hold(d)
	return Again
}

// Reopen opens a closed alert again; its clocks start anew.
func (a *Alert) Reopen(at time.Time, policy *AlertPolicy) {
	a.Opening++
	a.open(at, policy)
}

// Acknowledge says that somebody looks at it. It is Conflict unless it is open.
func (a *Alert) Acknowledge(by string, at time.Time) error {
	if a.State != AlertOpen {
		return Errorf(Conflict, "alert %s is %s, only an open one is acknowledged", a.ID, a.State)
	}
	a.State, a.AcknowledgedBy, a.AcknowledgedAt = AlertAcknowledged, by, at
	if a.Assignee == "" {
		a.Assignee = by
	}
	return nil
}

// Close ends it with a reason. It is Conflict for a closed one.
func (a *Alert) Close(by, reason string, duplicateOf AlertID, at time.Time) error {
	if a.State == AlertClosed {
		return Errorf(Conflict, "alert %s is closed already", a.ID)
	}
	if reason == ClosedDuplicate && (duplicateOf == AlertID{} || duplicateOf == a.ID) {
		return Errorf(Invalid, "name the other alert that %s is a duplicate of", a.ID)
	}
	a.State, a.Reason, a.DuplicateOf, a.ClosedBy, a.ClosedAt = AlertClosed, reason, duplicateOf, by, at
	return nil
}

// Escalate raises the level; the clocks are those of the new level, from the
// same opening. It is Conflict where it would not rise.
func (a *Alert) Escalate(level Level, policy *AlertPolicy) error {
	if a.State == AlertClosed {
		return Errorf(Conflict, "alert %s is closed", a.ID)
	}
	if level <= a.Level {
		return Errorf(Conflict, "alert %s is %s already: it can only be raised", a.ID, a.Level)
	}
	a.Level = level
	a.setClocks(policy)
	return nil
}

// LevelClock is how soon alerts of a level must be seen to; zero: no clock.
type LevelClock struct {
	Acknowledge time.Duration `json:"acknowledge,omitempty"`
	Close       time.Duration `json:"close,omitempty"`
}

// AlertPolicy says how alerts are opened and how soon they must be seen to.
type AlertPolicy struct {
	Clocks       [Critical + 1]LevelClock `json:"clocks"`
	ReopenWithin time.Duration            `json:"reopen_within"`
	AlertFrom    Level                    `json:"alert_from"`
	By           string                   `json:"by"`
	Reason       string                   `json:"reason"`
	ChangedAt    time.Time                `json:"changed_at"`
	Position     uint64                   `json:"-"`
}

// DefaultAlertPolicy holds until somebody changes it.
func DefaultAlertPolicy() AlertPolicy {
	const day = 24 * time.Hour
	return AlertPolicy{
		Clocks: [...]LevelClock{
			Low: {day, 30 * day}, Medium: {8 * time.Hour, 7 * day}, High: {time.Hour, 3 * day}, Critical: {15 * time.Minute, day},
		},
		ReopenWithin: 7 * day, AlertFrom: Medium,
	}
}

// maxClock bounds the times of a policy.
const maxClock = 366 * 24 * time.Hour

// Validate is Invalid for times that are none.
func (p *AlertPolicy) Validate() error {
	bad := func(d time.Duration) bool { return d < 0 || d > maxClock || d > 0 && d < time.Minute }
	for level, c := range p.Clocks {
		if bad(c.Acknowledge) || bad(c.Close) {
			return Errorf(Invalid, "the clocks of level %q: use one minute to %d days, or none", Level(level), maxClock/(24*time.Hour))
		}
		if c.Acknowledge > 0 && c.Close > 0 && c.Close < c.Acknowledge {
			return Errorf(Invalid, "alerts of level %q would be due to be closed before they are due to be acknowledged", Level(level))
		}
	}
	if p.ReopenWithin < 0 || p.ReopenWithin > maxClock {
		return Errorf(Invalid, "the time to open alerts again is not between none and %d days", maxClock/(24*time.Hour))
	}
	if p.Reason == "" {
		return Errorf(Invalid, "say why the policy changes")
	}
	return nil
}

// Review is a person's going through alerts and logs.
type Review struct {
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Note     string    `json:"note"`
	Open     int       `json:"open"`
	Overdue  int       `json:"overdue"`
	Position uint64    `json:"-"`
}

// MaxNote bounds a note or a reason, in bytes.
const MaxNote = 4000
