package ledger_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// deeds adds a run with what it found, a closed finding and a decision.
func (h *history) deeds(t *testing.T) {
	t.Helper()
	host := h.agent.HostID
	found := func(key string) assay.Finding {
		return assay.Finding{ID: assay.NewFindingID("log.cleared", host, key), Host: host, Check: "log.cleared", Key: key, Title: "A log was cleared",
			OpenedAt: h.now, LastAt: h.now, Evidence: []assay.EventRef{{Position: 1, Ordinal: 2}}, EvidenceTotal: 1, Fields: map[string]string{"user": "mallory"}}
	}
	closed, open := found("a"), found("b")
	// Finer than the database keeps.
	instant := h.now.Add(123 * time.Nanosecond)
	_, err := h.store.SaveRun(t.Context(), postgres.RunRecord{
		Run:       assay.Run{Instant: instant, Watermark: instant, Size: 3, Leaves: 1, Hosts: 1, Engine: "1", Packs: map[string][32]byte{"pci": {1}}},
		StartedAt: h.now, Findings: []assay.Finding{closed, open},
		Transitions: []assay.Transition{{Host: host, Check: "log.cleared", From: assay.StateUnknown, To: assay.StateFail, ValidAt: instant}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.CloseFinding(t.Context(), closed.ID, "ann", "a drill"); err != nil {
		t.Fatal(err)
	}
	change := assay.PolicyChange{Kind: assay.PolicyList, Name: "devices", Values: []string{"x"}, Owner: "desk", By: "ann"}
	if _, err := h.store.ChangePolicy(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.RecordReview(t.Context(), "ann", "all seen"); err != nil {
		t.Fatal(err)
	}
	h.grow(t)
}

// TestRowsBesideLeaves alters, removes and adds each kind of row that stands
// beside a leaf. Each is named, and nothing else is.
func TestRowsBesideLeaves(t *testing.T) {
	t.Parallel()
	sound := newHistory(t)
	sound.deeds(t)
	if report := sound.verify(t); !report.Good() {
		t.Fatalf("problems in a good ledger: %v", report.Problems)
	}
	for name, c := range map[string]struct{ sql, what string }{
		"transition altered":      {`UPDATE transition SET to_state = 'pass'`, "transition"},
		"transition later":        {`UPDATE transition SET valid_at = valid_at + interval '1 microsecond'`, "transition"},
		"transition removed":      {`DELETE FROM transition`, "transition"},
		"transition added":        {`INSERT INTO transition SELECT (SELECT min(position) FROM batch), host_id, check_id, from_state, to_state, reason, valid_at, recorded_at FROM transition`, "transition"},
		"run's root altered":      {`UPDATE run SET root = decode(repeat('11', 32), 'hex')`, "run"},
		"run's inputs altered":    {`UPDATE run SET inputs = jsonb_set(inputs, '{packs,pci}', '"00"')`, "run"},
		"run removed":             {`DELETE FROM run`, "run"},
		"deed altered":            {`UPDATE audit_entry SET user_name = 'bob' WHERE action = 'finding.close'`, "operator"},
		"deed's detail altered":   {`UPDATE audit_entry SET detail = '{"cause":"none"}' WHERE action = 'finding.close'`, "operator"},
		"deed removed":            {`DELETE FROM audit_entry WHERE action = 'finding.close'`, "operator"},
		"deed added":              {`INSERT INTO audit_entry SELECT (SELECT min(position) FROM batch), user_name, action, subject, detail, recorded_at FROM audit_entry WHERE action = 'finding.close'`, "operator"},
		"decision altered":        {`UPDATE policy_change SET body = jsonb_set(body, '{values}', '["y"]')`, "policy"},
		"decision's name altered": {`UPDATE policy_change SET name = 'other'`, "policy"},
		"review altered":          {`UPDATE review SET overdue = 1`, "review"},
		"review removed":          {`DELETE FROM review`, "review"},
		"decision removed":        {`DELETE FROM policy_change`, "policy"},
		"finding altered":         {`UPDATE finding SET title = 'Nothing' WHERE key = 'b'`, "finding"},
		"finding closed":          {`UPDATE finding SET resolved_at = opened_at WHERE key = 'b'`, "finding"},
		"closed finding altered":  {`UPDATE finding SET evidence = '{1,3}' WHERE key = 'a'`, "finding"},
		"finding removed":         {`DELETE FROM finding WHERE key = 'b'`, "finding"},
		"finding added":           {`INSERT INTO finding SELECT gen_random_uuid(), host_id, check_id, key, title, opened_at, last_at, resolved_at, closed_by, cause, grade, clock_fault, evidence, evidence_total, fields, recorded_at, position FROM finding WHERE key = 'b'`, "finding"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			h.deeds(t)
			h.exec(t, c.sql)
			h.named(t, c.what, 1)
		})
	}
}

// named verifies, and wants problems of that kind alone: one at least, and at most so many.
func (h *history) named(t *testing.T, what string, most int) {
	t.Helper()
	report := h.verify(t)
	if len(report.Problems) == 0 || len(report.Problems) > most {
		t.Errorf("the problems are %v, want 1 to %d of a %s", report.Problems, most, what)
	}
	for _, p := range report.Problems {
		if p.What != what {
			t.Errorf("%v is of no %s", p, what)
		}
	}
}

// TestVerificationGoesOn cuts a verification short after every page. The next
// goes on where it was and reports the same, also of what is at fault.
func TestVerificationGoesOn(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.deeds(t)
	h.relax(t)
	h.exec(t, `UPDATE batch SET payload = set_byte(payload, 20, 255 - get_byte(payload, 20)) WHERE position = $1`, h.signed)
	h.exec(t, `UPDATE transition SET to_state = 'pass'`)
	whole := h.verify(t)
	if len(whole.Problems) != 2 {
		t.Fatalf("the problems are %v", whole.Problems)
	}
	runs, from := 0, map[int64]bool{}
	var got *ledger.Report
	for got == nil {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := h.config()
		cfg.KeepKey = keepKey
		first := int64(-1)
		cfg.Progress = func(done, total int64) {
			if first < 0 {
				first = done
				if done < total {
					cancel()
				}
			}
		}
		report, err := ledger.Verify(ctx, h.store, cfg)
		cancel()
		runs++
		from[first] = true
		switch {
		case err == nil:
			got = report
		case !errors.Is(err, context.Canceled) && assay.KindOf(err) != assay.Unavailable:
			t.Fatal(err)
		case runs > 100:
			t.Fatal("it does not get on")
		}
	}
	if runs < 4 || len(from) != runs {
		t.Errorf("%d runs from %d places", runs, len(from))
	}
	got.FinishedAt, whole.FinishedAt, got.StartedAt, whole.StartedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if diff := cmp.Diff(whole, got); diff != "" {
		t.Errorf("the report differs:\n%s", diff)
	}
	if _, err := h.store.KeptVerification(t.Context()); assay.KindOf(err) != assay.NotFound {
		t.Errorf("what was kept is still there: %v", err)
	}
}

var keepKey = bytes.Repeat([]byte{7}, 32)

// sealed is a state as it is kept under a key.
func sealed(key []byte, startedAt time.Time, position int64, text string) postgres.VerificationState {
	mac := hmac.New(sha256.New, key)
	_ = binary.Write(mac, binary.BigEndian, []int64{startedAt.UnixMicro(), position})
	mac.Write([]byte(text))
	return postgres.VerificationState{StartedAt: startedAt, SavedAt: startedAt, Position: position, State: append(mac.Sum(nil), text...)}
}

// TestKeptVerificationThatIsNotGoneOnWith: too old, of another version, or
// planted by who altered the ledger.
func TestKeptVerificationThatIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.grow(t)
	h.exec(t, `UPDATE batch SET `+flip("payload")+` WHERE position = $1`, h.signed)
	good := `{"version":3,"report":{"Batches":8}}`
	moved := sealed(keepKey, h.now, 1, good)
	moved.Position = h.last + 1
	renewed := sealed(keepKey, h.now.Add(-25*time.Hour), h.last+1, good)
	renewed.StartedAt = h.now
	for name, kept := range map[string]postgres.VerificationState{
		"too old":              sealed(keepKey, h.now.Add(-25*time.Hour), 7, `{"version":3}`),
		"another version":      sealed(keepKey, h.now, 7, `{"version":0}`),
		"no state":             sealed(keepKey, h.now, 7, `garbage`),
		"beyond the tree":      sealed(keepKey, h.now, 1<<40, `{"version":3}`),
		"planted unsealed":     {StartedAt: h.now, SavedAt: h.now, Position: h.last + 1, State: []byte(good)},
		"planted short":        {StartedAt: h.now, SavedAt: h.now, Position: h.last + 1, State: []byte("{}")},
		"planted, another key": sealed(bytes.Repeat([]byte{8}, 32), h.now, h.last+1, good),
		"moved on":             moved,
		"made young":           renewed,
	} {
		if err := h.store.KeepVerification(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		cfg := h.config()
		cfg.KeepKey = keepKey
		report, err := ledger.Verify(t.Context(), h.store, cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if report.Batches != 8 || len(report.Problems) != 1 || report.Problems[0].Position != h.signed {
			t.Errorf("%s: %d batches, problems %v", name, report.Batches, report.Problems)
		}
	}
}

// TestVerificationBesideWork verifies while an evaluation changes a finding and
// opens another: what came after the verification began is none of its business.
func TestVerificationBesideWork(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.deeds(t)
	var previous uint64
	if err := h.pool.QueryRow(t.Context(), `SELECT max(position) FROM run`).Scan(&previous); err != nil {
		t.Fatal(err)
	}
	cfg, worked := h.config(), false
	cfg.Progress = func(int64, int64) {
		if worked {
			return
		}
		worked = true
		h.now = h.now.Add(time.Hour)
		host, instant := h.agent.HostID, h.now
		var findings []assay.Finding
		for _, key := range []string{"b", "c"} {
			findings = append(findings, assay.Finding{ID: assay.NewFindingID("log.cleared", host, key), Host: host, Check: "log.cleared", Key: key, Title: "Cleared again",
				OpenedAt: instant, LastAt: instant, Evidence: []assay.EventRef{{Position: 1, Ordinal: 2}}, EvidenceTotal: 1})
		}
		_, err := h.store.SaveRun(t.Context(), postgres.RunRecord{
			Run:       assay.Run{Instant: instant, Watermark: instant, Size: 5, Leaves: 1, Hosts: 1, Engine: "1", Packs: map[string][32]byte{"pci": {1}}},
			StartedAt: instant, Previous: previous, Findings: findings,
		})
		if err != nil {
			t.Error(err)
		}
	}
	report, err := ledger.Verify(t.Context(), h.store, cfg)
	if err != nil || !report.Good() || !worked {
		t.Errorf("%v, %v, worked: %v", report, err, worked)
	}
	h.grow(t)
	if report := h.verify(t); !report.Good() {
		t.Errorf("afterwards: %v", report.Problems)
	}
}
