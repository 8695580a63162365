package notify

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// workerEnv makes the test binary a server that only delivers, to be killed.
const workerEnv = "ASSAY_NOTIFY_TEST_WORKER"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(workerEnv); dsn != "" {
		if err := work(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func work(dsn string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := postgres.Connect(ctx, dsn, postgres.Config{Now: time.Now})
	if err != nil {
		return err
	}
	defer db.Close()
	n, err := newNotifier(db, 30*time.Second)
	if err != nil {
		return err
	}
	queue, err := newQueue(db, n, n.Deliver)
	if err != nil {
		return err
	}
	return queue.Run(ctx)
}

func newNotifier(db *postgres.Database, attempt time.Duration) (*Notifier, error) {
	sealer, err := NewSealer(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		return nil, err
	}
	return New(Config{
		Store: db.Store, Sealer: sealer, Networks: Networks{Only: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Console: "https://assay.example:8443",
		Version: "1.2.3", Host: "server.example", Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), AttemptTime: attempt,
	}), nil
}

type deliverFunc = func(ctx context.Context, id assay.DeliveryID, attempt int, last bool) error

func newQueue(db *postgres.Database, n *Notifier, deliver deliverFunc) (*postgres.Queue, error) {
	return db.NewQueue(postgres.QueueConfig{
		Deliver: deliver, Workers: Workers, Timeout: n.JobTime(), RescueAfter: n.RescueAfter(), Log: slog.New(slog.DiscardHandler),
	})
}

// bundle is a migrated database with a notifier that may reach this machine.
type bundle struct {
	*Notifier
	t    *testing.T
	dsn  string
	db   *postgres.Database
	pool *pgxpool.Pool
	host uuid.UUID
}

func setup(t *testing.T, attempt time.Duration) *bundle {
	t.Helper()
	b := &bundle{t: t, dsn: pgtest.DB(t), host: uuid.New()}
	var err error
	if b.db, err = postgres.Connect(t.Context(), b.dsn, postgres.Config{Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.db.Close)
	if b.pool, err = pgxpool.New(t.Context(), b.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.pool.Close)
	if b.Notifier, err = newNotifier(b.db, attempt); err != nil {
		t.Fatal(err)
	}
	b.exec(`INSERT INTO host (id, kind, name, created_at) VALUES ($1, 'enrolled', $2, now())`, b.host, "WS-0001")
	return b
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// alert opens an alert and writes its event, as the server's alerts do.
func (b *bundle) alert(title string) uuid.UUID {
	b.t.Helper()
	id := uuid.New()
	b.exec(`INSERT INTO alert (host_id, id, pack, rule_id, key, key_hash, title, tags, rule_level, level, state, count, first_seen, last_seen, opened_at,
			acknowledge_due, latest_position, latest_ordinal, position)
		VALUES ($1, $2, 'windows', '0f1a', '{}', '\x00', $3, '{attack.t1059}', 4, 4, 'open', 3, now(), now(), now(), now() + interval '1 hour', 1, 0, 2)`, b.host, id, title)
	b.exec(`INSERT INTO notification_event (kind, host_id, alert_id, level, opening, detail, occurred_at) VALUES ('alert.open', $1, $2, 'high', 0, '', now())`, b.host, id)
	return id
}

// take queues what is new and returns the deliveries' ids.
func (b *bundle) take() {
	b.t.Helper()
	if err := b.Notifier.take(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// run works the queue until the returned function is called. Each attempt's
// outcome comes on the channel, after it was recorded.
func (b *bundle) run() (attempts chan error, stop func()) {
	b.t.Helper()
	attempts = make(chan error, 1000)
	queue, err := newQueue(b.db, b.Notifier, func(ctx context.Context, id assay.DeliveryID, attempt int, last bool) error {
		err := b.Deliver(ctx, id, attempt, last)
		attempts <- err
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx) }()
	var stopped bool
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-ended; err != nil {
				b.t.Error(err)
			}
		}
	}
	b.t.Cleanup(stop)
	return attempts, stop
}

// wait is how long a test waits for what must happen.
const wait = time.Minute

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(wait):
		t.Fatal("nothing came")
	}
	panic("unreachable")
}

// timePasses makes what waits to be tried again due, once it waits.
func (b *bundle) timePasses() {
	b.t.Helper()
	b.eventually(func() bool {
		return b.count(`WITH due AS (UPDATE river_job SET state = 'available', scheduled_at = now() WHERE state = 'retryable' RETURNING 1) SELECT count(*) FROM due`) > 0
	})
}

// eventually asks the database, which has no signal to wait for.
func (b *bundle) eventually(ok func() bool) {
	b.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(wait)
	for !ok() {
		select {
		case <-ticker.C:
		case <-end:
			b.t.Fatal("it did not come to be")
		}
	}
}

func (b *bundle) deliveries() []assay.Delivery {
	b.t.Helper()
	list, _, err := b.db.Deliveries(b.t.Context(), postgres.DeliveryFilter{Limit: 500})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// received is one request as a webhook's receiver has it.
type received struct {
	header http.Header
	body   []byte
	path   string
}

// receiver is a webhook's; answer, if any, decides each answer by its number.
type receiver struct {
	*httptest.Server
	got chan received
}

func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	r := &receiver{got: make(chan received, 1000)}
	numbers := make(chan int, 1)
	numbers <- 1
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		n := <-numbers
		numbers <- n + 1
		r.got <- received{req.Header, body, req.URL.Path}
		if answer != nil {
			answer(n, w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// ca is the PEM of the receiver's own certificate.
func (r *receiver) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}))
}

// webhook makes a target at the receiver and returns its signing secret.
func (b *bundle) webhook(r *receiver, name, format string) (assay.TargetID, string) {
	b.t.Helper()
	target := assay.Target{Name: name, Kind: assay.TargetWebhook, Address: r.URL + "/hook/T0P", CreatedBy: "admin",
		Settings: assay.TargetSettings{Format: format, CA: r.ca()}}
	secret, err := b.Create(b.t.Context(), &target, assay.TargetSecrets{Authorization: "Splunk 0123"})
	if err != nil {
		b.t.Fatal(err)
	}
	return target.ID, secret
}
