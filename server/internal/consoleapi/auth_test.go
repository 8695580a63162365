package consoleapi

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/notify"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

const testPassword = "correct horse battery"

// console is a server with one user of each role.
type console struct {
	t      *testing.T
	store  *postgres.Store
	server *httptest.Server
	now    time.Time
}

// noVerifier is for tests that verify nothing.
type noVerifier struct{}

func (noVerifier) Verify(context.Context, bool, func(uint64, uint64)) (Report, error) {
	return Report{}, nil
}

func (c *console) clock() time.Time { return c.now }

func newConsole(t *testing.T, change ...func(*Config)) *console {
	t.Helper()
	c := &console{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	now := c.clock
	c.store = postgres.New(postgres.Config{DB: pgtest.Pool(t), Now: now})
	library, err := framework.Load()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := HashPassword(testPassword)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []assay.Role{assay.Viewer, assay.Admin} {
		if err := c.store.CreateUser(t.Context(), assay.User{ID: uuid.New(), Name: role.String(), Role: role, PasswordHash: hash}, "test"); err != nil {
			t.Fatal(err)
		}
	}
	logger := slog.New(slog.DiscardHandler)
	sealer, err := notify.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	notifier := notify.New(notify.Config{
		Store: c.store, Sealer: sealer, Networks: notify.Networks{Only: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Console: "https://console.example", Version: "test", Host: "server.example", Now: now, Logger: logger,
	})
	cfg := Config{
		Notifier: notifier,
		Store:    c.store, Assessor: assess.New(assess.Config{Store: c.store, Library: library, Now: now, Logger: logger}), Library: library,
		Prover: &ledger.Prover{Store: c.store}, Verifier: noVerifier{}, Now: now, Logger: logger,
	}
	for _, f := range change {
		f(&cfg)
	}
	api := New(cfg)
	c.server = httptest.NewTLSServer(api.Handler())
	t.Cleanup(c.server.Close)
	return c
}

// signIn returns a bearer token for the user named after a role.
func (c *console) signIn(name, password string) (string, error) {
	client := consolev1connect.NewSessionServiceClient(c.server.Client(), c.server.URL+"/api")
	res, err := client.SignIn(c.t.Context(), connect.NewRequest(&consolev1.SignInRequest{Name: name, Password: password, Bearer: true}))
	if err != nil {
		return "", err
	}
	return res.Msg.GetToken(), nil
}

// procedures lists every method of every service of the console's API.
func procedures(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var list []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("assay.console.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				list = append(list, methods.Get(j))
			}
		}
		return true
	})
	if len(list) < 20 {
		t.Fatalf("only %d methods found", len(list))
	}
	return list
}

func procedureName(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// call posts an empty message and returns Connect's error code, "" for none.
// A streaming method is called as one and its code is read from the end.
func (c *console) call(m protoreflect.MethodDescriptor, token string) string {
	c.t.Helper()
	kind, body := "application/json", []byte("{}")
	if m.IsStreamingServer() {
		kind, body = "application/connect+json", append([]byte{0, 0, 0, 0, 2}, "{}"...)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.server.URL+"/api"+procedureName(m), bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.server.Client().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, after, ok := strings.Cut(string(text), `"code":"`); ok {
		code, _, _ := strings.Cut(after, `"`)
		return code
	}
	return ""
}

func TestEveryMethodHasARole(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range procedures(t) {
		known[procedureName(m)] = true
		if _, ok := roles[procedureName(m)]; !ok {
			t.Errorf("%s has no role: it is denied to all", procedureName(m))
		}
	}
	for name := range roles {
		if !known[name] {
			t.Errorf("%s has a role but is no method", name)
		}
	}
}

func TestDenyByDefault(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	tokens := map[assay.Role]string{}
	for _, role := range []assay.Role{assay.Viewer, assay.Admin} {
		token, err := c.signIn(role.String(), testPassword)
		if err != nil {
			t.Fatal(err)
		}
		tokens[role] = token
	}
	for _, m := range procedures(t) {
		name := procedureName(m)
		need := roles[name]
		if name == consolev1connect.SessionServiceSignOutProcedure {
			continue // it would end the sessions that the others need
		}
		if need != anyone {
			for what, token := range map[string]string{"no": "", "a made-up": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
				if code := c.call(m, token); code != "unauthenticated" {
					t.Errorf("%s with %s session: code %q, want unauthenticated", name, what, code)
				}
			}
		}
		for role, token := range tokens {
			code := c.call(m, token)
			if denied := code == "permission_denied"; denied != (role < need) {
				t.Errorf("%s as %s: code %q, least role is %q", name, role, code, need)
			}
		}
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	token, err := c.signIn("viewer", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	get := procedures(t)[0]
	for _, m := range procedures(t) {
		if procedureName(m) == consolev1connect.SessionServiceGetSessionProcedure {
			get = m
		}
	}
	if code := c.call(get, token); code != "" {
		t.Fatalf("a new session answers %q", code)
	}
	c.now = c.now.Add(sessionLifetime)
	if code := c.call(get, token); code != "unauthenticated" {
		t.Errorf("an expired session answers %q", code)
	}
}

func TestSignInRefuses(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	var messages []string
	for _, try := range [][2]string{{"admin", "wrong horse battery"}, {"nobody", testPassword}, {"admin", ""}} {
		_, err := c.signIn(try[0], try[1])
		if connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("signing in as %s: %v", try[0], err)
		}
		messages = append(messages, err.Error())
	}
	if messages[0] != messages[1] || messages[0] != messages[2] {
		t.Errorf("a wrong name and a wrong password are told apart: %q", messages)
	}
	for range signInBurst {
		_, _ = c.signIn("admin", "wrong horse battery")
	}
	if _, err := c.signIn("admin", testPassword); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("after too many tries: %v", err)
	}
}

func TestCookieAndHeaders(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	res, err := c.server.Client().Post(c.server.URL+"/api"+consolev1connect.SessionServiceSignInProcedure, "application/json",
		strings.NewReader(`{"name":"admin","password":"`+testPassword+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if len(res.Cookies()) != 1 {
		t.Fatalf("%d cookies, want 1", len(res.Cookies()))
	}
	if k := res.Cookies()[0]; !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Name != sessionCookie || k.Path != "/" {
		t.Errorf("cookie is %v", k)
	}
	if policy := res.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe-eval") {
		t.Errorf("content policy is %q", policy)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.server.URL+"/api"+consolev1connect.SessionServiceGetSessionProcedure, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", "https://evil.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.AddCookie(res.Cookies()[0])
	cross, err := c.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer cross.Body.Close()
	if cross.StatusCode != http.StatusForbidden {
		t.Errorf("a request of another site answers %d", cross.StatusCode)
	}
}

func TestStatesAgreeWithTheWire(t *testing.T) {
	t.Parallel()
	for s := assay.StatePass; s <= assay.StateManual; s++ {
		if wire := strings.ToLower(strings.TrimPrefix(stateMessage(s).String(), "STATE_")); wire != s.String() {
			t.Errorf("state %s is %s on the wire", s, wire)
		}
	}
}
