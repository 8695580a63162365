package notify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// Config is what New needs. All is required but Metrics and Networks.
type Config struct {
	Store    *postgres.Store
	Sealer   *Sealer
	Networks Networks
	// Console is the address of the console, that messages link to.
	Console string
	Version string
	// Host is the name of this server, for mail and syslog.
	Host    string
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// AttemptTime bounds one attempt; 0 means DefaultAttemptTime.
	AttemptTime time.Duration
}

// DefaultAttemptTime is how long a target may take for one message in all.
const DefaultAttemptTime = 15 * time.Second

const (
	// Workers is how many attempts a server makes at a time.
	Workers = 16
	// takeEvery is how often new events are looked for, takeAtMost how many of
	// them one transaction takes.
	takeEvery  = time.Second
	takeAtMost = 200
	sweepEvery = time.Minute
	// keepFor is how long the log of deliveries goes back: a year and a month.
	keepFor = 396 * 24 * time.Hour
	// maxDetail bounds what is kept of an attempt, in bytes.
	maxDetail = 500
)

// Notifier tells targets of alerts. It is safe for concurrent use.
type Notifier struct {
	cfg      Config
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	backlog  *prometheus.GaugeVec
	oldest   prometheus.Gauge

	places places
}

// New returns a Notifier.
func New(cfg Config) *Notifier {
	if cfg.AttemptTime == 0 {
		cfg.AttemptTime = DefaultAttemptTime
	}
	n := &Notifier{
		cfg: cfg, places: newPlaces(),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_notification_attempts_total", Help: "Attempts to deliver a notification, by kind of target and outcome (delivered, retry, failed).",
		}, []string{"target", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "assay_notification_attempt_seconds", Help: "Duration of attempts to deliver a notification.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 11),
		}, []string{"target"}),
		backlog: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_notification_deliveries", Help: "Deliveries that are pending, and that failed for good, in the log.",
		}, []string{"state"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_notification_oldest_pending_seconds", Help: "Age of the oldest pending delivery."}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(n.attempts, n.seconds, n.backlog, n.oldest)
	}
	return n
}

// RescueAfter is when an attempt whose worker vanished is made again.
func (n *Notifier) RescueAfter() time.Duration { return 4 * n.JobTime() }

// JobTime bounds a job: the attempt, and what is written of it.
func (n *Notifier) JobTime() time.Duration { return n.cfg.AttemptTime + 10*time.Second }

// Run takes events and sweeps until ctx ends. Errors are logged and tried again.
func (n *Notifier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.every(ctx, takeEvery, "taking notification events", n.take) })
	group.Go(func() error { return n.every(ctx, sweepEvery, "sweeping deliveries", n.Sweep) })
	return group.Wait()
}

func (n *Notifier) every(ctx context.Context, interval time.Duration, doing string, do func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Logger.ErrorContext(ctx, "notification job failed, will retry", "job", doing, "error", assay.Cause(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// take queues the deliveries of all events that nobody took yet.
func (n *Notifier) take(ctx context.Context) error {
	for {
		taken, err := n.cfg.Store.TakeNotificationEvents(ctx, takeAtMost)
		if err != nil || taken < takeAtMost {
			return err
		}
	}
}

// Sweep ends what nobody will try again, forgets what is old and counts.
func (n *Notifier) Sweep(ctx context.Context) error {
	orphans, _, err := n.cfg.Store.SweepDeliveries(ctx, n.cfg.Now().Add(-keepFor))
	if err != nil {
		return err
	}
	if orphans > 0 {
		n.cfg.Logger.WarnContext(ctx, "deliveries were left without a job and failed", "count", orphans)
	}
	b, err := n.cfg.Store.DeliveryBacklog(ctx)
	if err != nil {
		return err
	}
	n.backlog.WithLabelValues("pending").Set(float64(b.Pending))
	n.backlog.WithLabelValues("failed").Set(float64(b.Failed))
	age := 0.0
	if !b.Oldest.IsZero() {
		age = n.cfg.Now().Sub(b.Oldest).Seconds()
	}
	n.oldest.Set(age)
	return nil
}

// Deliver makes one attempt, as the queue asks. What was delivered is never sent
// again: a worker that was killed between the receipt and its record is the one
// case in which a message comes twice, with the same id.
func (n *Notifier) Deliver(ctx context.Context, id assay.DeliveryID, attempt int, last bool) error {
	notice, err := n.cfg.Store.Notice(ctx, id)
	if assay.KindOf(err) == assay.NotFound {
		return nil // forgotten meanwhile
	}
	if err != nil {
		return err
	}
	if notice.State != assay.DeliveryPending {
		return nil
	}
	if !notice.Target.Enabled {
		return n.cfg.Store.CancelDelivery(ctx, id)
	}
	if !n.places.hold(ctx, notice.Target.ID) {
		return assay.Errorf(assay.Limited, "the target %s has enough under way", notice.Target.ID)
	}
	a, err := n.try(ctx, &notice, attempt, last)
	n.places.release(notice.Target.ID, a.OK)
	return err
}

// try sends and records. The error is of the sending, or of the record.
func (n *Notifier) try(ctx context.Context, notice *postgres.Notice, attempt int, last bool) (assay.DeliveryAttempt, error) {
	a := assay.DeliveryAttempt{At: n.cfg.Now().UTC()}
	started := time.Now()
	detail, failure := n.send(ctx, notice, a.At)
	a.Took = time.Since(started)
	a.OK, a.Detail = failure == nil, cut(detail)
	state, outcome, next := assay.DeliveryDelivered, "delivered", time.Time{}
	if failure != nil {
		a.Detail = cut(plain(explain(failure, n.cfg.AttemptTime)))
		state, outcome, next = assay.DeliveryPending, "retry", a.At.Add(a.Took+assay.DeliveryWait(attempt, failure))
		if last {
			state, outcome, next = assay.DeliveryFailed, "failed", time.Time{}
			n.cfg.Logger.ErrorContext(ctx, "notification failed for good", "delivery", notice.ID.String(), "target", notice.Target.Name, "error", a.Detail)
		}
	}
	n.attempts.WithLabelValues(notice.Target.Kind, outcome).Inc()
	n.seconds.WithLabelValues(notice.Target.Kind).Observe(a.Took.Seconds())
	// The record is written even if the server is told to end meanwhile.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := n.cfg.Store.SaveAttempt(record, notice.ID, a, state, next); err != nil {
		return a, err
	}
	return a, failure
}

func cut(text string) string {
	if len(text) > maxDetail {
		return text[:maxDetail] + "…"
	}
	return text
}

// explain says what a person can act on.
func explain(err error, limit time.Duration) string {
	var slow net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout() {
		return fmt.Sprintf("no answer in time (an attempt has %s): %s", limit, err)
	}
	return err.Error()
}

func (n *Notifier) send(ctx context.Context, notice *postgres.Notice, now time.Time) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.AttemptTime)
	defer cancel()
	secrets, err := n.cfg.Sealer.open(notice.Target.ID, notice.Target.Sealed)
	if err != nil {
		return "", err
	}
	m := &message{Notice: *notice, link: n.cfg.Console + "/settings/notifications", version: n.cfg.Version, host: n.cfg.Host, now: now}
	if notice.Kind != assay.NotifyTest {
		m.link = n.cfg.Console + "/alerts/" + notice.Delivery.Alert.String()
	}
	switch notice.Target.Kind {
	case assay.TargetWebhook:
		return n.sendWebhook(ctx, m, &secrets)
	case assay.TargetEmail:
		return n.sendEmail(ctx, m, &secrets)
	case assay.TargetSyslog:
		return n.sendSyslog(ctx, m)
	}
	return "", fmt.Errorf("%q is no kind of target", notice.Target.Kind)
}

// Create makes a target of a person's and returns what a webhook's receiver
// verifies with: it is told here and never again.
func (n *Notifier) Create(ctx context.Context, t *assay.Target, secrets assay.TargetSecrets) (signingSecret string, err error) {
	if t.Kind == assay.TargetWebhook {
		secrets.URL, secrets.SigningKey = t.Address, newSigningKey()
		t.Address = shown(secrets.URL)
		signingSecret = secretPrefix + base64.StdEncoding.EncodeToString(secrets.SigningKey)
	}
	if err := validate(t, &secrets); err != nil {
		return "", err
	}
	if _, err := tlsConfig(t.Settings.CA, ""); err != nil {
		return "", assay.Errorf(assay.Invalid, "%w", err)
	}
	t.ID = assay.TargetID(uuid.New())
	if t.Sealed, err = n.cfg.Sealer.Seal(t.ID, &secrets); err != nil {
		return "", err
	}
	return signingSecret, n.cfg.Store.CreateTarget(ctx, t)
}

// shown is a URL without what may be a password in it.
func shown(text string) string {
	at, err := url.Parse(text)
	if err != nil || at.Host == "" {
		return ""
	}
	address := "https://" + at.Host
	if len(at.Path) > 1 || at.RawQuery != "" {
		address += "/…"
	}
	return address
}

// Test sends a message to a target now, whether it is on or off, and returns the
// delivery's id: what came of it is in the log.
func (n *Notifier) Test(ctx context.Context, target assay.TargetID, by string) (assay.DeliveryID, error) {
	id := assay.DeliveryID(uuid.New())
	if err := n.cfg.Store.CreateTest(ctx, id, target, by); err != nil {
		return id, err
	}
	notice, err := n.cfg.Store.Notice(ctx, id)
	if err != nil {
		return id, err
	}
	if a, err := n.try(ctx, &notice, 1, true); err != nil && a.Detail == "" {
		return id, err
	}
	return id, nil
}
