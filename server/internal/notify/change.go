package notify

import (
	"context"
	"net/url"

	"github.com/assay-audit/assay/server/internal/assay"
)

// NewSecrets are what a change gives anew; nil keeps what was, empty is none.
type NewSecrets struct{ Password, Authorization *string }

// Change makes a target what t says, for a reason of a person's (t.ChangedReason,
// t.ChangedBy). Its kind and a webhook's signing key stay, and an empty address
// keeps a webhook's URL. Where it leads elsewhere, to another host or to whoever
// another CA vouches for, the secrets that are sent there must be given anew: else
// who may change a target could have them sent to himself.
func (n *Notifier) Change(ctx context.Context, t *assay.Target, given NewSecrets) error {
	was, err := n.cfg.Store.Target(ctx, t.ID)
	if err != nil {
		return err
	}
	t.Kind = was.Kind
	secrets, err := n.cfg.Sealer.open(was.ID, was.Sealed)
	if err != nil {
		return assay.Errorf(assay.Conflict, "%w", err)
	}
	elsewhere := t.Settings.CA != was.Settings.CA || t.Settings.Security != was.Settings.Security
	if t.Kind == assay.TargetWebhook {
		old := hostOf(secrets.URL)
		if t.Address != "" && t.Address != was.Address {
			secrets.URL = t.Address
		}
		t.Address = shown(secrets.URL)
		elsewhere = elsewhere || hostOf(secrets.URL) != old
	} else {
		elsewhere = elsewhere || t.Address != was.Address
	}
	if err := renew(&secrets.Authorization, given.Authorization, elsewhere, "Authorization header"); err != nil {
		return err
	}
	if t.Kind == assay.TargetEmail && t.Settings.Username == "" {
		secrets.Password = ""
	}
	if err := renew(&secrets.Password, given.Password, elsewhere || t.Settings.Username != was.Settings.Username, "password"); err != nil {
		return err
	}
	if err := validate(t, &secrets); err != nil {
		return err
	}
	if _, err := tlsConfig(t.Settings.CA, ""); err != nil {
		return assay.Errorf(assay.Invalid, "%w", err)
	}
	if t.Sealed, err = n.cfg.Sealer.Seal(t.ID, &secrets); err != nil {
		return err
	}
	return n.cfg.Store.ChangeTarget(ctx, t, &was)
}

// renew takes a secret that was given, or lets it stay if it may.
func renew(secret, given *string, elsewhere bool, name string) error {
	if given != nil {
		*secret = *given
		return nil
	}
	if elsewhere && *secret != "" {
		return assay.Errorf(assay.Invalid, "the %s was given for another host, CA or user: give it anew, or an empty one to send none", name)
	}
	return nil
}

func hostOf(text string) string {
	at, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return at.Host
}
