package upkeep

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// erasing is what there is of an erasure: whether it is recorded, how many rows of
// the host are left, whether its key is, and whether that is noted.
type erasing struct {
	done, rows, keys, noted, leaves int64
}

func (k *keeping) erasing() erasing {
	k.t.Helper()
	e := erasing{
		done: k.number(`SELECT count(done_at) FROM erasure`), noted: k.number(`SELECT count(key_deleted_at) FROM erasure`),
		leaves: k.number(`SELECT size FROM ledger_head`),
		rows:   k.number(`SELECT count(*) FROM win_process_events t WHERE t::text LIKE '%' || $1 || '%'`, k.hosts[0].ID.String()),
	}
	// A server that has just started has no key in memory.
	fresh := *k
	fresh.store = postgres.New(postgres.Config{DB: k.pool, Now: k.clock, Vault: k.newVault(k.keys)})
	if err := fresh.show(0); err == nil {
		e.keys = 1
	} else if assay.KindOf(err) != assay.NotFound {
		k.t.Errorf("the event of the host that is erased: %v", err)
	}
	return e
}

// TestErasureFailsAtEveryStep: a hold is placed, an erasure asked for, the hold
// released and the erasure carried out, while each step of each, of the database
// and of the vault, fails, and fails after it was done. Nothing goes before its
// leaf is there and the hold is not, none of it comes back, each thing is recorded
// once, and the ledger verifies.
func TestErasureFailsAtEveryStep(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	k.fillDays()
	before := k.rows()
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	k.now = month.AddDate(0, 1, 0).Add(366 * day)
	k.project()
	holds := k.failHold()
	k.failOnce("asking for an erasure", func(s *postgres.Store) error {
		_, err := s.RequestErasure(t.Context(), k.hosts[0].HostID, month, k.now.Add(-day), "asked for", "test")
		return err
	}, `SELECT count(*) FROM erasure`)
	if err := k.job.erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := k.erasing(); e.done != 0 || e.keys != 1 {
		t.Errorf("against a hold: %+v", e)
	}
	for _, hold := range holds {
		// Releasing it again says that it is.
		k.failOnce("releasing a hold", func(s *postgres.Store) error { return s.ReleaseHold(t.Context(), hold, "settled", "test") },
			`SELECT count(*) FROM hold WHERE id = $1 AND released_at IS NOT NULL`, [16]byte(hold))
	}
	k.failErasure()
	var left []string
	for _, row := range before {
		if !strings.Contains(row, k.hosts[0].ID.String()) {
			left = append(left, row)
		}
	}
	if diff := cmp.Diff(left, k.rows()); diff != "" || len(left) != 30 {
		t.Errorf("of %d rows that are not the erased host's:\n%s", len(left), diff)
	}
	k.mustVerify(20)
}

// failHold places a hold while each step of it fails. An operator who is not told
// that it stands places another: any that stands is enough.
func (k *keeping) failHold() (holds []assay.HoldID) {
	k.t.Helper()
	whole := &pgtest.Fault{}
	place := func(f *pgtest.Fault) error {
		_, err := k.failing(f).cfg.Store.PlaceHold(k.t.Context(), k.hosts[0].HostID, "litigation", "test")
		return err
	}
	if err := place(whole); err != nil {
		k.t.Fatal(err)
	}
	stand := int64(1)
	for _, fault := range whole.Each() {
		leaves := k.number(`SELECT size FROM ledger_head`)
		if err := place(fault); err == nil || !fault.Hit {
			k.t.Errorf("placing a hold: %s: hit=%t, %v", fault, fault.Hit, err)
		}
		if strings.Contains(fault.Step, "commit") && fault.After {
			stand++
			leaves += 2 // of the hold and of who placed it
		}
		if n, size := k.number(`SELECT count(*) FROM hold`), k.number(`SELECT size FROM ledger_head`); n != stand || size != leaves {
			k.t.Errorf("placing a hold: %s: %d holds and %d leaves, want %d and %d", fault, n, size, stand, leaves)
		}
	}
	list, err := k.store.Holds(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	for _, h := range list {
		holds = append(holds, h.ID)
	}
	return holds
}

// failOnce does what may be done once while each step of it fails, and at last so
// that only its answer is lost: by then, and not before, count counts one.
func (k *keeping) failOnce(what string, do func(*postgres.Store) error, count string, args ...any) {
	k.t.Helper()
	for n := 1; ; n++ {
		for _, after := range []bool{false, true} {
			fault := &pgtest.Fault{At: n, After: after}
			if err := do(k.failing(fault).cfg.Store); err == nil || !fault.Hit {
				k.t.Fatalf("%s: %s: hit=%t, %v", what, fault, fault.Hit, err)
			}
			committed := after && strings.Contains(fault.Steps[n-1], "commit")
			if done := k.number(count, args...); committed != (done == 1) || done > 1 {
				k.t.Fatalf("%s: it %s, and is done %d times", what, fault, done)
			}
			if !committed {
				continue
			}
			if err := do(k.store); assay.KindOf(err) != assay.Conflict || n < 8 {
				k.t.Errorf("%s again, after %d steps: %v", what, n, err)
			}
			return
		}
	}
}

// failErasure has the erasure meet a fault at each step, from the first again
// whenever it has got on, until it is done without meeting any.
func (k *keeping) failErasure() {
	k.t.Helper()
	was, faults := k.erasing(), 0
	began := was
	seen := []string{fmt.Sprintf("%+v", was)}
	for n := 1; ; n++ {
		on := false
		for _, after := range []bool{false, true} {
			fault := &pgtest.Fault{At: n, After: after}
			err := k.failing(fault).erase(k.t.Context())
			is := k.erasing()
			if !fault.Hit {
				if want := (erasing{done: 1, noted: 1, leaves: began.leaves + 1}); err != nil || is != want || faults < 50 || len(seen) < 4 {
					k.t.Errorf("after %d faults, by way of %q: %+v, want %+v, %v", faults, seen, is, want, err)
				}
				return
			}
			faults++
			if err == nil {
				k.t.Errorf("it %s and was told as done", fault)
			}
			lost := is.done < was.done || is.noted < was.noted || is.rows > was.rows || is.keys > was.keys
			early := is.done == 0 && (is.rows != began.rows || is.keys == 0) || is.keys == 0 && is.rows > 0 || is.noted == 1 && is.keys == 1
			if lost || early || is.leaves != began.leaves+is.done {
				k.t.Errorf("it %s: from %+v to %+v", fault, was, is)
			}
			if is != was {
				was, on = is, true
				seen = append(seen, fmt.Sprintf("%+v", is))
			}
		}
		if on {
			n = 0
		}
	}
}
