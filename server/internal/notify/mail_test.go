package notify

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// mailServer takes mails over SMTP as RFC 5321 has it, with STARTTLS or TLS.
type mailServer struct {
	t        *testing.T
	listener net.Listener
	settings *tls.Config
	ca       string
	starttls bool
	got      chan sentMail
}

type sentMail struct {
	from, auth string
	to         []string
	text       []byte
	secure     bool
}

func newMailServer(t *testing.T, security string) *mailServer {
	t.Helper()
	certificate := newReceiver(t, nil) // only its certificate is used
	s := &mailServer{t: t, settings: certificate.TLS.Clone(), ca: certificate.ca(), starttls: security == "starttls", got: make(chan sentMail, 10)}
	s.settings.NextProtos = nil
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if security == "tls" {
		s.listener = tls.NewListener(s.listener, s.settings)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.serve(conn, security == "tls")
		}
	}()
	t.Cleanup(func() { _ = s.listener.Close(); <-done })
	return s
}

func (s *mailServer) serve(conn net.Conn, secure bool) {
	defer func() { _ = conn.Close() }()
	text := textproto.NewConn(conn)
	say := func(line string) { _ = text.PrintfLine("%s", line) }
	say("220 mail.example ESMTP")
	m := sentMail{secure: secure}
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "EHLO":
			if s.starttls && !m.secure {
				say("250-mail.example\r\n250 STARTTLS")
			} else {
				say("250-mail.example\r\n250 AUTH PLAIN")
			}
		case "STARTTLS":
			say("220 go on")
			upgraded := tls.Server(conn, s.settings)
			text, m.secure = textproto.NewConn(upgraded), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			m.auth = string(raw)
			say("235 welcome")
		case "MAIL":
			m.from = rest
			say("250 ok")
		case "RCPT":
			m.to = append(m.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			if m.text, err = text.ReadDotBytes(); err != nil {
				return
			}
			s.got <- m
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 what?")
		}
	}
}

func (b *bundle) mailTarget(s *mailServer, security string) assay.TargetID {
	b.t.Helper()
	target := assay.Target{Name: "soc", Kind: assay.TargetEmail, Address: s.listener.Addr().String(), CreatedBy: "admin",
		Settings: assay.TargetSettings{Security: security, From: "assay@example.org", To: []string{"soc@example.org", "lead@example.org"}, Username: "assay", CA: s.ca}}
	if _, err := b.Create(b.t.Context(), &target, assay.TargetSecrets{Password: "s3cret"}); err != nil {
		b.t.Fatal(err)
	}
	return target.ID
}

func TestEmail(t *testing.T) {
	t.Parallel()
	for _, security := range []string{"starttls", "tls"} {
		t.Run(security, func(t *testing.T) {
			t.Parallel()
			b := setup(t, DefaultAttemptTime)
			s := newMailServer(t, security)
			b.mailTarget(s, security)
			alert := b.alert("Ransom note é\r\nBcc: evil@example.org\r\n\r\n.\r\nMAIL FROM:<evil@example.org>")
			b.take()
			attempts, _ := b.run()
			if err := receive(t, attempts); err != nil {
				t.Fatal(err)
			}
			m := receive(t, s.got)
			if !m.secure || m.auth != "\x00assay\x00s3cret" || !strings.HasPrefix(m.from, "FROM:<assay@example.org>") || len(m.to) != 2 {
				t.Errorf("envelope %+v", m)
			}
			if len(s.got) > 0 {
				t.Error("a second mail was smuggled in")
			}
			checkMail(t, m.text, alert.String())
		})
	}
}

func checkMail(t *testing.T, text []byte, alert string) {
	t.Helper()
	parsed, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name := range parsed.Header {
		if !slices.Contains([]string{"From", "To", "Subject", "Date", "Message-Id", "References", "Auto-Submitted", "Mime-Version", "Content-Type", "Content-Transfer-Encoding"}, name) {
			t.Errorf("header %s: %q", name, parsed.Header[name])
		}
	}
	if to, err := parsed.Header.AddressList("To"); err != nil || len(to) != 2 {
		t.Errorf("to %v, %v", to, err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil || !strings.Contains(subject, `Ransom note é\u000d\u000aBcc:`) {
		t.Errorf("subject %q, %v", subject, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if err != nil || !strings.Contains(string(body), "https://assay.example:8443/alerts/"+alert) || !strings.Contains(string(body), "WS-0001") {
		t.Errorf("body %q, %v", body, err)
	}
}

// A mail server without STARTTLS is told nothing, the password least.
func TestMailIsNotSentInClear(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	s := newMailServer(t, "none")
	d := b.test(b.mailTarget(s, "starttls"))
	if d.State != assay.DeliveryFailed || !strings.Contains(d.Attempts[0].Detail, "STARTTLS") || len(s.got) > 0 {
		t.Errorf("log: %+v", d)
	}
}

// syslogServer reads frames of RFC 5425 until the sender closes.
func syslogServer(t *testing.T) (address, ca string, got chan string) {
	t.Helper()
	certificate := newReceiver(t, nil) // only its certificate is used
	settings := certificate.TLS.Clone()
	settings.NextProtos = nil
	listener, err := tls.Listen("tcp", "127.0.0.1:0", settings)
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan string, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			text, err := io.ReadAll(bufio.NewReader(conn))
			if err != nil {
				t.Error(err)
			}
			got <- string(text)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String(), certificate.ca(), got
}

func TestSyslog(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	address, ca, got := syslogServer(t)
	target := assay.Target{Name: "collector", Kind: assay.TargetSyslog, Address: address, CreatedBy: "admin", Settings: assay.TargetSettings{CA: ca}}
	if _, err := b.Create(t.Context(), &target, assay.TargetSecrets{}); err != nil {
		t.Fatal(err)
	}
	b.alert("x\" evil=\"1\"] \\ \n<0>1 - - - - - -")
	b.take()
	attempts, _ := b.run()
	if err := receive(t, attempts); err != nil {
		t.Fatal(err)
	}
	frame := receive(t, got)
	length, text, _ := strings.Cut(frame, " ")
	if want := len(text); length != strconv.Itoa(want) {
		t.Errorf("a frame of %s bytes holds %d", length, want)
	}
	// Facility 14, severity 3.
	if !strings.HasPrefix(text, "<115>1 2") || !strings.Contains(text, " server.example assay - alert.open [assay@32473 ") {
		t.Errorf("header of %q", text)
	}
	if !strings.Contains(text, ` title="x\" evil=\"1\"\] \\ \\u000a<0>1 - - - - - -" `) {
		t.Errorf("the title can leave its value: %q", text)
	}
	if strings.ContainsAny(text, "\r\n\x00") {
		t.Errorf("control characters in %q", text)
	}
	if d := b.deliveries()[0].Attempts[0]; !strings.Contains(d.Detail, "closed in order") {
		t.Errorf("log: %+v", d)
	}
}

func TestTargetsThatCannotBe(t *testing.T) {
	t.Parallel()
	mailTo := func(from string, to ...string) assay.Target {
		return assay.Target{Name: "x", Kind: assay.TargetEmail, Address: "mail.example:587", Settings: assay.TargetSettings{Security: "tls", From: from, To: to}}
	}
	webhook := func(address string) assay.Target {
		return assay.Target{Name: "x", Kind: assay.TargetWebhook, Address: address, Settings: assay.TargetSettings{Format: "json"}}
	}
	good := []assay.Target{mailTo("a@example.org", "b@example.org"), webhook("https://example.org/x?y=z"), {Name: "x", Kind: assay.TargetSyslog, Address: "[2001:db8::1]:6514"}}
	bad := []assay.Target{
		mailTo("a@example.org\r\nBcc: c@example.org", "b@example.org"), mailTo("a@example.org", "b@example.org\nX: y"), mailTo("A <a@example.org>", "b@example.org"),
		mailTo("a@example.org"), mailTo("a@example.org", "b@example.org,c@example.org"), mailTo("a@example.org", "not an address"),
		webhook("http://example.org/"), webhook("https://user:pw@example.org/"), webhook("https:///x"), webhook("file:///etc/passwd"), webhook("https://example.org/\r\nX: y"),
		{Name: "x", Kind: assay.TargetSyslog, Address: "host"}, {Name: "x", Kind: assay.TargetSyslog, Address: "host:0"}, {Name: "x", Kind: assay.TargetSyslog, Address: "host:99999"},
		{Name: " ", Kind: assay.TargetSyslog, Address: "host:1"}, {Name: "x", Kind: "pigeon", Address: "host:1"},
		{Name: "x", Kind: assay.TargetSyslog, Address: "host:1", Levels: []string{"loud"}}, {Name: "x", Kind: assay.TargetSyslog, Address: "host:1", Kinds: []string{"test"}},
	}
	for i, list := range [][]assay.Target{good, bad} {
		for _, target := range list {
			secrets := assay.TargetSecrets{}
			if target.Kind == assay.TargetWebhook {
				secrets.URL = target.Address
			}
			if err := validate(&target, &secrets); (err == nil) != (i == 0) {
				t.Errorf("%+v: %v", target, err)
			}
		}
	}
	secrets := assay.TargetSecrets{Password: "without a user"}
	target := mailTo("a@example.org", "b@example.org")
	if validate(&target, &secrets) == nil {
		t.Error("a password without a user name is taken")
	}
}

// FuzzMessage lets others choose every text of a message: no form of it may
// leave its place.
func FuzzMessage(f *testing.F) {
	f.Add("title", "host", "rule", "tag")
	f.Add("a\r\nBcc: x@y\r\n\r\n.\r\n", "h\x00\u202e", `"]\`, "=?utf-8?q?x?=")
	f.Fuzz(func(t *testing.T, title, host, rule, tag string) {
		m := &message{version: "1", host: host, now: time.Unix(1e9, 0), link: "https://assay.example/alerts/1"}
		m.Kind, m.Delivery.Alert, m.Delivery.Level = assay.NotifyAlertOpen, assay.AlertID{1}, "high"
		m.Target.Settings = assay.TargetSettings{From: "a@example.org", To: []string{"b@example.org"}}
		m.Alert = postgres.NoticeAlert{Title: title, HostName: host, Rule: rule, Tags: slices.Repeat([]string{tag}, 60), Level: "high"}
		text, err := m.email()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil || len(parsed.Header) != 10 {
			t.Fatalf("mail %q: %v", text, err)
		}
		line := m.syslog()
		if len(line) > maxSyslog || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
			t.Errorf("syslog %q", line)
		}
		for _, format := range []string{"json", "ocsf"} {
			m.Target.Settings.Format = format
			if _, err := m.body(); err != nil {
				t.Error(err)
			}
		}
	})
}
