package notify

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Bounds on a target.
const (
	maxTargetName = 64
	maxTargetText = 2048
	maxRecipients = 20
	maxCA         = 16 << 10
)

// validate is Invalid for a target that could not be told anything.
func validate(t *assay.Target, secrets *assay.TargetSecrets) error {
	if strings.TrimSpace(t.Name) == "" {
		return assay.Errorf(assay.Invalid, "a target needs a name")
	}
	if len(t.Settings.CA) > maxCA {
		return assay.Errorf(assay.Invalid, "the CA has %d bytes, at most %d", len(t.Settings.CA), maxCA)
	}
	bounds := map[string]string{
		"address": t.Address, "URL": secrets.URL, "authorization": secrets.Authorization, "password": secrets.Password, "user name": t.Settings.Username,
	}
	if err := assay.CheckText("name", t.Name, maxTargetName); err != nil {
		return err
	}
	for name, text := range bounds {
		if err := assay.CheckText(name, text, maxTargetText); err != nil {
			return err
		}
	}
	if err := validateFilter(t); err != nil {
		return err
	}
	switch t.Kind {
	case assay.TargetWebhook:
		return validateWebhook(t, secrets)
	case assay.TargetEmail:
		return validateEmail(t, secrets)
	case assay.TargetSyslog:
		return checkHostPort(t.Address)
	}
	return assay.Errorf(assay.Invalid, "%q is no kind of target: use webhook, email or syslog", t.Kind)
}

func validateFilter(t *assay.Target) error {
	for _, text := range t.Levels {
		if level, err := assay.ParseLevel(text); err != nil || level == assay.NoLevel {
			return assay.Errorf(assay.Invalid, "%q is no level: use informational, low, medium, high or critical", text)
		}
	}
	for _, kind := range t.Kinds {
		if !slices.Contains(assay.NotificationKinds(), kind) {
			return assay.Errorf(assay.Invalid, "%q is nothing that is told: use %s", kind, strings.Join(assay.NotificationKinds(), ", "))
		}
	}
	if len(t.Levels) > 10 || len(t.Kinds) > 10 {
		return assay.Errorf(assay.Invalid, "name each level and kind once")
	}
	return nil
}

func validateWebhook(t *assay.Target, secrets *assay.TargetSecrets) error {
	at, err := url.Parse(secrets.URL)
	if err != nil || at.Scheme != "https" || at.Hostname() == "" || at.User != nil || at.Fragment != "" {
		return assay.Errorf(assay.Invalid, "a webhook's address is https://HOST/PATH, without a user or a fragment")
	}
	if t.Settings.Format != "json" && t.Settings.Format != "ocsf" {
		return assay.Errorf(assay.Invalid, "%q is no format: use json or ocsf", t.Settings.Format)
	}
	return nil
}

func validateEmail(t *assay.Target, secrets *assay.TargetSecrets) error {
	if err := checkHostPort(t.Address); err != nil {
		return err
	}
	if t.Settings.Security != "starttls" && t.Settings.Security != "tls" {
		return assay.Errorf(assay.Invalid, "%q does not secure mail: use starttls or tls", t.Settings.Security)
	}
	if n := len(t.Settings.To); n == 0 || n > maxRecipients {
		return assay.Errorf(assay.Invalid, "name 1 to %d recipients, not %d", maxRecipients, n)
	}
	for _, text := range append([]string{t.Settings.From}, t.Settings.To...) {
		// What ParseAddress makes of a text must be the text: no names, comments
		// or line ends ride along into a header.
		parsed, err := mail.ParseAddress(text)
		if err != nil || parsed.Name != "" || parsed.Address != text || len(text) > 254 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return assay.Errorf(assay.Invalid, "%q is no mail address: write name@example.org", text)
		}
	}
	if (t.Settings.Username == "") != (secrets.Password == "") {
		return assay.Errorf(assay.Invalid, "a user name and a password go together")
	}
	return nil
}

func checkHostPort(text string) error {
	host, port, err := net.SplitHostPort(text)
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || number == 0 || host == "" || strings.ContainsAny(host, " /@") {
		return assay.Errorf(assay.Invalid, "%q is no address: write HOST:PORT", text)
	}
	return nil
}
