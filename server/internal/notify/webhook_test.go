package notify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// delivered sends one alert to one target and returns what arrived.
func (b *bundle) delivered(r *receiver) received {
	b.t.Helper()
	b.take()
	attempts, _ := b.run()
	if err := receive(b.t, attempts); err != nil {
		b.t.Fatal(err)
	}
	return receive(b.t, r.got)
}

// The signature is verified here as docs/notifications.md tells receivers to.
func verify(secret string, header http.Header, body []byte, now time.Time) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	seconds, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(header.Get("webhook-id") + "." + header.Get("webhook-timestamp") + "." + string(body)))
	return hmac.Equal([]byte(header.Get("webhook-signature")), []byte("v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))))
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, nil)
	_, secret := b.webhook(r, "siem", "json")
	alert := b.alert("Encoded \u202ePowerShell\r\nX-Evil: 1")
	got := b.delivered(r)
	if got.path != "/hook/T0P" || got.header.Get("Authorization") != "Splunk 0123" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("came to %s with %v", got.path, got.header)
	}
	now := time.Now()
	if !verify(secret, got.header, got.body, now) {
		t.Error("the signature does not verify")
	}
	if verify(secret, got.header, append(got.body, ' '), now) || verify(secret, got.header, got.body, now.Add(time.Hour)) || verify("whsec_AAAA", got.header, got.body, now) {
		t.Error("the signature verifies another body, an hour later, or with another secret")
	}
	var body jsonBody
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	a := body.Data.Alert
	if body.Type != assay.NotifyAlertOpen || a == nil || a.ID != alert.String() || a.HostName != "WS-0001" || a.Level != "high" || a.Count != 3 || a.AcknowledgeDue.IsZero() {
		t.Errorf("body %s", got.body)
	}
	if a.Title != `Encoded \u202ePowerShell\u000d\u000aX-Evil: 1` {
		t.Errorf("title %q", a.Title)
	}
	if body.Data.Link != "https://assay.example:8443/alerts/"+alert.String() {
		t.Errorf("link %q", body.Data.Link)
	}
}

// The attributes that OCSF 1.4 requires of a Detection Finding, with the values
// that its class fixes.
func TestOCSF(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, nil)
	b.webhook(r, "siem", "ocsf")
	alert := b.alert("Encoded PowerShell")
	got := b.delivered(r)
	var f map[string]any
	if err := json.Unmarshal(got.body, &f); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"class_uid": 2004, "category_uid": 2, "activity_id": 1, "type_uid": 200401, "severity_id": 4, "status_id": 1} {
		if f[name] != want {
			t.Errorf("%s is %v, want %v", name, f[name], want)
		}
	}
	if at, ok := f["time"].(float64); !ok || time.Since(time.UnixMilli(int64(at))).Abs() > time.Hour {
		t.Errorf("time is %v, not in milliseconds", f["time"])
	}
	metadata, _ := f["metadata"].(map[string]any)
	product, _ := metadata["product"].(map[string]any)
	if metadata["version"] != "1.4.0" || product["vendor_name"] == "" || product["name"] == nil {
		t.Errorf("metadata %v", metadata)
	}
	info, _ := f["finding_info"].(map[string]any)
	analytic, _ := info["analytic"].(map[string]any)
	if info["uid"] != alert.String() || info["title"] != "Encoded PowerShell" || analytic["type_id"] != 1.0 || analytic["uid"] != "0f1a" {
		t.Errorf("finding_info %v", info)
	}
}

// A redirect could lead where the policy of addresses and the signature do not
// reach.
func TestRedirectIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	other := newReceiver(t, nil)
	r := newReceiver(t, func(_ int, w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, other.URL, http.StatusTemporaryRedirect)
	})
	id, _ := b.webhook(r, "siem", "json")
	d := b.test(id)
	if d.State != assay.DeliveryFailed || !strings.Contains(d.Attempts[0].Detail, "redirects") {
		t.Errorf("log: %+v", d)
	}
	if len(other.got) > 0 {
		t.Error("the redirect was followed")
	}
}

// test sends a test message and returns its entry in the log.
func (b *bundle) test(id assay.TargetID) assay.Delivery {
	b.t.Helper()
	delivery, err := b.Test(b.t.Context(), id, "admin")
	if err != nil {
		b.t.Fatal(err)
	}
	notice, err := b.db.Notice(b.t.Context(), delivery)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(notice.Attempts) != 1 || notice.Kind != assay.NotifyTest {
		b.t.Fatalf("log of a test: %+v", notice.Delivery)
	}
	return notice.Delivery
}

// Without --notify-network nothing goes to this machine, and the log says so
// without the URL.
func TestLocalAddressIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	b.cfg.Networks = Networks{}
	r := newReceiver(t, nil)
	id, _ := b.webhook(r, "siem", "json")
	d := b.test(id)
	if d.State != assay.DeliveryFailed || !strings.Contains(d.Attempts[0].Detail, "--notify-network") || strings.Contains(d.Attempts[0].Detail, "T0P") {
		t.Errorf("log: %+v", d)
	}
	if len(r.got) > 0 {
		t.Error("it was sent")
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"192.0.2.1": true, "10.1.2.3": true, "192.168.0.9": true, "2001:db8::1": true, "fd00::1": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "::ffff:127.0.0.1": false, "169.254.169.254": false, "fe80::1%eth0": false,
		"0.0.0.0": false, "0.1.2.3": false, "::": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b::c000:201": true, "::ffff:169.254.169.254": false,
	} {
		if err := (Networks{}).check(netip.MustParseAddr(address)); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	only := Networks{Only: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")}}
	for address, want := range map[string]bool{"10.1.2.3": true, "127.0.0.1": true, "::ffff:10.1.2.3": true, "127.0.0.2": false, "192.0.2.1": false} {
		if err := only.check(netip.MustParseAddr(address)); (err == nil) != want {
			t.Errorf("only: %s: %v", address, err)
		}
	}
}

// Secrets are not in the database in clear, and open for their own target only.
func TestSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, nil)
	id, secret := b.webhook(r, "siem", "json")
	other, _ := b.webhook(r, "other", "json")
	var row string
	if err := b.pool.QueryRow(t.Context(), `SELECT row_to_json(t)::text || encode(secrets, 'escape') FROM notification_target t WHERE id = $1`, [16]byte(id)).Scan(&row); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{strings.TrimPrefix(secret, "whsec_"), "Splunk", "T0P"} {
		if strings.Contains(row, hidden) {
			t.Errorf("the database holds %q", hidden)
		}
	}
	if !strings.Contains(row, "/…") {
		t.Errorf("the address is not shown as cut: %s", row)
	}
	b.exec(`UPDATE notification_target SET secrets = (SELECT secrets FROM notification_target WHERE id = $1) WHERE id = $2`, [16]byte(id), [16]byte(other))
	if d := b.test(other); d.State != assay.DeliveryFailed || !strings.Contains(d.Attempts[0].Detail, "cannot be opened") {
		t.Errorf("secrets moved to another target: %+v", d)
	}
	sealer, err := NewSealer(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Sealer = sealer
	if d := b.test(id); d.State != assay.DeliveryFailed || !strings.Contains(d.Attempts[0].Detail, "cannot be opened") {
		t.Errorf("opened with another key: %+v", d)
	}
}

// The vector of docs/notifications.md.
func TestSignatureVector(t *testing.T) {
	t.Parallel()
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	got := sign(key, "0d3f6a52-9c0e-4b53-8a5c-1f2e3d4c5b6a", 1795788131, []byte(`{"type":"test"}`))
	page, err := os.ReadFile("../../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	if secret := secretPrefix + base64.StdEncoding.EncodeToString(key); !strings.Contains(string(page), secret) || !strings.Contains(string(page), "`"+got+"`") {
		t.Errorf("the documented vector is not %s for %s", got, secret)
	}
}
