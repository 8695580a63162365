package ledger_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ledger"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(assay.Cause(err))
	}
}

// keeping adds a hold that stands and one that was released, an erasure that is
// asked for and one that is done, and a segment that was archived and deleted. None
// is of what the history's agents sent.
func (h *history) keeping(t *testing.T) {
	t.Helper()
	ctx, month := t.Context(), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	// Holds come first: none is placed while something goes.
	released, err := h.store.PlaceHold(ctx, assay.HostID{}, "all of it", "ann")
	must(t, err)
	must(t, h.store.ReleaseHold(ctx, released, "settled", "bob"))
	_, err = h.store.PlaceHold(ctx, h.agent.HostID, "a case", "ann")
	must(t, err)
	must(t, h.archived(ctx, 99))
	must(t, h.store.RecordDeleted(ctx, 99, "its time is over"))
	_, err = h.store.RequestErasure(ctx, h.gone.HostID, month, h.now.Add(123*time.Nanosecond), "a court", "ann")
	must(t, err)
	due, err := h.store.ErasuresDue(ctx, h.now.Add(time.Second))
	must(t, err)
	must(t, h.store.RecordErasure(ctx, &due[0]))
	_, err = h.store.RequestErasure(ctx, h.gone.HostID, month.AddDate(0, 1, 0), h.now, "a court", "ann")
	must(t, err)
	h.grow(t)
}

// archived records a segment as archived and dropped.
func (h *history) archived(ctx context.Context, segment int64) error {
	err := h.store.RecordArchived(ctx, assay.Segment{Number: segment, Object: "segment", Bytes: 7, Batches: 1, FirstReceived: h.now, LastReceived: h.now})
	_, failed := h.pool.Exec(ctx, `UPDATE archived_segment SET dropped_at = archived_at`)
	return errors.Join(err, failed)
}

// What is kept, archived and erased is altered in each way that would let
// something go, or hide that it did. Each is named, and nothing else is.
func TestRowsOfRetention(t *testing.T) {
	t.Parallel()
	sound := newHistory(t)
	sound.keeping(t)
	if report := sound.verify(t); !report.Good() {
		t.Fatalf("problems in a good ledger: %v", report.Problems)
	}
	standing := ` WHERE reason = 'a case'`
	for name, c := range map[string]struct{ sql, what string }{
		"hold released":            {`UPDATE hold SET released_at = placed_at` + standing, "hold"},
		"hold released beyond":     {`UPDATE hold SET released_at = placed_at, release_position = 1000000` + standing, "hold"},
		"hold released elsewhere":  {`UPDATE hold SET released_at = placed_at, release_position = 1` + standing, "hold"},
		"hold on another host":     {`UPDATE hold SET host_id = gen_random_uuid()` + standing, "hold"},
		"hold removed":             {`DELETE FROM hold` + standing, "hold"},
		"hold without position":    {`UPDATE hold SET position = -1` + standing, "hold"},
		"release by another":       {`UPDATE hold SET released_by = 'eve' WHERE released_at IS NOT NULL`, "hold"},
		"erasure due earlier":      {`UPDATE erasure SET due_at = due_at - interval '1 day' WHERE done_at IS NULL`, "erasure"},
		"erasure of another":       {`UPDATE erasure SET host_id = gen_random_uuid() WHERE done_at IS NULL`, "erasure"},
		"erasure done":             {`UPDATE erasure SET done_at = due_at WHERE done_at IS NULL`, "erasure"},
		"erasure removed":          {`DELETE FROM erasure WHERE done_at IS NULL`, "erasure"},
		"key deleted before":       {`UPDATE erasure SET key_deleted_at = due_at WHERE done_at IS NULL`, "erasure"},
		"segment of other content": {`UPDATE archived_segment SET ` + flip("sha256"), "archive"},
		"segment elsewhere":        {`UPDATE archived_segment SET object = 'other'`, "archive"},
		"segment not deleted":      {`UPDATE archived_segment SET deleted_at = NULL`, "archive"},
		"segment deleted by none":  {`UPDATE archived_segment SET deleted_at = NULL, deleted_position = NULL`, "erasure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			h.keeping(t)
			h.exec(t, c.sql)
			h.named(t, c.what, 2)
		})
	}
}

// Who takes a hold out of the rows, so that what it held goes, and puts it back
// leaves every row as it was: the leaves tell.
func TestErasedUnderHold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		all  bool // the hold is on all hosts
		do   func(h *history) error
		want string
	}{
		"an erasure":                     {false, (*history).erased, "was erased while hold"},
		"an erasure, all held":           {true, (*history).erased, "was erased while hold"},
		"a segment":                      {false, func(h *history) error { return h.deleted(0) }, "segment 0 was deleted while hold"},
		"a segment, all held":            {true, func(h *history) error { return h.deleted(99) }, "segment 99 was deleted while hold"},
		"a segment that the host has no": {false, func(h *history) error { return h.deleted(99) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			host := h.agent.HostID
			if c.all {
				host = assay.HostID{}
			}
			_, err := h.store.PlaceHold(t.Context(), host, "a case", "ann")
			must(t, err)
			h.exec(t, `UPDATE hold SET released_at = placed_at`)
			must(t, c.do(h))
			h.exec(t, `UPDATE hold SET released_at = NULL`)
			h.grow(t)
			for what, report := range map[string]*ledger.Report{"whole": h.verify(t), "in turns": h.verifyInTurns(t)} {
				switch {
				case c.want == "" && !report.Good():
					t.Errorf("%s: %v", what, report.Problems)
				case c.want != "" && (len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Detail, c.want)):
					t.Errorf("%s: the problems are %v, want one that says that it %s", what, report.Problems, c.want)
				}
			}
		})
	}
}

func (h *history) erased() error {
	ctx := context.Background()
	_, err := h.store.RequestErasure(ctx, h.agent.HostID, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), h.now, "a court", "ann")
	if err != nil {
		return err
	}
	due, err := h.store.ErasuresDue(ctx, h.now)
	if err != nil {
		return err
	}
	return h.store.RecordErasure(ctx, &due[0])
}

func (h *history) deleted(segment int64) error {
	if err := h.archived(context.Background(), segment); err != nil {
		return err
	}
	return h.store.RecordDeleted(context.Background(), segment, "its time is over")
}

// verifyInTurns verifies a page in each run, every one going on where the last was.
func (h *history) verifyInTurns(t *testing.T) *ledger.Report {
	t.Helper()
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := h.config()
		cfg.KeepKey = keepKey
		cfg.Progress = func(done, total int64) {
			if done < total {
				cancel()
			}
		}
		report, err := ledger.Verify(ctx, h.store, cfg)
		cancel()
		if err == nil {
			return report
		}
		if !errors.Is(err, context.Canceled) && assay.KindOf(err) != assay.Unavailable {
			t.Fatal(assay.Cause(err))
		}
	}
	t.Fatal("it does not get on")
	return nil
}
