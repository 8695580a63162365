package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/deploy/pg"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// VerifyConfig says how much to verify.
type VerifyConfig struct {
	Events   int // in the ledger
	Rounds   int // of which medians are printed
	Dir      string
	Now      func() time.Time
	Progress io.Writer // nil: nobody
}

// VerifyReport holds medians over the rounds. Its JSON is the last line.
type VerifyReport struct {
	// VerifyRatio is how fast the ledger is verified, to how fast the same rows are
	// copied out of Postgres.
	VerifyRatio     float64 `json:"verify_ratio"`
	EventsPerSecond float64 `json:"events_per_s"`
	CopyBytes       float64 `json:"copy_bytes_per_s"`
	Events          int64   `json:"events"`
	Batches         int64   `json:"batches"`
	Rounds          int     `json:"rounds"`
	PeakMB          float64 `json:"heap_peak_mb"`
}

// How the made-up ledger looks: so many agents, events in a batch, different
// blocks, and batches in a transaction.
const (
	verifyAgents = 100
	verifyBlock  = 300
	verifyBlocks = 256
	verifyCommit = 250
)

// verification is a benchmark under way.
type verification struct {
	VerifyConfig
	pool      *pgxpool.Pool
	store     *postgres.Database
	authority *ca.Authority
	blocks    []madeBlock
	chains    []madeChain
	batches   int
}

// MeasureVerify fills a ledger, and verifies it and copies its rows out in turns.
func MeasureVerify(ctx context.Context, cfg VerifyConfig) (report *VerifyReport, err error) {
	v := &verification{VerifyConfig: cfg}
	database, err := pg.Start(ctx, pg.Config{Dir: filepath.Join(cfg.Dir, "postgres")})
	if err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
	}
	defer func() { err = errors.Join(err, database.Stop(context.WithoutCancel(ctx))) }()
	if err := v.prepare(ctx, database); err != nil {
		return nil, err
	}
	defer v.store.Close()
	defer v.pool.Close()
	if err := v.fill(ctx); err != nil {
		return nil, err
	}
	return v.measure(ctx)
}

func (v *verification) say(format string, args ...any) {
	if v.Progress != nil {
		fmt.Fprintf(v.Progress, format+"\n", args...)
	}
}

func (v *verification) prepare(ctx context.Context, database *pg.Server) (err error) {
	if err := postgres.CreateDatabase(ctx, database.DSN("postgres"), "assay"); err != nil {
		return err
	}
	if v.store, err = postgres.Connect(ctx, database.DSN("assay"), postgres.Config{Now: v.Now}); err != nil {
		return err
	}
	if err := v.store.Migrate(ctx); err != nil {
		return err
	}
	if v.pool, err = pgxpool.New(ctx, database.DSN("assay")); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	keys := filepath.Join(v.Dir, "keys")
	if err := ca.Create(keys, ca.CreateConfig{Origin: "assay/bench", Now: v.Now}); err != nil {
		return err
	}
	v.authority, err = ca.Load(keys, v.Now)
	return err
}

// madeBlock is a block as an agent packs one.
type madeBlock struct {
	header  evidence.Header // without stream, epoch, number, sequence and previous
	payload []byte
}

// madeChain is one agent's stream.
type madeChain struct {
	agent  assay.AgentID
	host   assay.HostID
	serial []byte
	head   assay.Head
}

// fill makes blocks and commits them in chains of many agents.
func (v *verification) fill(ctx context.Context) error {
	v.say("making %d blocks", verifyBlocks)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return fmt.Errorf("making compressor: %w", err)
	}
	defer encoder.Close()
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for range min(verifyBlocks, v.Events/verifyBlock+1) {
		block, err := makeBlock(encoder, random, v.Now())
		if err != nil {
			return err
		}
		v.blocks = append(v.blocks, block)
	}
	for number := range verifyAgents {
		chain, err := v.enrol(ctx, number)
		if err != nil {
			return err
		}
		v.chains = append(v.chains, chain)
	}
	total := max(1, v.Events/verifyBlock)
	told := v.Now()
	for v.batches < total {
		batches := make([]*assay.Batch, min(verifyCommit, total-v.batches))
		for i := range batches {
			batches[i] = v.next()
		}
		receipts, err := v.store.AppendBatches(ctx, batches)
		if err != nil {
			return err
		}
		for _, r := range receipts {
			if r.Outcome != assay.Committed {
				return fmt.Errorf("a batch was %s: %s", r.Outcome, r.Reason)
			}
		}
		if now := v.Now(); now.Sub(told) > 5*time.Second {
			told = now
			v.say("%d of %d batches are in the ledger", v.batches, total)
		}
	}
	growing := ledger.NewGrowing(ledger.GrowConfig{Store: v.store.Store, Keys: v.authority, Log: slog.New(slog.DiscardHandler)})
	return growing.RunOnce(ctx)
}

// next is the next batch of the next agent.
func (v *verification) next() *assay.Batch {
	chain, block := &v.chains[v.batches%len(v.chains)], &v.blocks[v.batches%len(v.blocks)]
	v.batches++
	header := block.header
	header.Kind, header.Stream, header.Epoch, header.Number = chain.head.Kind, evidence.StreamID(chain.head.Stream), chain.head.Epoch, chain.head.Number+1
	header.FirstSequence, header.Previous = chain.head.NextSequence, chain.head.Hash
	canonical := header.Canonical()
	batch := &assay.Batch{Agent: chain.agent, Host: chain.host, CertificateSerial: chain.serial, Header: header, HeaderBytes: canonical,
		Hash: evidence.HashHeader(canonical), Payload: block.payload}
	chain.head = chain.head.After(&header, batch.Hash)
	return batch
}

// makeBlock packs events that look like process starts.
func makeBlock(encoder *zstd.Encoder, random *mathrand.Rand, now time.Time) (madeBlock, error) {
	block := &telemetryv1.Block{Seed: make([]byte, evidence.SeedSize)}
	_, _ = rand.Read(block.Seed)
	for i := range verifyBlock {
		image := fmt.Sprintf(`C:\Program Files\Vendor %d\app-%d.exe`, random.IntN(20), random.IntN(50))
		fields := []*telemetryv1.Field{
			{Name: "UtcTime", Value: now.Format("2006-01-02 15:04:05.000")}, {Name: "ProcessId", Value: fmt.Sprint(random.IntN(1 << 16))},
			{Name: "Image", Value: image}, {Name: "CommandLine", Value: fmt.Sprintf(`"%s" --job %x --user u%d`, image, random.Uint64(), random.IntN(300))},
			{Name: "User", Value: fmt.Sprintf(`CORP\u%d`, random.IntN(300))}, {Name: "Hashes", Value: fmt.Sprintf("SHA256=%016X%016X%016X%016X", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())},
			{Name: "ParentImage", Value: `C:\Windows\explorer.exe`},
		}
		encoded, err := proto.Marshal(&telemetryv1.Event{
			ObservedAt: evidence.Ticks(now.Add(time.Duration(i) * time.Millisecond)), Source: telemetryv1.Source_SOURCE_SYSMON, Grade: telemetryv1.Grade_GRADE_B,
			Mode: telemetryv1.Mode_MODE_LIVE, Body: &telemetryv1.Event_Process{Process: &telemetryv1.ProcessEvent{Action: "start", Path: image}},
			Raw: &telemetryv1.Raw{Provider: "Microsoft-Windows-Sysmon", Channel: "Microsoft-Windows-Sysmon/Operational", EventId: 1, RecordId: random.Uint64() >> 30, Data: fields},
		})
		if err != nil {
			return madeBlock{}, fmt.Errorf("encoding event: %w", err)
		}
		block.Events = append(block.Events, encoded)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		return madeBlock{}, fmt.Errorf("encoding block: %w", err)
	}
	payload := encoder.EncodeAll(raw, nil)
	return madeBlock{payload: payload, header: evidence.Header{
		EventCount: verifyBlock, PayloadSHA256: sha256.Sum256(payload), PayloadSize: uint32(len(payload)), RawSize: uint32(len(raw)),
		Commitments: evidence.CommitmentRoot(evidence.Commitments(block.Seed, block.Events)),
	}}, nil
}

// enrol makes an agent by the store, with one stream.
func (v *verification) enrol(ctx context.Context, number int) (chain madeChain, err error) {
	now := v.Now()
	secret, hash := assay.NewTokenSecret()
	token := assay.Token{Name: "bench", SecretHash: hash, Rights: []assay.Right{assay.RightEnrol}, UsesLeft: 1, CreatedAt: now, CreatedBy: "bench", ExpiresAt: now.Add(time.Hour)}
	_, _ = rand.Read(token.ID[:])
	if err := v.store.CreateToken(ctx, token); err != nil {
		return chain, err
	}
	secretHash, err := assay.HashTokenSecret(secret)
	if err != nil {
		return chain, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return chain, fmt.Errorf("making key: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return chain, fmt.Errorf("encoding key: %w", err)
	}
	_, _ = rand.Read(chain.agent[:])
	_, _ = rand.Read(chain.host[:])
	_, issued, err := v.store.Enrol(ctx, chain.agent, postgres.Enrolment{
		SecretHash: secretHash[:], Host: assay.Host{ID: chain.host, Name: fmt.Sprintf("WS-%04d", number)}, KeyKind: assay.SoftwareKey, PublicKey: spki, Version: "1.0.0",
		Issue: func(id assay.AgentID) (assay.Certificate, error) { return v.authority.IssueAgent(id, key.Public()) },
	})
	if err != nil {
		return chain, err
	}
	chain.serial = issued.Serial
	chain.head, _, err = v.store.OpenEpoch(ctx, assay.EpochRequest{Agent: chain.agent, Kind: evidence.Bulk, Reason: "first", BootID: "boot"})
	return chain, err
}

func (v *verification) measure(ctx context.Context) (*VerifyReport, error) {
	r := &VerifyReport{Rounds: v.Rounds}
	var ratios, speeds, copies []float64
	for round := range v.Rounds {
		v.say("round %d of %d", round+1, v.Rounds)
		bytes, copied, err := v.copyOut(ctx)
		if err != nil {
			return nil, err
		}
		report, took, err := v.verify(ctx, r)
		if err != nil {
			return nil, err
		}
		r.Events, r.Batches = report.Events, report.Batches
		ratios, speeds = append(ratios, copied.Seconds()/took.Seconds()), append(speeds, float64(report.Events)/took.Seconds())
		copies = append(copies, float64(bytes)/copied.Seconds())
	}
	for _, list := range [][]float64{ratios, speeds, copies} {
		slices.Sort(list)
	}
	r.VerifyRatio, r.EventsPerSecond, r.CopyBytes = ratios[len(ratios)/2], speeds[len(speeds)/2], copies[len(copies)/2]
	return r, nil
}

// copyOut copies out the rows that the verification reads: binary, over one
// connection, as a backup would.
func (v *verification) copyOut(ctx context.Context) (bytes int64, took time.Duration, err error) {
	conn, err := v.pool.Acquire(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Release()
	began := time.Now()
	for _, table := range []string{"batch", "leaf"} {
		out := &counting{}
		if _, err := conn.Conn().PgConn().CopyTo(ctx, out, "COPY (SELECT * FROM "+table+") TO STDOUT (FORMAT binary)"); err != nil {
			return 0, 0, fmt.Errorf("copying %s out: %w", table, err)
		}
		bytes += out.n
	}
	return bytes, time.Since(began), nil
}

type counting struct{ n int64 }

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func (v *verification) verify(ctx context.Context, r *VerifyReport) (*ledger.Report, time.Duration, error) {
	key, err := note.NewVerifier(v.authority.LedgerKey())
	if err != nil {
		return nil, 0, fmt.Errorf("reading the ledger's key: %w", err)
	}
	told := time.Now()
	began := told
	report, err := ledger.Verify(ctx, v.store.Store, ledger.VerifyConfig{Certificates: v.authority, Key: key, Now: v.Now, Progress: func(int64, int64) {
		var memory runtime.MemStats
		if now := time.Now(); now.Sub(told) > 100*time.Millisecond {
			told = now
			runtime.ReadMemStats(&memory)
			r.PeakMB = max(r.PeakMB, float64(memory.HeapInuse)/1e6)
		}
	}})
	took := time.Since(began)
	if err == nil && !report.Good() {
		err = fmt.Errorf("the ledger does not verify: %s", report.Problems[0])
	}
	return report, took, err
}

// Print writes what was measured and, as the last line, BENCH and the JSON.
func (r *VerifyReport) Print(w io.Writer) error {
	fmt.Fprintf(w, "%d events in %d batches, medians of %d rounds: %.0f events/s verified, rows copied out at %.0f MB/s, ratio %.2f, heap at most %.0f MB\n",
		r.Events, r.Batches, r.Rounds, r.EventsPerSecond, r.CopyBytes/1e6, r.VerifyRatio, r.PeakMB)
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding report: %w", err)
	}
	_, err = fmt.Fprintf(w, "BENCH %s\n", encoded)
	return err
}
