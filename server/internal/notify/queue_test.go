package notify

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/assay-audit/assay/server/internal/assay"
)

// A receiver that fails gets the message again, as the same message.
func TestTriesAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n < 3 {
			http.Error(w, "out of \x1b[31mdisk", http.StatusServiceUnavailable)
		}
	})
	b.webhook(r, "siem", "json")
	b.alert("Encoded PowerShell")
	b.take()
	attempts, _ := b.run()
	ids := map[string]bool{}
	for n := range 3 {
		ids[receive(t, r.got).header.Get(headerID)] = true
		if err := receive(t, attempts); (err == nil) != (n == 2) {
			t.Errorf("attempt %d: %v", n+1, err)
		}
		if n < 2 {
			b.timePasses()
		}
	}
	if len(ids) != 1 {
		t.Errorf("one message came under the ids %v", ids)
	}
	d := b.deliveries()[0]
	if d.State != assay.DeliveryDelivered || len(d.Attempts) != 3 || d.Attempts[0].OK || !d.Attempts[2].OK || d.FinishedAt.IsZero() {
		t.Errorf("log: %+v", d)
	}
	if detail := d.Attempts[0].Detail; !strings.Contains(detail, "503") || !strings.Contains(detail, `out of \u001b[31mdisk`) {
		t.Errorf("the log says %q", detail)
	}
}

// A receiver that has too much to do says when to come again, and is left alone
// so long: the job and the log agree on it. An hour is the most.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	answers := []struct {
		status int
		after  string
		least  time.Duration
		most   time.Duration
	}{
		{http.StatusTooManyRequests, "600", 10 * time.Minute, 11 * time.Minute},
		{http.StatusServiceUnavailable, time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat), 28 * time.Minute, 31 * time.Minute},
		{http.StatusServiceUnavailable, "864000", time.Hour, 61 * time.Minute},
		{http.StatusTooManyRequests, "1", 80 * time.Second, 2 * time.Minute},
		{http.StatusInternalServerError, "600", 160 * time.Second, 4 * time.Minute},
		{http.StatusServiceUnavailable, "-3 days", 320 * time.Second, 7 * time.Minute},
	}
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n <= len(answers) {
			w.Header().Set("Retry-After", answers[n-1].after)
			w.WriteHeader(answers[n-1].status)
		}
	})
	b.webhook(r, "siem", "json")
	b.alert("Encoded PowerShell")
	b.take()
	attempts, _ := b.run()
	for n, answer := range answers {
		receive(t, r.got)
		if err := receive(t, attempts); err == nil {
			t.Fatalf("attempt %d went well", n+1)
		}
		b.eventually(func() bool { return b.count(`SELECT count(*) FROM river_job WHERE state = 'retryable'`) == 1 })
		for what, sql := range map[string]string{
			"job": `SELECT floor(extract(epoch FROM scheduled_at - attempted_at))::int FROM river_job`,
			"log": `SELECT floor(extract(epoch FROM next_attempt_at - (SELECT max(at) FROM notification_attempt)))::int FROM notification_delivery`,
		} {
			if wait := time.Duration(b.count(sql)) * time.Second; wait < answer.least || wait > answer.most {
				t.Errorf("after %d with Retry-After %q the %s waits for %s, not %s", answer.status, answer.after, what, wait, answer.least)
			}
		}
		b.timePasses()
	}
	receive(t, r.got)
	if err := receive(t, attempts); err != nil {
		t.Error(err)
	}
}

// A worker that is killed while it sends loses nothing: another takes over.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	release := make(chan struct{})
	r := newReceiver(t, func(n int, _ http.ResponseWriter, req *http.Request) {
		if n == 1 {
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}
	})
	defer close(release)
	b.webhook(r, "siem", "json")
	b.alert("Encoded PowerShell")
	b.take()

	worker := exec.CommandContext(t.Context(), os.Args[0])
	worker.Env = append(os.Environ(), workerEnv+"="+b.dsn)
	worker.Stderr = os.Stderr
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	first := receive(t, r.got)
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait() // it says that it was killed
	if n := b.count(`SELECT count(*) FROM river_job WHERE state = 'running'`); n != 1 {
		t.Fatalf("%d jobs run after the kill", n)
	}
	// An hour passes: the dead worker's lease is over.
	b.exec(`UPDATE river_job SET attempted_at = attempted_at - interval '1 hour'`)
	b.exec(`DELETE FROM river_leader`)
	attempts, _ := b.run()
	b.timePasses()
	if err := receive(t, attempts); err != nil {
		t.Errorf("the second worker: %v", err)
	}
	if second := receive(t, r.got); second.header.Get(headerID) != first.header.Get(headerID) {
		t.Error("the message came under another id")
	}
	if d := b.deliveries(); len(d) != 1 || d[0].State != assay.DeliveryDelivered {
		t.Errorf("log: %+v", d)
	}
}

// Servers that take the same events at once, and one that restarts in between,
// bring every event to every target once.
func TestOnceToEachTargetOverRestart(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	one, two := newReceiver(t, nil), newReceiver(t, nil)
	b.webhook(one, "one", "json")
	b.webhook(two, "two", "ocsf")
	const events = 40
	for range events {
		b.alert("Encoded PowerShell")
	}
	var group sync.WaitGroup
	for range 3 {
		group.Go(b.take)
	}
	group.Wait()
	attempts, stop := b.run()
	for range events / 2 {
		if err := receive(t, attempts); err != nil && assay.KindOf(err) != assay.Limited {
			t.Error(err)
		}
	}
	stop()
	b.run()
	b.eventually(func() bool { return b.count(`SELECT count(*) FROM notification_delivery WHERE state = 'pending'`) == 0 })
	for name, r := range map[string]*receiver{"one": one, "two": two} {
		seen := map[string]int{}
		for range len(r.got) {
			seen[(<-r.got).header.Get(headerID)]++
		}
		if len(seen) != events {
			t.Errorf("%s has %d messages of %d", name, len(seen), events)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s has %s %d times", name, id, n)
			}
		}
	}
	if n := b.count(`SELECT count(*) FROM notification_attempt`); n != 2*events {
		t.Errorf("%d attempts for %d messages", n, 2*events)
	}
}

// What fails to the end is seen to have failed, and a person may try it again.
func TestFailsForGood(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	healed := make(chan struct{})
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		select {
		case <-healed:
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	b.webhook(r, "siem", "json")
	b.alert("Encoded PowerShell")
	b.take()
	b.exec(`UPDATE river_job SET attempt = max_attempts - 1`) // it was tried before
	attempts, stop := b.run()
	if receive(t, attempts) == nil {
		t.Fatal("a refused message was delivered")
	}
	d := b.deliveries()[0]
	if d.State != assay.DeliveryFailed || !d.NextAttemptAt.IsZero() {
		t.Errorf("log: %+v", d)
	}
	stop()
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(b.backlog.WithLabelValues("failed")); n != 1 {
		t.Errorf("the metrics count %v failures", n)
	}
	if n := testutil.ToFloat64(b.Notifier.attempts.WithLabelValues("webhook", "failed")); n != 1 {
		t.Errorf("the metrics count %v failed attempts", n)
	}
	close(healed)
	if err := b.db.RetryDelivery(t.Context(), d.ID, "admin"); err != nil {
		t.Fatal(err)
	}
	if err := b.db.RetryDelivery(t.Context(), d.ID, "admin"); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a second retry: %v", err)
	}
	attempts, _ = b.run()
	if err := receive(t, attempts); err != nil {
		t.Error(err)
	}
	if d := b.deliveries()[0]; d.State != assay.DeliveryDelivered || len(d.Attempts) != 2 {
		t.Errorf("log after the retry: %+v", d)
	}
	if n := b.count(`SELECT count(*) FROM audit_entry WHERE action = 'notification.retry'`); n != 1 {
		t.Errorf("%d audit entries of the retry", n)
	}
}

// A job that ended without a word does not leave its delivery pending for ever.
func TestOrphansFail(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	b.webhook(newReceiver(t, nil), "siem", "json")
	b.alert("Encoded PowerShell")
	b.alert("Another")
	b.take()
	b.exec(`UPDATE notification_delivery SET created_at = created_at - interval '1 hour'`)
	b.exec(`UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE id = (SELECT min(id) FROM river_job)`)
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM notification_delivery WHERE state = 'failed'`); n != 1 {
		t.Errorf("%d deliveries failed, of one orphan", n)
	}
}

// A target that hangs is given up in time and holds up no other.
func TestHangingTarget(t *testing.T) {
	t.Parallel()
	b := setup(t, 500*time.Millisecond)
	hung, free := make(chan struct{}), newReceiver(t, nil)
	slow := newReceiver(t, func(_ int, _ http.ResponseWriter, req *http.Request) {
		select {
		case <-hung:
		case <-req.Context().Done():
		}
	})
	defer close(hung)
	b.webhook(slow, "slow", "json")
	b.webhook(free, "free", "json")
	for range 5 * Workers / 2 {
		b.alert("Encoded PowerShell")
	}
	b.take()
	attempts, _ := b.run()
	for range 5 * Workers / 2 {
		receive(t, free.got)
	}
	for {
		err := receive(t, attempts)
		if err == nil || assay.KindOf(err) == assay.Limited {
			continue
		}
		break
	}
	n := b.count(`SELECT count(*) FROM notification_attempt WHERE NOT ok AND detail LIKE 'no answer in time%'`)
	if n == 0 {
		t.Error("the log does not say that the target hangs")
	}
	for _, d := range b.deliveries() {
		if d.State == assay.DeliveryFailed || d.State == assay.DeliveryPending && len(d.Attempts) > 1 {
			t.Errorf("being busy was counted as attempts: %+v", d)
		}
	}
}

// A target is told of what it wants, and of nothing while it is off.
func TestFilters(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, nil)
	for name, filter := range map[string][2][]string{
		"all": {nil, nil}, "high": {{"high", "critical"}, nil}, "low": {{"low"}, nil}, "overdue": {nil, {"alert.overdue"}},
	} {
		target := assay.Target{Name: name, Kind: assay.TargetWebhook, Address: r.URL, CreatedBy: "admin", Levels: filter[0], Kinds: filter[1],
			Settings: assay.TargetSettings{Format: "json", CA: r.ca()}}
		if _, err := b.Create(t.Context(), &target, assay.TargetSecrets{}); err != nil {
			t.Fatal(err)
		}
	}
	off, _ := b.webhook(r, "off", "json")
	if err := b.db.SetTargetEnabled(t.Context(), off, false, "moved", "admin"); err != nil {
		t.Fatal(err)
	}
	late, _ := b.webhook(r, "late", "json")
	b.alert("Encoded PowerShell")
	b.take()
	if err := b.db.SetTargetEnabled(t.Context(), late, false, "moved", "admin"); err != nil {
		t.Fatal(err)
	}
	attempts, _ := b.run()
	for range 3 {
		if err := receive(t, attempts); err != nil {
			t.Error(err)
		}
	}
	states := map[string]assay.DeliveryState{}
	targets, err := b.db.Targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range b.deliveries() {
		for _, target := range targets {
			if target.ID == d.Target {
				states[target.Name] = d.State
			}
		}
	}
	if len(states) != 3 || states["all"] != assay.DeliveryDelivered || states["high"] != assay.DeliveryDelivered || states["late"] != assay.DeliveryCancelled {
		t.Errorf("deliveries %v", states)
	}
}

// Every mutation by a person is audited, with nothing secret in it.
func TestAudit(t *testing.T) {
	t.Parallel()
	b := setup(t, DefaultAttemptTime)
	r := newReceiver(t, nil)
	id, secret := b.webhook(r, "siem", "json")
	if _, err := b.Test(t.Context(), id, "admin"); err != nil {
		t.Fatal(err)
	}
	to := b.change(id)
	to.Address = r.URL + "/hook/T0P-TOO"
	if err := b.Change(t.Context(), &to, NewSecrets{}); err != nil {
		t.Fatal(err)
	}
	if err := b.db.SetTargetEnabled(t.Context(), id, false, "moved", "admin"); err != nil {
		t.Fatal(err)
	}
	rows, err := b.pool.Query(t.Context(), `SELECT action, detail::text, encode(data, 'escape') FROM audit_entry JOIN leaf USING (position) ORDER BY position`)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for rows.Next() {
		var action, detail, leaf string
		if err := rows.Scan(&action, &detail, &leaf); err != nil {
			t.Fatal(err)
		}
		actions = append(actions, action)
		for _, hidden := range []string{secret, "Splunk", "T0P"} {
			if strings.Contains(detail+leaf, hidden) {
				t.Errorf("the entry of %s tells %q", action, hidden)
			}
		}
		if !strings.Contains(leaf, action) {
			t.Errorf("the leaf of %s is another's: %s", action, leaf)
		}
	}
	want, _ := json.Marshal([]string{"notification.create", "notification.test", "notification.change", "notification.disable"})
	if got, _ := json.Marshal(actions); string(got) != string(want) {
		t.Errorf("audited %s, want %s", got, want)
	}
}
