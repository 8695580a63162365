package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// message is what is told, before a target's form is given to it.
type message struct {
	postgres.Notice
	// link is the alert's page, or the console's for a test.
	link    string
	version string // of the server
	host    string // the server's name
	now     time.Time
}

// maxText bounds each text of a message, in bytes. A rule's title and a host's
// name are chosen by others.
const maxText = 500

// plain makes a text of others safe for one line of anything: control
// characters and what reorders text become visible, the rest stays.
func plain(text string) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() > maxText {
			b.WriteString("…")
			break
		}
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// summary is one line.
func (m *message) summary() string {
	if m.Kind == assay.NotifyTest {
		return "Assay test message, sent by " + plain(m.Detail)
	}
	what := map[assay.NotificationKind]string{
		assay.NotifyAlertOpen: "New alert", assay.NotifyAlertReopen: "Alert opened again",
		assay.NotifyAlertEscalate: "Alert raised to " + m.Detail, assay.NotifyAlertOverdue: "Alert overdue to be " + pastTense(m.Detail),
	}[m.Kind]
	host := m.Alert.HostName
	if host == "" {
		host = m.Alert.Host.String()
	}
	return fmt.Sprintf("%s (%s): %s on %s", what, m.Delivery.Level, plain(m.title()), plain(host))
}

func pastTense(clock string) string {
	if clock == "acknowledge" {
		return "acknowledged"
	}
	return "closed"
}

// title is never empty: the alert of a late message may be gone.
func (m *message) title() string {
	if m.Alert.Title == "" {
		return "alert " + m.Delivery.Alert.String()
	}
	return m.Alert.Title
}

// lines are the message for people to read.
func (m *message) lines() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-16s %s\n", name+":", plain(value))
		}
	}
	fmt.Fprintf(&b, "%s\n\n", m.summary())
	if m.Kind != assay.NotifyTest {
		a := &m.Alert
		line("Rule", strings.Trim(a.Pack+" / "+a.Rule, " /"))
		line("Level", a.Level)
		line("Host", a.HostName)
		line("State", a.State)
		line("Assigned to", a.Assignee)
		line("Detections", fmt.Sprint(a.Count))
		line("First seen", stamp(a.FirstSeen))
		line("Last seen", stamp(a.LastSeen))
		line("Acknowledge by", stamp(a.AcknowledgeDue))
		line("Close by", stamp(a.CloseDue))
		line("Tags", strings.Join(a.Tags, ", "))
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s\n\nSent by Assay %s on %s. What the event itself holds stays in the console.\n", m.link, plain(m.version), plain(m.host))
	return b.String()
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05 UTC")
}
