package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"strings"

	"github.com/assay-audit/assay/server/internal/assay"
)

// maxSubject keeps a subject on few lines of a list.
const maxSubject = 150

// sendEmail hands a message to a mail server, over TLS in any case.
func (n *Notifier) sendEmail(ctx context.Context, m *message, secrets *assay.TargetSecrets) (detail string, err error) {
	set := &m.Target.Settings
	text, err := m.email()
	if err != nil {
		return "", err
	}
	host, _, err := net.SplitHostPort(m.Target.Address)
	if err != nil {
		return "", fmt.Errorf("reading the mail server's address: %w", err)
	}
	settings, err := tlsConfig(set.CA, host)
	if err != nil {
		return "", err
	}
	conn, err := n.cfg.Networks.dial(ctx, m.Target.Address)
	if err != nil {
		return "", err
	}
	if set.Security == "tls" {
		conn = tls.Client(conn, settings)
	}
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return "", errors.Join(fmt.Errorf("greeting the mail server: %w", err), conn.Close())
	}
	defer func() { _ = client.Close() }() // after Quit, or after an error that tells more
	if err := n.login(client, m, secrets, settings, host); err != nil {
		return "", err
	}
	if err := client.Mail(set.From); err != nil {
		return "", fmt.Errorf("naming the sender: %w", err)
	}
	for _, to := range set.To {
		if err := client.Rcpt(to); err != nil {
			return "", fmt.Errorf("naming the recipient %s: %w", to, err)
		}
	}
	w, err := client.Data()
	if err != nil {
		return "", fmt.Errorf("sending the mail: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return "", fmt.Errorf("sending the mail: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("sending the mail: %w", err)
	}
	_ = client.Quit() // the server has taken the mail by now
	return fmt.Sprintf("taken by the mail server; recipients: %d", len(set.To)), nil
}

// login secures the connection before any secret goes over it.
func (n *Notifier) login(client *smtp.Client, m *message, secrets *assay.TargetSecrets, settings *tls.Config, host string) error {
	if err := client.Hello(heloName(m.host)); err != nil {
		return fmt.Errorf("greeting the mail server: %w", err)
	}
	if m.Target.Settings.Security == "starttls" {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return errors.New("the mail server offers no STARTTLS, and mail is not sent in clear")
		}
		if err := client.StartTLS(settings); err != nil {
			return fmt.Errorf("securing the connection: %w", err)
		}
	}
	if m.Target.Settings.Username == "" {
		return nil
	}
	if err := client.Auth(smtp.PlainAuth("", m.Target.Settings.Username, secrets.Password, host)); err != nil {
		return fmt.Errorf("signing in to the mail server as %s: %w", plain(m.Target.Settings.Username), err)
	}
	return nil
}

// heloName is a host name as the greeting may hold.
func heloName(host string) string {
	keep := func(r rune) rune {
		if r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}
	if name := strings.Map(keep, host); name != "" {
		return name
	}
	return "localhost"
}

// email is the whole mail. What others chose is in the subject, encoded, and in
// the body, quoted: neither can begin a header.
func (m *message) email() ([]byte, error) {
	set := &m.Target.Settings
	subject := []rune("[Assay] " + m.summary())
	if len(subject) > maxSubject {
		subject = append(subject[:maxSubject-1], '…')
	}
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", set.From)
	header("To", strings.Join(set.To, ",\r\n "))
	header("Subject", mime.QEncoding.Encode("utf-8", string(subject)))
	header("Date", m.now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	// The same for every attempt, so that a mail that came twice is seen to be one.
	header("Message-ID", "<"+m.ID.String()+"@"+heloName(m.host)+">")
	if m.Kind != assay.NotifyTest {
		// Mails of one alert are one conversation.
		header("References", "<alert."+m.Delivery.Alert.String()+"@"+heloName(m.host)+">")
	}
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(m.lines())); err != nil {
		return nil, fmt.Errorf("writing mail %s: %w", m.ID, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing mail %s: %w", m.ID, err)
	}
	return b.Bytes(), nil
}
