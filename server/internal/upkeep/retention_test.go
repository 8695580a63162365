package upkeep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/server/internal/archive"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
	"github.com/assay-audit/assay/server/internal/vault"
)

// TestLifeOfASegment follows what two hosts sent from the hot tables into the
// archive and out of it, with a hold and an erasure in between. After each step
// the ledger verifies and everything that should be there is.
func TestLifeOfASegment(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fill()
	before := k.rows()
	if want := 10*2*3 + 3; len(before) != want {
		t.Fatalf("%d rows are in the event tables, want %d", len(before), want)
	}
	if n := k.number(`SELECT count(*) FROM batch WHERE get_byte(payload, 0) <> 1`); n != 0 {
		t.Errorf("%d payloads rest in the clear", n)
	}
	k.mustVerify(0)

	k.rebuild(began, over)
	if diff := cmp.Diff(before, k.rows()); diff != "" {
		t.Errorf("rebuilding live changed rows:\n%s", diff)
	}

	k.now = began.AddDate(0, 0, 45)
	k.job.Once(t.Context())
	if n := k.number(`SELECT count(*) FROM archived_segment`); n != 1 {
		t.Fatalf("%d segments are archived", n)
	}
	if n := k.number(`SELECT count(*) FROM batch WHERE payload IS NULL`); n != 0 {
		t.Error("payloads left Postgres before every backup knows the archive")
	}
	k.now = k.now.Add(15 * day)
	k.job.Once(t.Context())
	if n := k.number(`SELECT count(*) FROM batch WHERE payload IS NOT NULL`); n != 0 {
		t.Errorf("%d payloads are still in Postgres", n)
	}
	k.mustVerify(0)
	for host := range k.hosts {
		if err := k.show(host); err != nil {
			t.Errorf("an event out of the archive: %v", err)
		}
	}

	k.now = began.AddDate(0, 0, 120)
	k.job.Once(t.Context())
	if left := k.rows(); len(left) != 0 {
		t.Errorf("%d rows are in the event tables after the hot period", len(left))
	}
	if n := k.number(`SELECT count(*) FROM event_days`); n != 0 {
		t.Errorf("%d days are still counted", n)
	}
	k.project()
	k.rebuild(began, over)
	k.job.Once(t.Context())
	if diff := cmp.Diff(before, k.rows()); diff != "" {
		t.Errorf("rebuilding from the archive changed rows, or they did not stay:\n%s", diff)
	}
	k.eraseOne(before)
	k.deleteAll()
}

// eraseOne erases the first host, against a hold at first.
func (k *keeping) eraseOne(before []string) {
	t, ctx, host := k.t, k.t.Context(), k.hosts[0].HostID
	t.Helper()
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	hold, err := k.store.PlaceHold(ctx, host, "litigation", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.store.RequestErasure(ctx, host, month, month.AddDate(0, 1, 0).Add(365*day), "asked for", "test"); err != nil {
		t.Fatal(err)
	}
	k.now = month.AddDate(0, 1, 0).Add(364 * day)
	k.job.Once(ctx)
	if n := k.number(`SELECT count(*) FROM erasure WHERE done_at IS NOT NULL`); n != 0 {
		t.Error("it was erased within the statutory retention")
	}
	k.now = k.now.Add(2 * day)
	k.job.Once(ctx)
	if n := k.number(`SELECT count(*) FROM erasure WHERE done_at IS NOT NULL`); n != 0 {
		t.Error("it was erased against a hold")
	}
	if err := k.store.ReleaseHold(ctx, hold, "settled", "test"); err != nil {
		t.Fatal(err)
	}
	k.project()
	k.rebuild(began, over)
	k.job.Once(ctx)
	if err := k.show(0); assay.KindOf(err) != assay.NotFound {
		t.Errorf("the erased host's event: %v", err)
	}
	if err := k.show(1); err != nil {
		t.Errorf("the other host's event: %v", err)
	}
	kept := slices.DeleteFunc(slices.Clone(before), func(row string) bool { return strings.Contains(row, k.hosts[0].ID.String()) })
	if diff := cmp.Diff(kept, k.rows()); diff != "" || len(kept) != 30 {
		t.Errorf("of %d rows that are not the erased host's:\n%s", len(kept), diff)
	}
	k.mustVerify(20)
}

// deleteAll deletes the segment by rule, against a hold at first.
func (k *keeping) deleteAll() {
	t, ctx := k.t, k.t.Context()
	t.Helper()
	hold, err := k.store.PlaceHold(ctx, k.hosts[1].HostID, "litigation", "test")
	if err != nil {
		t.Fatal(err)
	}
	k.now = began.AddDate(0, 0, 600)
	k.job.Once(ctx)
	if err := k.show(1); err != nil {
		t.Errorf("under a hold its event: %v", err)
	}
	if err := k.store.ReleaseHold(ctx, hold, "settled", "test"); err != nil {
		t.Fatal(err)
	}
	k.job.Once(ctx)
	if err := k.show(1); assay.KindOf(err) != assay.NotFound {
		t.Errorf("after its segment was deleted its event: %v", err)
	}
	k.mustVerify(30)
	if _, err := k.bucket.List(nil).Next(ctx); err == nil {
		t.Error("the archive still holds an object")
	}
}

// TestMissingWithoutALeaf takes away what no leaf speaks of: a key, and an
// object. The verifier names each.
func TestMissingWithoutALeaf(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fill()
	k.now = began.AddDate(0, 0, 45)
	k.job.Once(t.Context())
	k.now = k.now.Add(15 * day)
	if err := k.vault.Erase(t.Context(), k.hosts[0].HostID, vault.MonthOf(began)); err != nil {
		t.Fatal(err)
	}
	report := k.verify()
	if len(report.Problems) != 1 || report.Problems[0].What != "payload" || !strings.Contains(report.Problems[0].Detail, k.hosts[0].HostID.String()) {
		t.Errorf("a key is missing, and the verifier says %v", report.Problems)
	}
	k.job.Once(t.Context())
	object, err := k.bucket.List(nil).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := k.bucket.ReadAll(t.Context(), object.Key)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(whole)*9/10; i += 100 {
		whole[i] ^= 1
	}
	if err := k.bucket.WriteAll(t.Context(), object.Key, whole, nil); err != nil {
		t.Fatal(err)
	}
	k.store = postgres.New(postgres.Config{DB: k.pool, Now: k.clock, Vault: k.vault, Archive: archive.New(k.bucket)})
	flipped := k.verify()
	if !slices.ContainsFunc(flipped.Problems, func(p ledger.Problem) bool { return strings.Contains(p.Detail, postgres.Damaged.String()) }) {
		t.Errorf("bits of the archive are flipped too, and the verifier says %v", flipped.Problems)
	}
}

// TestPayloadsStayUntilTheArchiveIsGood: an object that was damaged between its
// writing and the drop keeps the payloads where they are.
func TestPayloadsStayUntilTheArchiveIsGood(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fill()
	k.now = began.AddDate(0, 0, 45)
	k.job.Once(t.Context())
	object, err := k.bucket.List(nil).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole, err := k.bucket.ReadAll(t.Context(), object.Key)
	if err != nil {
		t.Fatal(err)
	}
	whole[100] ^= 1
	if err := k.bucket.WriteAll(t.Context(), object.Key, whole, nil); err != nil {
		t.Fatal(err)
	}
	k.now = k.now.Add(15 * day)
	k.job.Once(t.Context())
	if n := k.number(`SELECT count(*) FROM batch WHERE payload IS NULL`); n != 0 {
		t.Errorf("%d payloads left Postgres for a damaged object", n)
	}
}

// TestRebuildResumes cuts a rebuild short after every step: the next goes on,
// and the rows are the same.
func TestRebuildResumes(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fill()
	before := k.rows()
	created, err := k.store.CreateRebuild(t.Context(), began, over, k.now, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.store.CreateRebuild(t.Context(), began, over, k.now, "test"); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a second rebuild: %v", err)
	}
	if err := k.store.ResetPass(t.Context(), project.FactsPass, project.FactsVersion); assay.KindOf(err) != assay.Conflict {
		t.Errorf("emptying what the rebuild reads: %v", err)
	}
	steps, seen := 0, map[string]bool{}
	for finished := false; !finished; {
		r, err := k.store.UnfinishedRebuild(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprint(r.Week, r.Position)] = true
		ctx, cancel := context.WithCancel(t.Context())
		err = project.Rebuild(ctx, project.RebuildConfig{Store: k.store, Progress: func(r *assay.Rebuild) {
			finished = !r.FinishedAt.IsZero()
			cancel()
		}}, &r)
		cancel()
		if err != nil && assay.KindOf(err) != assay.Unavailable {
			t.Fatal(err)
		}
		steps++
	}
	if steps < 5 || len(seen) != steps {
		t.Errorf("%d steps from %d places", steps, len(seen))
	}
	if diff := cmp.Diff(before, k.rows()); diff != "" {
		t.Errorf("the rows differ:\n%s", diff)
	}
	// Whoever still has it in memory may not write.
	if err := project.Rebuild(t.Context(), project.RebuildConfig{Store: k.store}, &created); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a rebuild that ended elsewhere goes on: %v", err)
	}
	late := created
	late.Position = late.End
	if err := k.store.FinishWeek(t.Context(), &late); assay.KindOf(err) != assay.Conflict {
		t.Errorf("a week that was finished elsewhere is put into place: %v", err)
	}
	if diff := cmp.Diff(before, k.rows()); diff != "" {
		t.Errorf("whoever came late changed rows:\n%s", diff)
	}
	if _, err := k.store.CreateRebuild(t.Context(), began, k.now.AddDate(0, 0, 1), k.now, "test"); assay.KindOf(err) != assay.Invalid {
		t.Errorf("rebuilding a day that goes on: %v", err)
	}
}

// TestErasedDuringAVerification: what was erased while a verification went on is
// excused by a leaf that came after the verification began.
func TestErasedDuringAVerification(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fillDays()
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	k.now = month.AddDate(0, 1, 0).Add(366 * day)
	if _, err := k.store.RequestErasure(t.Context(), k.hosts[0].HostID, month, k.now.Add(-day), "asked for", "test"); err != nil {
		t.Fatal(err)
	}
	k.project()
	k.grow()
	key, err := note.NewVerifier(k.authority.LedgerKey())
	if err != nil {
		t.Fatal(err)
	}
	erased := false
	report, err := ledger.Verify(t.Context(), k.store, ledger.VerifyConfig{Certificates: k.authority, Key: key, Now: k.clock, Page: 1, Progress: func(int64, int64) {
		if !erased {
			erased = true
			k.job.Once(t.Context())
		}
	}})
	if err != nil || !report.Good() || report.Absent == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if k.number(`SELECT count(*) FROM erasure WHERE done_at IS NOT NULL`) != 1 {
		t.Error("nothing was erased")
	}
}
