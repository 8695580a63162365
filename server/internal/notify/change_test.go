package notify

import (
	"strings"
	"testing"

	"github.com/assay-audit/assay/server/internal/assay"
)

// change is a target as it is, to be changed: a person sees no more of it.
func (b *bundle) change(id assay.TargetID) assay.Target {
	b.t.Helper()
	t, err := b.db.Target(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	t.Sealed, t.ChangedBy, t.ChangedReason = nil, "admin", "it moved"
	return t
}

// What a target is told of, its name and its path change; its secrets stay.
func TestChangeKeepsSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, nil)
	id, secret := b.webhook(r, "siem", "json")
	to := b.change(id)
	to.Name, to.Kind, to.Address, to.Levels, to.Settings.Format = "collector", assay.TargetSyslog, r.URL+"/other/T1P", []string{"high"}, "ocsf"
	if err := b.Change(t.Context(), &to, NewSecrets{}); err != nil {
		t.Fatal(err)
	}
	b.alert("Encoded PowerShell")
	got := b.delivered(r)
	if got.path != "/other/T1P" || got.header.Get("Authorization") != "Splunk 0123" || !verify(secret, got.header, got.body, b.cfg.Now()) || !strings.Contains(string(got.body), `"class_uid"`) {
		t.Errorf("after the change %s came with %v: %s", got.path, got.header, got.body)
	}
	now := b.change(id)
	if now.Name != "collector" || now.Kind != assay.TargetWebhook || !strings.HasSuffix(now.Address, "/…") || strings.Contains(now.Address, "T1P") {
		t.Errorf("changed to %+v", now)
	}
	// Without an address the URL stays.
	now.Address, now.Settings.Format = "", "json"
	none := ""
	if err := b.Change(t.Context(), &now, NewSecrets{Authorization: &none}); err != nil {
		t.Fatal(err)
	}
	b.alert("Encoded PowerShell")
	b.take()
	if got := receive(t, r.got); got.path != "/other/T1P" || got.header.Get("Authorization") != "" {
		t.Errorf("after the second change %s came with %v", got.path, got.header)
	}
}

// Who may change a target may not have its secrets sent to himself.
func TestChangeSendsNoSecretElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r, other := newReceiver(t, nil), newReceiver(t, nil)
	id, _ := b.webhook(r, "siem", "json")
	mail := assay.Target{Name: "soc", Kind: assay.TargetEmail, Address: "mail.example:587", CreatedBy: "admin",
		Settings: assay.TargetSettings{Security: "starttls", From: "a@example.org", To: []string{"b@example.org"}, Username: "assay"}}
	if _, err := b.Create(t.Context(), &mail, assay.TargetSecrets{Password: "hush"}); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		id   assay.TargetID
		spot func(*assay.Target)
	}{
		"another host of a webhook": {id, func(t *assay.Target) { t.Address = other.URL + "/hook" }},
		"another CA of a webhook":   {id, func(t *assay.Target) { t.Settings.CA = "" }},
		"another mail server":       {mail.ID, func(t *assay.Target) { t.Address = "mail.evil.example:587" }},
		"another CA of it":          {mail.ID, func(t *assay.Target) { t.Settings.CA = r.ca() }},
		"another user of it":        {mail.ID, func(t *assay.Target) { t.Settings.Username = "other" }},
	} {
		to := b.change(try.id)
		try.spot(&to)
		if err := b.Change(t.Context(), &to, NewSecrets{}); assay.KindOf(err) != assay.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	to, anew := b.change(id), "Splunk 4567"
	to.Address = other.URL + "/hook"
	to.Settings.CA = other.ca()
	if err := b.Change(t.Context(), &to, NewSecrets{Authorization: &anew}); err != nil {
		t.Fatal(err)
	}
	if err := b.db.SetTargetEnabled(t.Context(), mail.ID, false, "no such server", "admin"); err != nil {
		t.Fatal(err)
	}
	b.alert("Encoded PowerShell")
	if got := b.delivered(other); got.header.Get("Authorization") != anew {
		t.Errorf("the new host was sent %v", got.header)
	}
}

// A change that cannot be, or that somebody else was quicker with, changes nothing.
func TestChangeIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, nil)
	id, _ := b.webhook(r, "siem", "json")
	b.webhook(r, "other", "json")
	taken, bad := b.change(id), b.change(id)
	taken.Name, bad.Settings.Format = "OTHER", "xml"
	if err := b.Change(t.Context(), &taken, NewSecrets{}); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a name is taken twice: %v", err)
	}
	if err := b.Change(t.Context(), &bad, NewSecrets{}); assay.KindOf(err) != assay.Invalid {
		t.Errorf("a format that is none: %v", err)
	}
	was := b.change(id)
	late := was
	late.Sealed = []byte{1}
	if err := b.db.SetTargetEnabled(t.Context(), id, false, "moved", "admin"); err != nil {
		t.Fatal(err)
	}
	if err := b.db.ChangeTarget(t.Context(), &late, &was); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a change of what was changed meanwhile: %v", err)
	}
	if n := b.count(`SELECT count(*) FROM audit_entry WHERE action = 'notification.change'`); n != 0 {
		t.Errorf("%d changes are on record", n)
	}
}
