package consoleapi

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/evidencetest"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/witness"
)

// bearing sends a token with each request.
type bearing struct {
	token string
	next  http.RoundTripper
}

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// grown is a console whose ledger has n more leaves, signed.
func (c *console) grow(t *testing.T, authority *ca.Authority, n int) {
	t.Helper()
	for range n {
		change := assay.PolicyChange{Kind: assay.PolicyList, Name: "approved", Values: []string{"x"}, By: "test"}
		if _, err := c.store.ChangePolicy(t.Context(), change); err != nil {
			t.Fatal(assay.Cause(err))
		}
	}
	growing := ledger.NewGrowing(ledger.GrowConfig{Store: c.store, Keys: authority, Log: slog.New(slog.DiscardHandler)})
	if err := growing.RunOnce(t.Context()); err != nil {
		t.Fatal(assay.Cause(err))
	}
}

func (c *console) reader(t *testing.T, role assay.Role) *http.Client {
	t.Helper()
	token, err := c.signIn(role.String(), testPassword)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: bearing{token, c.server.Client().Transport}}
}

// Clients that know nothing of us read the ledger: x/mod's tiles prove records
// and trees, torchwood's client finds each leaf in its bundle.
func TestTilesForAnyClient(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	authority := evidencetest.Authority(t, c.clock)
	c.grow(t, authority, 300)
	client := c.reader(t, assay.Viewer)
	fetcher := &witness.Fetcher{Base: c.server.URL, Client: client}
	signed, err := fetcher.ReadEndpoint(t.Context(), "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(authority.LedgerKey())
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()), torchwood.SingleVerifierPolicy(verifier)))
	if err != nil || checkpoint.N < 300 {
		t.Fatalf("%+v, %v", checkpoint, err)
	}
	tiles := tlog.TileHashReader(checkpoint.Tree, tileReader{t, fetcher})
	root, err := tlog.TreeHash(checkpoint.N, tiles)
	if err != nil || root != checkpoint.Hash {
		t.Fatalf("the tiles' root is %s, signed is %s, %v", root, checkpoint.Hash, err)
	}
	reader, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for position, entry := range reader.AllEntries(t.Context(), checkpoint.Tree, 0) {
		leaf, err := evidence.ParseLeaf(entry)
		if err != nil || position != n {
			t.Fatalf("entry %d of %d: %+v, %v", position, n, leaf, err)
		}
		n++
	}
	if err := reader.Err(); err != nil || n != checkpoint.N {
		t.Errorf("%d entries of %d, %v", n, checkpoint.N, err)
	}
}

type tileReader struct {
	t       *testing.T
	fetcher *witness.Fetcher
}

func (r tileReader) Height() int { return 8 }
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	return r.fetcher.ReadTiles(r.t.Context(), tiles)
}
func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// Tiles are for who may see the ledger, never change, and are no more than the
// signed tree has.
func TestTilePaths(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	authority := evidencetest.Authority(t, c.clock)
	client := c.reader(t, assay.Viewer)
	get := func(client *http.Client, path string) (int, string, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header.Get("Cache-Control"), string(body)
	}
	if code, _, _ := get(client, "/checkpoint"); code != http.StatusNotFound {
		t.Errorf("a checkpoint before there is one: %d", code)
	}
	c.grow(t, authority, 256)
	newest, err := c.store.LatestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rest := newest.Size - 256
	if rest < 1 || rest > 200 {
		t.Fatalf("%d leaves: this test wants some more than 256", newest.Size)
	}
	full := map[string]string{}
	for path, want := range map[string]int{
		"/tile/0/000": 200, "/tile/entries/000": 200, "/tile/0/000.p/7": 200, "/tile/1/000.p/1": 200, "/tile/entries/000.p/1": 200,
		"/tile/1/000": 404, "/tile/0/001": 404, "/tile/0/001.p/255": 404, "/tile/2/000.p/1": 404, "/tile/7/000.p/1": 404, "/tile/8/000.p/1": 404,
		"/tile/0/x999/x999/x999/x999/x999/999": 404, "/tile/0/000.p/0": 404, "/tile/0/000.p/256": 404, "/tile/-1/000": 404, "/tile/data/000": 404,
		"/tile/0/0": 404, "/tile/": 404, "/tile/entries/001.p/250": 404,
	} {
		code, caching, body := get(client, path)
		if code != want || (code == 200) != strings.Contains(caching, "immutable") {
			t.Errorf("%s: %d with %q, want %d", path, code, caching, want)
		}
		full[path] = body
	}
	if len(full["/tile/0/000"]) != 256*32 || !strings.HasPrefix(full["/tile/0/000"], full["/tile/0/000.p/7"]) || len(full["/tile/0/000.p/7"]) != 7*32 {
		t.Error("a part of a tile is not its beginning")
	}
	for _, path := range []string{"/checkpoint", "/tile/0/000", "/checkpoint/witnessed"} {
		if code, caching, _ := get(c.server.Client(), path); code != http.StatusUnauthorized || caching != "no-store" {
			t.Errorf("%s without a session: %d, %q", path, code, caching)
		}
	}
	c.grow(t, authority, 300)
	for path, before := range full {
		if code, _, body := get(client, path); before != "" && code == 200 && strings.HasPrefix(path, "/tile") && body != before && len(before) > 100 {
			t.Errorf("%s changed as the ledger grew", path)
		}
	}
}

// An auditor's cosignature is taken if the server is told of the auditor, and
// stands under the checkpoint that it is of.
func TestCosign(t *testing.T) {
	t.Parallel()
	secret, public, err := witness.NewKey("auditor.example")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := witness.NewPeer(public)
	if err != nil {
		t.Fatal(err)
	}
	c := newConsole(t, func(cfg *Config) { cfg.Witnesses = []*witness.Peer{peer} })
	authority := evidencetest.Authority(t, c.clock)
	c.grow(t, authority, 5)
	client := c.reader(t, assay.Viewer)
	signer, err := witness.ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	newest, err := c.store.LatestCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	statement := newest.Statement()
	signed, err := note.Sign(&note.Note{Text: statement.Text()}, signer)
	if err != nil {
		t.Fatal(err)
	}
	line := string(signed[len(statement.Text())+1:])
	api := consolev1connect.NewLedgerServiceClient(client, c.server.URL+"/api")
	before, err := api.GetLedger(t.Context(), connect.NewRequest(&consolev1.GetLedgerRequest{}))
	if err != nil || before.Msg.GetWitnessed() || len(before.Msg.GetWitnesses()) != 1 {
		t.Fatalf("before: %v, %v", before.Msg, err)
	}
	otherSecret, _, err := witness.NewKey("stranger.example")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := witness.ParseKey(otherSecret)
	if err != nil {
		t.Fatal(err)
	}
	strange, err := note.Sign(&note.Note{Text: statement.Text()}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]*consolev1.CosignRequest{
		"of a stranger":  {Size: uint64(newest.Size), Lines: string(strange[len(statement.Text())+1:])},
		"of other bytes": {Size: uint64(newest.Size), Lines: strings.Replace(line, "auditor", "auditon", 1)},
		"of no line":     {Size: uint64(newest.Size)},
	} {
		if _, err := api.Cosign(t.Context(), connect.NewRequest(req)); connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("a cosignature %s: %v", name, err)
		}
	}
	if _, err := api.Cosign(t.Context(), connect.NewRequest(&consolev1.CosignRequest{Size: 3, Lines: line})); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("of a size that was never signed: %v", err)
	}
	if _, err := api.Cosign(t.Context(), connect.NewRequest(&consolev1.CosignRequest{Size: uint64(newest.Size), Lines: line})); err != nil {
		t.Fatal(err)
	}
	after, err := api.GetLedger(t.Context(), connect.NewRequest(&consolev1.GetLedgerRequest{}))
	if err != nil || !after.Msg.GetWitnessed() || after.Msg.GetWitnesses()[0].GetSize() != uint64(newest.Size) {
		t.Fatalf("after: %v, %v", after.Msg, err)
	}
	list, err := api.ListCheckpoints(t.Context(), connect.NewRequest(&consolev1.ListCheckpointsRequest{}))
	if err != nil || len(list.Msg.GetCheckpoints()) != 1 || list.Msg.GetCheckpoints()[0].GetWitnesses()[0] != "auditor.example" {
		t.Fatalf("checkpoints: %v, %v", list.Msg, err)
	}
	fetcher := &witness.Fetcher{Base: c.server.URL, Client: client}
	for _, path := range []string{"checkpoint", "checkpoint/witnessed"} {
		text, err := fetcher.ReadEndpoint(t.Context(), path)
		if err != nil || !strings.HasSuffix(string(text), line) {
			t.Errorf("%s is %s, %v", path, text, err)
		}
	}
}
