package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// The headers and the signature are those of Standard Webhooks, for which
// verifying libraries exist: HMAC-SHA256 over "id.timestamp.body".
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
	secretPrefix    = "whsec_"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 10

// sign is the value of the signature's header.
func sign(key []byte, id string, seconds int64, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, seconds)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// sendWebhook posts a message. It follows no redirect and uses no proxy.
func (n *Notifier) sendWebhook(ctx context.Context, m *message, secrets *assay.TargetSecrets) (string, error) {
	body, err := m.body()
	if err != nil {
		return "", err
	}
	to, err := url.Parse(secrets.URL)
	if err != nil {
		return "", errors.New("the target's URL cannot be read")
	}
	settings, err := tlsConfig(m.Target.Settings.CA, to.Hostname())
	if err != nil {
		return "", err
	}
	transport := &http.Transport{
		DialContext: n.cfg.Networks.dialer().DialContext, TLSClientConfig: settings, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: 16 << 10,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, secrets.URL, bytes.NewReader(body))
	if err != nil {
		return "", errors.New("the target's URL cannot be read")
	}
	seconds, id := m.now.Unix(), m.ID.String()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "assay/"+m.version)
	req.Header.Set(headerID, id)
	req.Header.Set(headerTimestamp, strconv.FormatInt(seconds, 10))
	req.Header.Set(headerSignature, sign(secrets.SigningKey, id, seconds, body))
	if secrets.Authorization != "" {
		req.Header.Set("Authorization", secrets.Authorization)
	}
	res, err := client.Do(req)
	if err != nil {
		return "", withoutURL(err)
	}
	defer func() { _ = res.Body.Close() }() // only read
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return res.Status, nil
	}
	return "", later(res, m.now, refusal(res))
}

// refusal says what the receiver answered instead of taking the message.
func refusal(res *http.Response) error {
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		return fmt.Errorf("the receiver redirects (%s), which is not followed: give the target its final address", plain(res.Status))
	}
	// What cannot be read of an answer changes nothing of its status.
	answer, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	said := plain(string(bytes.TrimSpace(answer)))
	if said == "" {
		return fmt.Errorf("the receiver answered %s", plain(res.Status))
	}
	return fmt.Errorf("the receiver answered %s: %s", plain(res.Status), said)
}

// later adds to a refusal when the receiver wants to be asked again: the seconds
// or the date of Retry-After, where it has too much to do.
func later(res *http.Response, now time.Time, refused error) error {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return refused
	}
	text := res.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return &assay.RetryAfter{Err: refused, Wait: time.Duration(seconds) * time.Second}
	}
	if at, err := http.ParseTime(text); err == nil {
		return &assay.RetryAfter{Err: refused, Wait: at.Sub(now)}
	}
	return refused
}

// withoutURL takes the URL out of an error: its path may be a password, and
// errors are shown and kept.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
