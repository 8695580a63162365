package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/assay-audit/assay/server/internal/assay"
)

// deliverJob is the one kind of job: a delivery to make.
type deliverJob struct {
	Delivery string `json:"delivery"`
}

// Kind implements river.JobArgs.
func (deliverJob) Kind() string { return "notification_deliver" }

// notificationQueue is the name of the queue.
const notificationQueue = "notification"

func insertOptions() *river.InsertOpts {
	return &river.InsertOpts{Queue: notificationQueue, MaxAttempts: assay.MaxDeliveryAttempts}
}

// inserter only adds jobs, in a transaction of the caller's.
func inserter() (*river.Client[pgx.Tx], error) {
	client, err := river.NewClient(riverpgxv5.New(nil), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("making queue: %w", err)
	}
	return client, nil
}

// TakeNotificationEvents makes deliveries and their jobs of events that nobody
// took yet, in one transaction: of each event, one delivery for each target that
// wants it, and never a second. It returns how many events it took.
func (s *Store) TakeNotificationEvents(ctx context.Context, limit int) (taken int, err error) {
	queue, err := inserter()
	if err != nil {
		return 0, err
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		events, err := claimEvents(ctx, tx, limit)
		if err != nil || len(events) == 0 {
			return err
		}
		list, err := targets(ctx, tx)
		if err != nil {
			return err
		}
		ids := make([]int64, len(events))
		for i := range events {
			ids[i] = events[i].id
			for t := range list {
				if !list[t].Wants(events[i].kind, events[i].level) {
					continue
				}
				if err := s.addDelivery(ctx, tx, queue, &events[i], list[t].ID); err != nil {
					return err
				}
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE notification_event SET taken_at = $2 WHERE id = ANY($1)`, ids, s.clock()); err != nil {
			return fmt.Errorf("marking events: %w", err)
		}
		taken = len(events)
		return nil
	})
	return taken, translate("taking notification events", err)
}

type notificationEvent struct {
	id            int64
	kind          assay.NotificationKind
	alert         [16]byte
	level, detail string
	occurredAt    time.Time
}

// claimEvents locks events for this transaction; those that another server has
// locked are its own to tell.
func claimEvents(ctx context.Context, tx pgx.Tx, limit int) ([]notificationEvent, error) {
	rows, err := tx.Query(ctx, `SELECT id, kind, alert_id, level, detail, occurred_at FROM notification_event
		WHERE taken_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`, limit)
	if err != nil {
		return nil, fmt.Errorf("claiming events: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (notificationEvent, error) {
		var e notificationEvent
		err := row.Scan(&e.id, &e.kind, &e.alert, &e.level, &e.detail, &e.occurredAt)
		return e, err
	})
}

func (s *Store) addDelivery(ctx context.Context, tx pgx.Tx, queue *river.Client[pgx.Tx], e *notificationEvent, target assay.TargetID) error {
	id := uuid.New()
	tag, err := tx.Exec(ctx, `INSERT INTO notification_delivery (id, event_id, target_id, kind, alert_id, level, detail, occurred_at, state, created_at, next_attempt_at, job_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $9, 0) ON CONFLICT (event_id, target_id) DO NOTHING`,
		id, e.id, [16]byte(target), string(e.kind), e.alert, e.level, e.detail, e.occurredAt, s.clock())
	if err != nil {
		return fmt.Errorf("inserting delivery of event %d: %w", e.id, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	return addJob(ctx, tx, queue, id)
}

func addJob(ctx context.Context, tx pgx.Tx, queue *river.Client[pgx.Tx], id [16]byte) error {
	job, err := queue.InsertTx(ctx, tx, deliverJob{Delivery: assay.DeliveryID(id).String()}, insertOptions())
	if err != nil {
		return fmt.Errorf("queueing delivery: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE notification_delivery SET job_id = $2 WHERE id = $1`, id, job.Job.ID); err != nil {
		return fmt.Errorf("marking delivery: %w", err)
	}
	return nil
}

// RetryDelivery gives a failed delivery all its attempts again. It is Conflict
// for one that did not fail, and for a test.
func (s *Store) RetryDelivery(ctx context.Context, id assay.DeliveryID, by string) error {
	queue, err := inserter()
	if err != nil {
		return err
	}
	now := s.clock()
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var target [16]byte
		var state, kind string
		err := tx.QueryRow(ctx, `SELECT target_id, state, kind FROM notification_delivery WHERE id = $1 FOR UPDATE`, [16]byte(id)).Scan(&target, &state, &kind)
		if errors.Is(err, pgx.ErrNoRows) {
			return assay.Errorf(assay.NotFound, "there is no delivery %s", id)
		}
		if err != nil {
			return fmt.Errorf("reading delivery %s: %w", id, err)
		}
		if state != string(assay.DeliveryFailed) || kind == string(assay.NotifyTest) {
			return assay.Errorf(assay.Conflict, "only a failed delivery is tried again; this one is %s and of the kind %s", state, kind)
		}
		_, err = tx.Exec(ctx, `UPDATE notification_delivery SET state = 'pending', finished_at = NULL, next_attempt_at = $2, created_at = $2 WHERE id = $1`, [16]byte(id), now)
		if err != nil {
			return fmt.Errorf("updating delivery %s: %w", id, err)
		}
		if err := addJob(ctx, tx, queue, id); err != nil {
			return err
		}
		return s.audit(ctx, tx, assay.AuditEntry{User: by, Action: "notification.retry", Subject: id.String(), RecordedAt: now,
			Detail: map[string]string{"target": assay.TargetID(target).String()}})
	})
	return translate("retrying delivery", err)
}

// QueueConfig is what NewQueue needs.
type QueueConfig struct {
	// Deliver makes one attempt; last says that there is no other. An error means
	// that it failed; a Limited error that the target is busy and the attempt was
	// not made.
	Deliver func(ctx context.Context, id assay.DeliveryID, attempt int, last bool) error
	// Workers is how many attempts are made at a time.
	Workers int
	// Timeout bounds one attempt. RescueAfter, which is longer, is when an attempt
	// whose worker vanished is made again.
	Timeout, RescueAfter time.Duration
	Log                  *slog.Logger
}

// Queue runs the deliveries' jobs. Any number of servers share it.
type Queue struct {
	client *river.Client[pgx.Tx]
}

// NewQueue returns a Queue over a migrated database.
func (d *Database) NewQueue(cfg QueueConfig) (*Queue, error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &deliverWorker{deliver: cfg.Deliver}); err != nil {
		return nil, fmt.Errorf("making queue: %w", err)
	}
	client, err := river.NewClient(riverpgxv5.New(d.pool), &river.Config{
		Queues: map[string]river.QueueConfig{notificationQueue: {MaxWorkers: cfg.Workers}}, Workers: workers, Logger: cfg.Log,
		JobTimeout: cfg.Timeout, RescueStuckJobsAfter: cfg.RescueAfter, MaxAttempts: assay.MaxDeliveryAttempts,
		// What is under way when the server ends has this long to finish.
		SoftStopTimeout: cfg.Timeout,
	})
	if err != nil {
		return nil, fmt.Errorf("making queue: %w", err)
	}
	return &Queue{client: client}, nil
}

// Run works until ctx ends and what is under way has ended.
func (q *Queue) Run(ctx context.Context) error {
	if err := q.client.Start(ctx); err != nil {
		return fmt.Errorf("starting queue: %w", err)
	}
	<-q.client.Stopped()
	return nil
}

// busyWait is how long a job waits whose target has enough under way.
const busyWait = 2 * time.Second

type deliverWorker struct {
	river.WorkerDefaults[deliverJob]
	deliver func(ctx context.Context, id assay.DeliveryID, attempt int, last bool) error
	// failures are of jobs between Work and NextRetry, by the job's id: River does
	// not tell the one what the other returned. Where a worker dies in between, the
	// wait is the usual one.
	failures sync.Map
}

// Work implements river.Worker.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[deliverJob]) error {
	id, err := assay.ParseDeliveryID(job.Args.Delivery)
	if err != nil {
		return river.JobCancel(err)
	}
	err = w.deliver(ctx, id, job.Attempt, job.Attempt >= job.MaxAttempts)
	if assay.KindOf(err) == assay.Limited {
		return river.JobSnooze(busyWait)
	}
	if err != nil && job.Attempt < job.MaxAttempts {
		w.failures.Store(job.ID, err)
	}
	return err
}

// NextRetry implements river.Worker.
func (w *deliverWorker) NextRetry(job *river.Job[deliverJob]) time.Time {
	failure, _ := w.failures.LoadAndDelete(job.ID)
	err, _ := failure.(error)
	return time.Now().Add(assay.DeliveryWait(job.Attempt, err))
}

// riverLock serialises servers that migrate at the same time; River's migrator
// has no lock of its own.
const riverLock = 0x6173_7362

// migrateQueue brings River's tables to its newest schema.
func migrateQueue(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("making queue migrator: %w", err)
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrating queue: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, riverLock); err != nil {
		return fmt.Errorf("locking for queue migration: %w", err)
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if _, unlock := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, riverLock); unlock != nil {
		err = errors.Join(err, unlock)
	}
	if err != nil {
		return fmt.Errorf("migrating queue: %w", err)
	}
	return nil
}

// checkQueue refuses a database that lacks a migration of River's.
func (d *Database) checkQueue(ctx context.Context) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(d.pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("making queue migrator: %w", err)
	}
	result, err := migrator.Validate(ctx, nil)
	if err != nil {
		return translate("reading queue schema version", err)
	}
	if !result.OK {
		return assay.Errorf(assay.Invalid, "the database lacks tables of the job queue: run assay-server migrate, or serve with --migrate")
	}
	return nil
}
