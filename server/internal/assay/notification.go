package assay

import (
	"errors"
	"slices"
	"time"
)

// TargetID names a notification target, DeliveryID one message to one target.
type (
	TargetID   [16]byte
	DeliveryID [16]byte
)

func (id TargetID) String() string   { return formatID(id) }
func (id DeliveryID) String() string { return formatID(id) }

// ParseTargetID reads a UUID.
func ParseTargetID(text string) (TargetID, error) {
	id, err := parseID(text)
	return TargetID(id), err
}

// ParseDeliveryID reads a UUID.
func ParseDeliveryID(text string) (DeliveryID, error) {
	id, err := parseID(text)
	return DeliveryID(id), err
}

// Kinds of target.
const (
	TargetWebhook = "webhook"
	TargetEmail   = "email"
	TargetSyslog  = "syslog"
)

// NotificationKind says what a message tells.
type NotificationKind string

// The kinds of message. A test is sent by a person, all others by the server.
const (
	NotifyAlertOpen     NotificationKind = "alert.open"
	NotifyAlertReopen   NotificationKind = "alert.reopen"
	NotifyAlertEscalate NotificationKind = "alert.escalate"
	NotifyAlertOverdue  NotificationKind = "alert.overdue"
	NotifyTest          NotificationKind = "test"
)

// NotificationKinds are those that a target may choose from.
func NotificationKinds() []string {
	return []string{string(NotifyAlertOpen), string(NotifyAlertReopen), string(NotifyAlertEscalate), string(NotifyAlertOverdue)}
}

// Target is somewhere that alerts are told to.
type Target struct {
	ID   TargetID
	Name string
	Kind string
	// Address is what may be shown: host:port, or a URL without its path.
	Address  string
	Settings TargetSettings
	// Sealed are the secrets, encrypted; only package notify opens them.
	Sealed []byte
	// Levels and Kinds choose what is told; none: all.
	Levels  []string
	Kinds   []string
	Enabled bool

	CreatedBy     string
	CreatedAt     time.Time
	ChangedBy     string
	ChangedAt     time.Time
	ChangedReason string
	Position      uint64
}

// TargetSettings are of one kind or another; what is not of it is empty.
type TargetSettings struct {
	Format   string   `json:"format,omitempty"`   // webhook: json, ocsf
	Security string   `json:"security,omitempty"` // email: starttls, tls
	From     string   `json:"from,omitempty"`
	To       []string `json:"to,omitempty"`
	Username string   `json:"username,omitempty"`
	CA       string   `json:"ca,omitempty"` // PEM; empty: the system's trust
}

// TargetSecrets are never shown again. URL is here because the path of many a
// webhook is its password.
type TargetSecrets struct {
	URL           string `json:"url,omitempty"`
	SigningKey    []byte `json:"signing_key,omitempty"`
	Authorization string `json:"authorization,omitempty"`
	Password      string `json:"password,omitempty"`
}

// MaxTargets is how many targets there can be.
const MaxTargets = 100

// Wants reports whether the target is told of such a thing.
func (t *Target) Wants(kind NotificationKind, level string) bool {
	return t.Enabled && (len(t.Levels) == 0 || slices.Contains(t.Levels, level)) && (len(t.Kinds) == 0 || slices.Contains(t.Kinds, string(kind)))
}

// DeliveryState is what became of a message.
type DeliveryState string

// The states of a delivery. A cancelled one's target was turned off before it
// could be told.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"
	DeliveryCancelled DeliveryState = "cancelled"
)

// ParseDeliveryState reads a state.
func ParseDeliveryState(text string) (DeliveryState, error) {
	switch s := DeliveryState(text); s {
	case DeliveryPending, DeliveryDelivered, DeliveryFailed, DeliveryCancelled:
		return s, nil
	}
	return "", Errorf(Invalid, "%q is no state of a delivery: use pending, delivered, failed or cancelled", text)
}

// Delivery is one message to one target.
type Delivery struct {
	ID            DeliveryID
	Target        TargetID
	Kind          NotificationKind
	Alert         AlertID // zero for a test
	Level         string
	Detail        string
	State         DeliveryState
	OccurredAt    time.Time
	CreatedAt     time.Time
	FinishedAt    time.Time
	NextAttemptAt time.Time
	Attempts      []DeliveryAttempt
}

// DeliveryAttempt is one try.
type DeliveryAttempt struct {
	At     time.Time
	Took   time.Duration
	OK     bool
	Detail string
}

// MaxDeliveryAttempts is how often a message is tried, with the waits that
// RetryDeliveryAfter gives: over about 22 hours.
const MaxDeliveryAttempts = 16

const (
	firstDeliveryWait = 10 * time.Second
	maxDeliveryWait   = 4 * time.Hour
)

// RetryDeliveryAfter is the wait after the given attempt, the first being 1:
// twice as long each time, up to four hours.
func RetryDeliveryAfter(attempt int) time.Duration {
	attempt = min(max(attempt, 1), MaxDeliveryAttempts)
	return min(firstDeliveryWait<<(attempt-1), maxDeliveryWait)
}

// MaxRetryAfter bounds how long a receiver may ask to be left alone.
const MaxRetryAfter = time.Hour

// RetryAfter is the failure of an attempt whose receiver said when to come again.
type RetryAfter struct {
	Err  error
	Wait time.Duration
}

func (e *RetryAfter) Error() string { return e.Err.Error() }
func (e *RetryAfter) Unwrap() error { return e.Err }

// DeliveryWait is the wait after the given attempt, which failed with err. What a
// receiver asks for makes it longer and never shorter: who asks for a second each
// time would use up all attempts in a quarter of a minute.
func DeliveryWait(attempt int, err error) time.Duration {
	wait := RetryDeliveryAfter(attempt)
	var asked *RetryAfter
	if errors.As(err, &asked) {
		wait = max(wait, min(asked.Wait, MaxRetryAfter))
	}
	return wait
}
