package consoleapi

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ruleimport"
)

// as sends a user's token with each call.
func as(token string) connect.ClientOption {
	return connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set("Authorization", "Bearer "+token)
			return next(ctx, req)
		}
	}))
}

const testRule = `title: Log cleared
id: 11111111-0000-4000-8000-000000000001
level: high
logsource: {product: windows, service: security}
detection: {sel: {EventID: 1102}, condition: sel}
`

// TestRulesOverTheAPI imports, lists, turns off, and reads back who did it.
func TestRulesOverTheAPI(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	token, err := c.signIn("admin", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	rules := consolev1connect.NewRuleServiceClient(c.server.Client(), c.server.URL+"/api", as(token))
	// A pack that is far larger than other requests may be.
	files := []assay.PackFile{{Path: "a.yml", Data: []byte(testRule)}, {Path: "refused.yml", Data: []byte("title: x\n")}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 6 {
		text := []byte("# ")
		for len(text) < 400_000 {
			text = strconv.AppendUint(text, random.Uint64(), 36)
		}
		files = append(files, assay.PackFile{Path: string(rune('b'+i)) + ".yml", Data: text})
	}
	archive, err := ruleimport.Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(archive) <= maxRequest {
		t.Fatalf("the archive of %d bytes is no larger than other requests may be", len(archive))
	}
	res, err := rules.ImportRules(t.Context(), connect.NewRequest(&consolev1.ImportRulesRequest{Pack: "own", Version: "1", Archive: archive, Enable: "all", Reason: "test"}))
	if err != nil {
		t.Fatal(err)
	}
	if p := res.Msg.GetPack(); p.GetRules() != 1 || p.GetProblems() != 1 || !p.GetInForce() || p.GetImportedBy() != "admin" || res.Msg.GetTurnedOn() != 1 {
		t.Errorf("the import gives %v", res.Msg)
	}
	off, err := rules.SetRulesEnabled(t.Context(), connect.NewRequest(&consolev1.SetRulesEnabledRequest{Pack: "own", Rules: []string{"level>=high"}, Reason: "too loud"}))
	if err != nil || off.Msg.GetChanged() != 1 || off.Msg.GetSet().GetRules() != 0 {
		t.Errorf("turning off gives %v, %v", off, err)
	}
	one, err := rules.GetRule(t.Context(), connect.NewRequest(&consolev1.GetRuleRequest{Pack: "own", Id: "11111111-0000-4000-8000-000000000001"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := one.Msg; got.GetSource() != testRule || len(got.GetChanges()) != 2 || got.GetChanges()[0].GetReason() != "too loud" || got.GetChanges()[0].GetBy() != "admin" || got.GetRule().GetEnabled() {
		t.Errorf("the rule is %v", got)
	}
	for name, refused := range map[string]*consolev1.ImportRulesRequest{
		"the server's own pack": {Pack: "assay", Archive: archive}, "the name of checks": {Pack: "checks", Archive: archive},
		"no archive": {Pack: "x", Archive: []byte("x")}, "no such level": {Pack: "x", Archive: archive, Enable: "loud"}, "a bad name": {Pack: "x/y", Archive: archive},
	} {
		if _, err := rules.ImportRules(t.Context(), connect.NewRequest(refused)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("importing %s: %v", name, err)
		}
	}
	if _, err := rules.SetRulesEnabled(t.Context(), connect.NewRequest(&consolev1.SetRulesEnabledRequest{Pack: "own", Rules: []string{"*"}})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("turning off without a reason: %v", err)
	}
	if _, err := rules.BackfillRules(t.Context(), connect.NewRequest(&consolev1.BackfillRulesRequest{Pack: "own", Since: timestamppb.New(c.now.Add(-time.Hour))})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a backfill of a pack with no rule on: %v", err)
	}
}

// TestNobodyUploadsUnasked: who may not import is refused, and no other call
// takes a large request.
func TestNobodyUploadsUnasked(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	viewer, err := c.signIn("viewer", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	nobody := consolev1connect.NewRuleServiceClient(c.server.Client(), c.server.URL+"/api")
	asViewer := consolev1connect.NewRuleServiceClient(c.server.Client(), c.server.URL+"/api", as(viewer))
	large := &consolev1.ImportRulesRequest{Pack: "x", Archive: make([]byte, maxImport)}
	if _, err := nobody.ImportRules(t.Context(), connect.NewRequest(large)); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("an import by nobody: %v", err)
	}
	if _, err := asViewer.ImportRules(t.Context(), connect.NewRequest(large)); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("an import by a viewer: %v", err)
	}
	long := &consolev1.ListRulesRequest{Text: strings.Repeat("x", 2<<20)}
	if _, err := asViewer.ListRules(t.Context(), connect.NewRequest(long)); err == nil {
		t.Error("a list that is asked for with two megabytes is answered")
	}
}
