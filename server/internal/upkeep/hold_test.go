package upkeep

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/vault"
)

// TestNoHoldOnWhatIsUnderWay: a hold is not accepted while an erasure is recorded
// and its key may still be there, nor while a deleted segment's object may be. It
// is accepted for a host that they do not concern, and once they are done.
func TestNoHoldOnWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fill()
	ctx, host, other := t.Context(), k.hosts[0].HostID, k.hosts[1].HostID
	for _, days := range []int{45, 60} {
		k.now = began.AddDate(0, 0, days)
		k.job.Once(ctx)
	}
	k.now = began.AddDate(0, 0, 450)
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if _, err := k.store.RequestErasure(ctx, host, month, k.now.Add(-day), "asked for", "test"); err != nil {
		t.Fatal(err)
	}
	down := *k.job
	down.cfg.Vault = k.newVault(downKeys{})
	if err := down.erase(ctx); err == nil {
		t.Error("an erasure whose key could not be deleted was told as done")
	}
	k.refusesHold(host)
	k.refusesHold(assay.HostID{})
	k.takesHold(other)
	if err := k.job.erase(ctx); err != nil {
		t.Fatal(err)
	}
	k.takesHold(host)
	k.takesHold(assay.HostID{})

	k.now = began.AddDate(0, 0, 600)
	if err := k.store.RecordDeleted(ctx, 0, "old"); err != nil {
		t.Fatal(err)
	}
	k.refusesHold(other)
	k.refusesHold(assay.HostID{})
	if err := k.job.deleteSegments(ctx); err != nil {
		t.Fatal(err)
	}
	k.takesHold(other)
	k.takesHold(assay.HostID{})
}

// downKeys is a store of keys that cannot be reached.
type downKeys struct{ vault.Keys }

func (downKeys) Delete(context.Context, string) error { return errors.New("no connection") }

func (k *keeping) refusesHold(host assay.HostID) {
	k.t.Helper()
	if _, err := k.store.PlaceHold(k.t.Context(), host, "litigation", "test"); assay.KindOf(err) != assay.Conflict {
		k.t.Errorf("a hold on what goes: %v", err)
	}
}

// takesHold places a hold and releases it.
func (k *keeping) takesHold(host assay.HostID) {
	k.t.Helper()
	hold, err := k.store.PlaceHold(k.t.Context(), host, "litigation", "test")
	if err != nil {
		k.t.Errorf("placing a hold: %v", err)
		return
	}
	if err := k.store.ReleaseHold(k.t.Context(), hold, "settled", "test"); err != nil {
		k.t.Error(err)
	}
}
