package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// asProgram has this binary be assay-server.
const asProgram = "ASSAY_SERVER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// living is a database in use: agents send, lanes project, people read.
type living struct {
	t      *testing.T
	pool   *pgxpool.Pool
	keys   string
	today  time.Time
	mu     sync.Mutex
	now    time.Time // under mu; zero: it is now
	chains []*evidencetest.Chain
	store  *postgres.Store
}

func (l *living) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now.IsZero() {
		return time.Now().UTC()
	}
	return l.now
}

func (l *living) set(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = now
}

// pastDays is how many days before today agents sent.
const pastDays = 17

func newLiving(t *testing.T) *living {
	t.Helper()
	l := &living{t: t, pool: pgtest.Pool(t), keys: filepath.Join(t.TempDir(), "keys"), today: time.Now().UTC().Truncate(24 * time.Hour)}
	l.store = postgres.New(postgres.Config{DB: l.pool, Now: l.clock})
	l.set(l.today.AddDate(0, 0, -pastDays))
	authority := evidencetest.Authority(t, l.clock)
	for range 2 {
		agent := evidencetest.Enrol(t, l.store, authority, l.clock())
		l.chains = append(l.chains, evidencetest.Open(t, l.store, agent, evidence.Bulk, assay.ReasonFirst))
	}
	for d := range pastDays {
		for i, chain := range l.chains {
			l.set(l.today.AddDate(0, 0, d-pastDays).Add(time.Duration(6+i) * time.Hour))
			l.append(chain)
		}
	}
	l.set(time.Time{})
	if code, out := l.program("init", "--keys", l.keys, "--origin", "assay/test").run(); code != 0 {
		t.Fatalf("making keys: %s", out)
	}
	return l
}

// bodies are the kinds of events; most have a table.
var bodies = (&telemetryv1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()

// append commits a batch with an event of each kind.
func (l *living) append(c *evidencetest.Chain) {
	block := &telemetryv1.Block{Seed: make([]byte, evidence.SeedSize)}
	at := l.clock()
	for i := range bodies.Len() {
		event := &telemetryv1.Event{ObservedAt: evidence.Ticks(at.Add(-time.Duration(i) * time.Second)), Source: telemetryv1.Source_SOURCE_EVENT_LOG,
			Grade: telemetryv1.Grade_GRADE_C, Mode: telemetryv1.Mode_MODE_LIVE}
		body := event.ProtoReflect().Mutable(bodies.Get(i)).Message()
		for j := range body.Descriptor().Fields().Len() {
			if field := body.Descriptor().Fields().Get(j); field.Kind() == protoreflect.StringKind && !field.IsList() {
				body.Set(field, protoreflect.ValueOfString(fmt.Sprintf("%s of %s at %s", field.Name(), c.Agent.ID, at)))
			}
		}
		raw, err := proto.Marshal(event)
		if err != nil {
			l.t.Fatal(err)
		}
		block.Events = append(block.Events, raw)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		l.t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		l.t.Fatal(err)
	}
	defer encoder.Close()
	payload := encoder.EncodeAll(raw, nil)
	batch := c.Seal(evidence.Header{
		Kind: c.Head.Kind, Stream: evidence.StreamID(c.Head.Stream), Epoch: c.Head.Epoch, Number: c.Head.Number + 1,
		FirstSequence: c.Head.NextSequence, EventCount: uint32(len(block.GetEvents())), Previous: c.Head.Hash,
		PayloadSHA256: sha256.Sum256(payload), PayloadSize: uint32(len(payload)), RawSize: uint32(len(raw)),
		Commitments: evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents())),
	}, payload)
	c.Head = c.Head.After(&batch.Header, batch.Hash)
	evidencetest.Append(l.t, l.store, assay.Committed, batch)
}

// program is a call of assay-server, in a process of its own.
type program struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

func (l *living) program(args ...string) *program {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	p := &program{cmd: exec.CommandContext(l.t.Context(), self, args...)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	return p
}

func (p *program) run() (code int, out string) {
	err := p.cmd.Run()
	if p.cmd.ProcessState == nil {
		return -1, err.Error()
	}
	return p.cmd.ProcessState.ExitCode(), p.out.String()
}

// rows are those of a table of what was received before today, in order.
func (l *living) rows(ctx context.Context, table string) (rows []string, err error) {
	found, err := l.pool.Query(ctx, fmt.Sprintf(`SELECT t::text FROM %s t WHERE received_at < $1 ORDER BY position, ordinal`, table), l.today)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var text string
		if err := found.Scan(&text); err != nil {
			return nil, err
		}
		rows = append(rows, text)
	}
	return rows, found.Err()
}

// TestRebuildDaysLive rebuilds past days by the program, at a bounded rate, while
// batches come, lanes write and people read. It is killed half-way, and the same
// command goes on. Whoever reads finds each row of those days at any time, and in
// the end every table has the rows that it had.
func TestRebuildDaysLive(t *testing.T) {
	t.Parallel()
	l := newLiving(t)
	stop := l.live()
	l.await("the lanes to be past yesterday", func() bool {
		at, err := l.store.Watermark(t.Context(), project.PassNames(), project.Lanes)
		return err == nil && at.After(l.today)
	})
	before := map[string][]string{}
	for _, table := range telemetry.Tables() {
		rows, err := l.rows(t.Context(), table.Name)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 2*pastDays {
			t.Fatalf("%s has %d rows of the past, want %d", table.Name, len(rows), 2*pastDays)
		}
		before[table.Name] = rows
	}
	stopReading := l.read(before)
	all := 2 * pastDays * bodies.Len()
	args := []string{"project", "rebuild", "--database", l.pool.Config().ConnString(), "--keys", l.keys,
		"--from", l.today.AddDate(0, 0, -pastDays).Format(time.DateOnly), "--to", l.today.AddDate(0, 0, -1).Format(time.DateOnly)}
	killed := l.program(append(args, "--rate", "40")...)
	if err := killed.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.await("the rebuild to be under way", func() bool {
		r, err := l.store.UnfinishedRebuild(t.Context())
		return err == nil && r.Events > 0
	})
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.cmd.Wait() // it was killed
	half, err := l.store.UnfinishedRebuild(t.Context())
	if err != nil || half.Events >= int64(all) {
		t.Fatalf("it was killed after %d events, %v\n%s", half.Events, err, killed.out.String())
	}
	code, out := l.program(append(args, "--rate", "0")...).run()
	if want := fmt.Sprintf("\n%d events from ", all); code != 0 || !strings.Contains("\n"+out, want) {
		t.Errorf("going on ended with %d, want%s\n%s", code, want, out)
	}
	stopReading()
	written := stop()
	l.same(before)
	var live int
	if err := l.pool.QueryRow(t.Context(), `SELECT count(*) FROM win_process_events WHERE received_at >= $1`, l.today).Scan(&live); err != nil || live != written || written == 0 {
		t.Errorf("%d rows of %d batches that came meanwhile, %v", live, written, err)
	}
}

// same compares all rows of the past with those before.
func (l *living) same(before map[string][]string) {
	l.t.Helper()
	for name, rows := range before {
		after, err := l.rows(l.t.Context(), name)
		if err != nil {
			l.t.Fatal(err)
		}
		if diff := cmp.Diff(rows, after); diff != "" {
			l.t.Errorf("%s differs:\n%s", name, diff)
		}
	}
}

// live has batches come and lanes project them until stop, which returns how many
// came when all are projected.
func (l *living) live() (stop func() int) {
	l.t.Helper()
	hits, err := project.NewHits(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	passes := project.Passes(hits, nil)
	runner := project.NewRunner(project.Config{Store: l.store, Passes: passes, Now: l.clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Poll: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(l.t.Context())
	ended, end := make(chan error, 1), make(chan struct{})
	go func() { ended <- runner.Run(ctx) }()
	came := make(chan int, 1)
	go func() {
		n := 0
		defer func() { came <- n }()
		for ticker := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-end:
				ticker.Stop()
				return
			case <-ticker.C:
				l.append(l.chains[n%len(l.chains)])
				n++
			}
		}
	}()
	return func() int {
		close(end)
		n := <-came
		size, err := l.store.LedgerSize(l.t.Context())
		if err != nil {
			l.t.Fatal(err)
		}
		l.await("all to be projected", func() bool {
			caught, err := project.CaughtUp(l.t.Context(), l.store, passes, size)
			return err == nil && caught
		})
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
		return n
	}
}

// read reads the past as the console does, over and over until stop.
func (l *living) read(want map[string][]string) (stop func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for rounds := 0; ctx.Err() == nil; rounds++ {
			for _, table := range telemetry.Tables() {
				events, err := l.store.Events(ctx, postgres.EventQuery{Table: table, To: l.today.AddDate(0, 0, -1).Add(20 * time.Hour), Limit: 1000})
				if ctx.Err() == nil && (err != nil || len(events) != len(want[table.Name])) {
					l.t.Errorf("round %d: %d events of %s, want %d, %v", rounds, len(events), table.Name, len(want[table.Name]), assay.Cause(err))
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (l *living) await(what string, ok func() bool) {
	l.t.Helper()
	patience := time.After(2 * time.Minute)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-patience:
			l.t.Fatalf("waiting for %s took too long", what)
		case <-ticker.C:
		}
	}
}
