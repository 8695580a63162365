package assay

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
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

var notificationKinds = []string{string(NotifyAlertOpen), string(NotifyAlertReopen), string(NotifyAlertEscalate), string(NotifyAlertOverdue)}

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

// Bounds on a target.
const (
	MaxTargets    = 100
	maxTargetName = 64
	maxTargetText = 2048
	maxRecipients = 20
	maxCA         = 16 << 10
)

// Validate is Invalid for a target that could not be told anything.
func (t *Target) Validate(secrets *TargetSecrets) error {
	if strings.TrimSpace(t.Name) == "" {
		return Errorf(Invalid, "a target needs a name")
	}
	if len(t.Settings.CA) > maxCA {
		return Errorf(Invalid, "the CA has %d bytes, at most %d", len(t.Settings.CA), maxCA)
	}
	bounds := map[string]string{
		"address": t.Address, "URL": secrets.URL, "authorization": secrets.Authorization, "password": secrets.Password, "user name": t.Settings.Username,
	}
	if err := CheckText("name", t.Name, maxTargetName); err != nil {
		return err
	}
	for name, text := range bounds {
		if err := CheckText(name, text, maxTargetText); err != nil {
			return err
		}
	}
	if err := t.validateFilter(); err != nil {
		return err
	}
	switch t.Kind {
	case TargetWebhook:
		return t.validateWebhook(secrets)
	case TargetEmail:
		return t.validateEmail(secrets)
	case TargetSyslog:
		return checkHostPort(t.Address)
	}
	return Errorf(Invalid, "%q is no kind of target: use webhook, email or syslog", t.Kind)
}

func (t *Target) validateFilter() error {
	for _, text := range t.Levels {
		if level, err := ParseLevel(text); err != nil || level == NoLevel {
			return Errorf(Invalid, "%q is no level: use informational, low, medium, high or critical", text)
		}
	}
	for _, kind := range t.Kinds {
		if !slices.Contains(notificationKinds, kind) {
			return Errorf(Invalid, "%q is nothing that is told: use %s", kind, strings.Join(notificationKinds, ", "))
		}
	}
	if len(t.Levels) > 10 || len(t.Kinds) > 10 {
		return Errorf(Invalid, "name each level and kind once")
	}
	return nil
}

func (t *Target) validateWebhook(secrets *TargetSecrets) error {
	at, err := url.Parse(secrets.URL)
	if err != nil || at.Scheme != "https" || at.Hostname() == "" || at.User != nil || at.Fragment != "" {
		return Errorf(Invalid, "a webhook's address is https://HOST/PATH, without a user or a fragment")
	}
	if t.Settings.Format != "json" && t.Settings.Format != "ocsf" {
		return Errorf(Invalid, "%q is no format: use json or ocsf", t.Settings.Format)
	}
	return nil
}

func (t *Target) validateEmail(secrets *TargetSecrets) error {
	if err := checkHostPort(t.Address); err != nil {
		return err
	}
	if t.Settings.Security != "starttls" && t.Settings.Security != "tls" {
		return Errorf(Invalid, "%q does not secure mail: use starttls or tls", t.Settings.Security)
	}
	if n := len(t.Settings.To); n == 0 || n > maxRecipients {
		return Errorf(Invalid, "name 1 to %d recipients, not %d", maxRecipients, n)
	}
	for _, text := range append([]string{t.Settings.From}, t.Settings.To...) {
		// What ParseAddress makes of a text must be the text: no names, comments
		// or line ends ride along into a header.
		parsed, err := mail.ParseAddress(text)
		if err != nil || parsed.Name != "" || parsed.Address != text || len(text) > 254 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return Errorf(Invalid, "%q is no mail address: write name@example.org", text)
		}
	}
	if (t.Settings.Username == "") != (secrets.Password == "") {
		return Errorf(Invalid, "a user name and a password go together")
	}
	return nil
}

func checkHostPort(text string) error {
	host, port, err := net.SplitHostPort(text)
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || number == 0 || host == "" || strings.ContainsAny(host, " /@") {
		return Errorf(Invalid, "%q is no address: write HOST:PORT", text)
	}
	return nil
}

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
