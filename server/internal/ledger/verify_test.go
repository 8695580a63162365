package ledger_test

import (
	"crypto/sha256"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/stamptest"
)

// history is a ledger in which everything has happened once.
type history struct {
	*bundle
	agent, gone   *evidencetest.Agent
	bulk, control *evidencetest.Chain
	signed        int64 // positions of a signed batch, a fork, the renewal, an opening
	fork          int64
	renewal       int64
	opening       int64
	last          int64 // of bulk's newest batch
	stamps        *stamp.Authority
}

func newHistory(t *testing.T) *history {
	t.Helper()
	b := setup(t)
	h := &history{bundle: b, agent: evidencetest.Enrol(t, b.store, b.authority, b.now), gone: evidencetest.Enrol(t, b.store, b.authority, b.now)}
	h.bulk = evidencetest.Open(t, b.store, h.agent, evidence.Bulk, assay.ReasonFirst)
	h.control = evidencetest.Open(t, b.store, h.agent, evidence.Control, assay.ReasonFirst)
	goneChain := evidencetest.Open(t, b.store, h.gone, evidence.Bulk, assay.ReasonFirst)
	old := *h.bulk
	receipts := evidencetest.Append(t, b.store, assay.Committed,
		h.bulk.Next(t, 3), h.bulk.Signed(t, 10), h.control.Signed(t, 1), goneChain.Next(t, 2), h.bulk.Next(t, 1))
	h.signed = receipts[1].Position
	h.fork = evidencetest.Append(t, b.store, assay.Forked, old.Signed(t, 2))[0].Position
	b.grow(t)
	b.now = b.now.Add(4 * 24 * time.Hour)
	_, renewed, err := b.store.Renew(t.Context(), postgres.Renewal{Serial: h.agent.Certificate.Serial, DER: h.agent.Certificate.DER,
		Issue: func(a *assay.Agent) (assay.Certificate, error) {
			return b.authority.IssueAgent(a.ID, h.agent.Key.Public())
		}})
	if err != nil {
		t.Fatal(err)
	}
	h.agent.Certificate, h.renewal = renewed, renewed.Position
	h.bulk = evidencetest.Open(t, b.store, h.agent, evidence.Bulk, assay.ReasonRollback)
	h.opening = h.renewal + 1
	if _, err := b.store.RevokeAgent(t.Context(), assay.Revocation{Agent: h.gone.ID, Reason: "retired"}); err != nil {
		t.Fatal(err)
	}
	b.leaves(t, 2)
	b.grow(t)
	// The newest leaves are not in the signed tree yet.
	h.last = evidencetest.Append(t, b.store, assay.Committed, h.bulk.Next(t, 2), h.control.Next(t, 1), h.bulk.Signed(t, 2))[2].Position
	return h
}

func (b *bundle) config() ledger.VerifyConfig {
	return ledger.VerifyConfig{Certificates: b.authority, Key: b.verifier, Now: func() time.Time { return b.now }, Page: 7}
}

func (h *history) config() ledger.VerifyConfig {
	cfg := h.bundle.config()
	cfg.TimeStamps = h.stamps
	return cfg
}

func (h *history) verify(t *testing.T) *ledger.Report {
	t.Helper()
	report, err := ledger.Verify(t.Context(), h.store, h.config())
	if err != nil {
		t.Fatal(assay.Cause(err))
	}
	return report
}

func (b *bundle) verify(t *testing.T) *ledger.Report {
	t.Helper()
	report, err := ledger.Verify(t.Context(), b.store, b.config())
	if err != nil {
		t.Fatal(assay.Cause(err))
	}
	return report
}

func TestVerifyGood(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	var steps []int64
	cfg := h.config()
	cfg.Progress = func(done, total int64) { steps = append(steps, done, total) }
	report, err := ledger.Verify(t.Context(), h.store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Good() || len(report.Defects) > 0 {
		t.Errorf("problems in a good ledger: %v, defects %v", report.Problems, report.Defects)
	}
	if report.Size != h.last+1 || report.Tree != h.last-2 || report.Batches != 8 || report.Events != 3+10+1+2+1+2+1+2 || report.Forks != 1 {
		t.Errorf("report %+v", report)
	}
	if n := len(steps); n == 0 || steps[n-1] != report.Size || steps[n-2] != report.Size {
		t.Errorf("progress %v", steps)
	}
	h.grow(t)
	if after := h.verify(t); !after.Good() || after.Tree != after.Size {
		t.Errorf("after growing: %v", after.Problems)
	}
}

func TestVerifyEmpty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if report := b.verify(t); !report.Good() || report.Size != 0 {
		t.Errorf("an empty ledger: %+v", report)
	}
}

func flip(column string) string {
	return column + " = set_bit(" + column + ", 77, 1 - get_bit(" + column + ", 77))"
}

// Every kind of thing that is kept is altered once, and the fault is named.
func TestVerifyNamesEveryFault(t *testing.T) {
	t.Parallel()
	type want struct {
		what     string
		position int64 // -2: any
	}
	batch := func(h *history) int64 { return h.signed }
	fork := func(h *history) int64 { return h.fork }
	renewal := func(h *history) int64 { return h.renewal }
	opening := func(h *history) int64 { return h.opening }
	last := func(h *history) int64 { return h.last }
	none := func(*history) int64 { return -1 }
	authority := stamptest.New(t, stamptest.Stamping).Serve(t)
	for name, c := range map[string]struct {
		sql  string
		at   func(*history) int64 // $1, where the sql has one
		what string
		// elsewhere: the fault shows at no position, or at another
		elsewhere bool
	}{
		"payload bit":         {`UPDATE batch SET ` + flip("payload") + ` WHERE position = $1`, batch, "payload", false},
		"header bit":          {`UPDATE batch SET ` + flip("header") + ` WHERE position = $1`, batch, "header", false},
		"signature bit":       {`UPDATE batch SET ` + flip("head_signature") + ` WHERE position = $1`, batch, "signature", false},
		"signature removed":   {`UPDATE batch SET head_signature = NULL WHERE position = $1`, batch, "signature", false},
		"serial bit":          {`UPDATE batch SET ` + flip("certificate_serial") + ` WHERE position = $1`, batch, "certificate", false},
		"received_at":         {`UPDATE batch SET received_at = received_at + interval '1 microsecond' WHERE position = $1`, batch, "batch", false},
		"batch stream":        {`UPDATE batch SET stream_id = gen_random_uuid() WHERE position = $1`, batch, "batch", false},
		"batch lane":          {`UPDATE batch SET lane = (lane + 1) % 256 WHERE position = $1`, batch, "batch", false},
		"batch number":        {`UPDATE batch SET number = number + 1 WHERE position = $1`, batch, "batch", false},
		"batch epoch":         {`UPDATE batch SET epoch = epoch + 1 WHERE position = $1`, batch, "batch", false},
		"batch deleted":       {`DELETE FROM batch WHERE position = $1`, batch, "batch", false},
		"newest payload bit":  {`UPDATE batch SET ` + flip("payload") + ` WHERE position = $1`, last, "payload", false},
		"leaf bit":            {`UPDATE leaf SET ` + flip("data") + ` WHERE position = $1`, batch, "tree", false},
		"leaf body bit":       {`UPDATE leaf SET data = set_bit(data, 8*length(data)-300, 1 - get_bit(data, 8*length(data)-300)) WHERE position = $1`, batch, "tree", false},
		"newest leaf bit":     {`UPDATE leaf SET data = set_bit(data, 8*length(data)-300, 1 - get_bit(data, 8*length(data)-300)) WHERE position = $1`, last, "header", false},
		"leaf kind":           {`UPDATE leaf SET kind = 8 WHERE position = $1`, batch, "leaf", false},
		"leaf deleted":        {`DELETE FROM leaf WHERE position = $1`, batch, "leaf", false},
		"fork payload bit":    {`UPDATE fork SET ` + flip("payload") + ` WHERE position = $1`, fork, "payload", false},
		"fork header bit":     {`UPDATE fork SET ` + flip("header") + ` WHERE position = $1`, fork, "header", false},
		"fork signature bit":  {`UPDATE fork SET ` + flip("head_signature") + ` WHERE position = $1`, fork, "signature", false},
		"fork deleted":        {`DELETE FROM fork WHERE position = $1`, fork, "fork", false},
		"opening bit":         {`UPDATE epoch SET ` + flip("opening") + ` WHERE position = $1`, opening, "epoch", false},
		"opening time":        {`UPDATE epoch SET granted_at = granted_at + interval '1 microsecond' WHERE position = $1`, opening, "epoch", false},
		"epoch deleted":       {`DELETE FROM epoch WHERE position = $1`, opening, "epoch", false},
		"certificate bit":     {`UPDATE certificate SET der = set_bit(der, 900, 1 - get_bit(der, 900)) WHERE position = $1`, renewal, "certificate", false},
		"certificate life":    {`UPDATE certificate SET not_after = not_after + interval '1 day' WHERE position = $1`, renewal, "certificate", false},
		"certificate serial":  {`UPDATE certificate SET ` + flip("serial") + ` WHERE position = $1`, renewal, "certificate", false},
		"certificate deleted": {`DELETE FROM certificate WHERE position = $1`, renewal, "certificate", false},
		"agent key":           {`UPDATE agent SET ` + flip("public_key"), nil, "agent", true},
		"agent unrevoked":     {`UPDATE agent SET revoked_at = NULL`, nil, "agent", true},
		"agent revoked":       {`UPDATE agent SET revoked_at = enrolled_at WHERE revoked_at IS NULL`, nil, "agent", true},
		"stream unrevoked":    {`UPDATE stream SET revoked = false WHERE revoked`, nil, "stream", true},
		"stream number":       {`UPDATE stream SET number = number # 1 WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream hash bit":     {`UPDATE stream SET ` + flip("hash") + ` WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream epoch":        {`UPDATE stream SET epoch = epoch # 1 WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream sequence":     {`UPDATE stream SET next_sequence = next_sequence # 1 WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream position":     {`UPDATE stream SET position = position # 1 WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream time":         {`UPDATE stream SET committed_at = committed_at + interval '1 microsecond' WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream opened":       {`UPDATE stream SET opened_at = opened_at + interval '1 microsecond' WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream kind":         {`UPDATE stream SET kind = 3 WHERE kind = 2 AND NOT revoked`, nil, "stream", true},
		"stream renamed":      {`UPDATE stream SET id = gen_random_uuid() WHERE revoked`, nil, "stream", true},
		"tree leaf hash bit":  {`UPDATE ledger_hash SET ` + flip("hash") + ` WHERE index = 0`, nil, "tree", true},
		"tree node hash bit":  {`UPDATE ledger_hash SET ` + flip("hash") + ` WHERE index = 6`, nil, "tree", true},
		"tree hash deleted":   {`DELETE FROM ledger_hash WHERE index = 6`, nil, "tree", true},
		"tree hash added":     {`INSERT INTO ledger_hash SELECT max(index) + 1, max(hash::text)::bytea FROM ledger_hash`, nil, "tree", true},
		"tree root bit":       {`UPDATE ledger_tree SET ` + flip("root"), nil, "tree", true},
		"tree size":           {`UPDATE ledger_tree SET size = size - 1`, nil, "checkpoint", true},
		"checkpoint note":     {`UPDATE checkpoint SET ` + flip("note") + ` WHERE size = (SELECT min(size) FROM checkpoint)`, nil, "checkpoint", true},
		"checkpoint root":     {`UPDATE checkpoint SET ` + flip("root") + ` WHERE size = (SELECT min(size) FROM checkpoint)`, nil, "checkpoint", true},
		"checkpoint size":     {`UPDATE checkpoint SET size = size # 1 WHERE size = (SELECT min(size) FROM checkpoint)`, nil, "checkpoint", true},
		"checkpoint gone":     {`DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)`, nil, "checkpoint", true},
		"checkpoint ahead":    {`UPDATE checkpoint SET size = size + 1000 WHERE size = (SELECT min(size) FROM checkpoint)`, nil, "checkpoint", true},
		"cosignature bit":     {`UPDATE cosignature SET ` + flip("signature"), nil, "cosignature", true},
		"cosignature time":    {`UPDATE cosignature SET signed_at = signed_at + interval '1 second'`, nil, "cosignature", true},
		"cosignature agent":   {`UPDATE cosignature SET agent_id = (SELECT id FROM agent WHERE revoked_at IS NOT NULL)`, nil, "cosignature", true},
		"cosignature serial":  {`UPDATE cosignature SET ` + flip("certificate_serial"), nil, "cosignature", true},
		"cosignature by":      {`UPDATE cosignature SET certificate_serial = (SELECT c.serial FROM certificate c JOIN agent a ON a.id = c.agent_id WHERE a.revoked_at IS NOT NULL)`, nil, "cosignature", true},
		"cosignature expired": {`UPDATE cosignature SET received_at = received_at + interval '1 year'`, nil, "cosignature", true},
		"cosignature moved":   {`UPDATE cosignature SET size = (SELECT min(size) FROM checkpoint)`, nil, "cosignature", true},
		"cosignature of none": {`UPDATE cosignature SET size = size + 1000`, nil, "cosignature", true},
		"witness line":        {`UPDATE witness_cosignature SET line = replace(line, substr(line, 40, 1), CASE substr(line, 40, 1) WHEN 'x' THEN 'y' ELSE 'x' END)`, nil, "witness", true},
		"witness time":        {`UPDATE witness_cosignature SET signed_at = signed_at + interval '1 second'`, nil, "witness", true},
		"witness name":        {`UPDATE witness_cosignature SET name = 'other.example'`, nil, "witness", true},
		"witness key":         {`UPDATE witness_cosignature SET key = replace(key, substr(key, 40, 1), CASE substr(key, 40, 1) WHEN 'x' THEN 'y' ELSE 'x' END)`, nil, "witness", true},
		"witness no key":      {`UPDATE witness_cosignature SET key = 'none'`, nil, "witness", true},
		"witness moved":       {`UPDATE witness_cosignature SET size = (SELECT min(size) FROM checkpoint)`, nil, "witness", true},
		"witness of none":     {`UPDATE witness_cosignature SET size = size + 1000`, nil, "witness", true},
		"time-stamp bit":      {`UPDATE time_stamp SET token = set_bit(token, 8*length(token)-30, 1 - get_bit(token, 8*length(token)-30))`, nil, "time-stamp", true},
		"time-stamp cut":      {`UPDATE time_stamp SET token = substr(token, 1, 100)`, nil, "time-stamp", true},
		"time-stamp time":     {`UPDATE time_stamp SET stamped_at = stamped_at - interval '1 day'`, nil, "time-stamp", true},
		"time-stamp moved":    {`UPDATE time_stamp SET size = (SELECT min(size) FROM checkpoint)`, nil, "time-stamp", true},
		"time-stamp of none":  {`UPDATE time_stamp SET size = size + 1000`, nil, "time-stamp", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			h.vouchedBy(t, authority)
			at := none
			var args []any
			if c.at != nil {
				at = c.at
				args = append(args, at(h))
			}
			h.relax(t)
			h.exec(t, c.sql, args...)
			wanted := want{c.what, at(h)}
			if c.elsewhere {
				wanted.position = -2
			}
			report := h.verify(t)
			for _, p := range report.Problems {
				if p.What == wanted.what && (wanted.position == -2 || p.Position == wanted.position) {
					if len(report.Problems) > 5 { // a certificate is that of three batches and a cosignature
						t.Errorf("one fault became %d problems: %v", len(report.Problems), report.Problems)
					}
					return
				}
			}
			t.Errorf("%+v is not among the problems: %v", wanted, report.Problems)
		})
	}
}

// relax takes away what would keep a test from altering rows as someone with
// the database in their hands can.
func (b *bundle) relax(t *testing.T) {
	t.Helper()
	if _, err := b.pool.Exec(t.Context(), `ALTER TABLE epoch DROP CONSTRAINT epoch_stream_id_fkey`); err != nil {
		t.Fatal(err)
	}
}

// Two rows that change places are two that are not what was recorded.
func TestVerifyNamesSwaps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql  string
		what string
	}{
		"leaves":  {`UPDATE leaf l SET data = o.data, kind = o.kind FROM leaf o WHERE (l.position, o.position) IN (($1, $2), ($2, $1))`, "tree"},
		"batches": {`UPDATE batch b SET payload = o.payload, header = o.header, number = o.number, head_signature = o.head_signature FROM batch o WHERE (b.position, o.position) IN (($1, $2), ($2, $1))`, "header"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			h.exec(t, c.sql, h.signed-1, h.signed)
			named := map[int64]bool{}
			for _, p := range h.verify(t).Problems {
				if p.What == c.what {
					named[p.Position] = true
				}
			}
			if !named[h.signed] || !named[h.signed-1] {
				t.Errorf("named are only %v", named)
			}
		})
	}
}

// What an agent sent wrong is its own fault and is told apart.
func TestVerifyTellsDefects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	good := chain.Peek(t, 3)
	for _, change := range []func(*evidence.Header){
		func(h *evidence.Header) { h.Commitments[0] ^= 1 }, func(h *evidence.Header) { h.RawSize++ },
		func(h *evidence.Header) { h.RawSize-- }, func(h *evidence.Header) { h.EventCount++ },
	} {
		header := chain.Peek(t, 3).Header
		header.PayloadSHA256, header.PayloadSize, header.RawSize, header.Commitments = good.Header.PayloadSHA256, good.Header.PayloadSize, good.Header.RawSize, good.Header.Commitments
		change(&header)
		bad := chain.Seal(header, good.Payload)
		evidencetest.Append(t, b.store, assay.Committed, bad)
		chain.Head = chain.Head.After(&bad.Header, bad.Hash)
	}
	noise := chain.Peek(t, 1).Header
	payload := []byte("this is no zstd")
	noise.PayloadSHA256, noise.PayloadSize = sha256.Sum256(payload), uint32(len(payload))
	evidencetest.Append(t, b.store, assay.Committed, chain.Seal(noise, payload))
	report := b.verify(t)
	if !report.Good() || len(report.Defects) != 5 {
		t.Errorf("problems %v, defects %v", report.Problems, report.Defects)
	}
}

// A batch by a certificate of its time that had run out is named.
func TestVerifyCertificateLife(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	b.now = b.now.Add(8 * 24 * time.Hour)
	evidencetest.Append(t, b.store, assay.Committed, chain.Next(t, 1))
	report := b.verify(t)
	if len(report.Problems) != 1 || report.Problems[0].What != "certificate" || report.Problems[0].Stream != chain.Head.Stream.String() {
		t.Errorf("problems %v", report.Problems)
	}
	if text := report.Problems[0].String(); !strings.Contains(text, "number 1") || !strings.Contains(text, "position") {
		t.Errorf("it reads %q", text)
	}
}

func TestVerifyJobKeepsOutcomes(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	cfg := h.config()
	cfg.MaxProblems = 2
	job := ledger.VerifyJob{Store: h.store, Config: cfg, Log: slog.New(slog.DiscardHandler)}
	if _, err := job.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.exec(t, `UPDATE batch SET `+flip("payload"))
	report, err := job.RunOnce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) != 2 || report.Unnamed != report.Batches-2 {
		t.Errorf("%d named, %d not", len(report.Problems), report.Unnamed)
	}
	rows, err := h.pool.Query(t.Context(), `SELECT cardinality(problems), size FROM ledger_verification ORDER BY cardinality(problems)`)
	if err != nil {
		t.Fatal(err)
	}
	var kept [][2]int64
	for rows.Next() {
		var row [2]int64
		if err := rows.Scan(&row[0], &row[1]); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, row)
	}
	if diff := cmp.Diff([][2]int64{{0, h.last + 1}, {3, h.last + 1}}, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// More streams and leaves than a page holds, in a tree of every shape on the way.
func TestVerifyManyPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	agent := evidencetest.Enrol(t, b.store, b.authority, b.now)
	chain := evidencetest.Open(t, b.store, agent, evidence.Bulk, assay.ReasonFirst)
	for i := range 12 {
		batches := make([]*assay.Batch, i+1)
		for n := range batches {
			batches[n] = chain.Next(t, 1)
		}
		evidencetest.Append(t, b.store, assay.Committed, batches...)
		b.grow(t)
	}
	if report := b.verify(t); !report.Good() || report.Tree < 80 || report.Tree != report.Size {
		t.Errorf("tree %d, problems %v", report.Tree, report.Problems)
	}
	b.exec(t, `UPDATE ledger_hash SET `+flip("hash")+` WHERE index = 62`) // the root of the first 32 leaves
	report := b.verify(t)
	if len(report.Problems) != 1 || report.Problems[0].What != "tree" || !strings.Contains(report.Problems[0].Detail, "hash 62") {
		t.Errorf("problems %v", report.Problems)
	}
}
