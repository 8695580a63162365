package consoleapi

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
)

// notifications is a client signed in as a user.
func (c *console) notifications(name string) consolev1connect.NotificationServiceClient {
	c.t.Helper()
	token, err := c.signIn(name, testPassword)
	if err != nil {
		c.t.Fatal(err)
	}
	client := *c.server.Client()
	client.Transport = bearer{token, client.Transport}
	return consolev1connect.NewNotificationServiceClient(&client, c.server.URL+"/api")
}

type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(req)
}

// From making a target to its log; what is secret is told once or never.
func TestNotificationTargets(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	admin, viewer := c.notifications("admin"), c.notifications("viewer")
	got := make(chan http.Header, 10)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	t.Cleanup(receiver.Close)

	created, err := admin.CreateNotificationTarget(t.Context(), connect.NewRequest(&consolev1.CreateNotificationTargetRequest{
		Target: &consolev1.NotificationTarget{
			Name: "siem", Kind: "webhook", Address: receiver.URL + "/services/T0P", Format: "ocsf", Levels: []string{"high"},
			Ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})),
		},
		Authorization: "Splunk 0123",
	}))
	if err != nil {
		t.Fatal(err)
	}
	secret, id := created.Msg.GetSigningSecret(), created.Msg.GetTarget().GetId()
	if !strings.HasPrefix(secret, "whsec_") || !created.Msg.GetTarget().GetEnabled() {
		t.Errorf("created %v", created.Msg)
	}
	tested, err := admin.TestNotificationTarget(t.Context(), connect.NewRequest(&consolev1.TestNotificationTargetRequest{Id: id}))
	if err != nil {
		t.Fatal(err)
	}
	if d := tested.Msg.GetDelivery(); d.GetState() != "delivered" || d.GetTargetName() != "siem" || len(d.GetAttempts()) != 1 || d.GetMaxAttempts() != 1 {
		t.Errorf("test: %v", d)
	}
	if header := <-got; header.Get("Webhook-Signature") == "" {
		t.Errorf("the test came with %v", header)
	}
	if _, err := admin.SetNotificationTargetEnabled(t.Context(), connect.NewRequest(&consolev1.SetNotificationTargetEnabledRequest{Id: id, Reason: " "})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("turned off without a reason: %v", err)
	}
	to := created.Msg.GetTarget()
	to.Address, to.Format, to.Levels = "", "json", nil
	if _, err := admin.ChangeNotificationTarget(t.Context(), connect.NewRequest(&consolev1.ChangeNotificationTargetRequest{Target: to})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("changed without a reason: %v", err)
	}
	if _, err := viewer.ChangeNotificationTarget(t.Context(), connect.NewRequest(&consolev1.ChangeNotificationTargetRequest{Target: to, Reason: "x"})); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("a viewer changes: %v", err)
	}
	changed, err := admin.ChangeNotificationTarget(t.Context(), connect.NewRequest(&consolev1.ChangeNotificationTargetRequest{Target: to, Reason: "all of it"}))
	if err != nil {
		t.Fatal(err)
	}
	if n := changed.Msg.GetTarget(); n.GetFormat() != "json" || len(n.GetLevels()) != 0 || n.GetDelivered() != 1 || n.GetAddress() != receiver.URL+"/…" || n.GetChangedReason() != "all of it" {
		t.Errorf("changed to %v", n)
	}
	if _, err := admin.SetNotificationTargetEnabled(t.Context(), connect.NewRequest(&consolev1.SetNotificationTargetEnabledRequest{Id: id, Reason: "moved"})); err != nil {
		t.Error(err)
	}

	list, err := viewer.ListNotificationTargets(t.Context(), connect.NewRequest(&consolev1.ListNotificationTargetsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if n := list.Msg.GetTargets(); len(n) != 1 || n[0].GetEnabled() || n[0].GetDelivered() != 1 || n[0].GetChangedReason() != "moved" || n[0].GetChangedBy() != "admin" {
		t.Errorf("listed %v", n)
	}
	log, err := viewer.ListDeliveries(t.Context(), connect.NewRequest(&consolev1.ListDeliveriesRequest{Target: id, State: "delivered"}))
	if err != nil || log.Msg.GetTotal() != 1 || log.Msg.GetDeliveries()[0].GetKind() != "test" {
		t.Errorf("log %v, %v", log, err)
	}
	for _, hidden := range []string{"T0P", "Splunk", strings.TrimPrefix(secret, "whsec_")} {
		if text := protojson.Format(list.Msg) + protojson.Format(log.Msg); strings.Contains(text, hidden) {
			t.Errorf("the API tells %q: %s", hidden, text)
		}
	}
	if _, err := viewer.TestNotificationTarget(t.Context(), connect.NewRequest(&consolev1.TestNotificationTargetRequest{Id: id})); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("a viewer tests: %v", err)
	}
}

func TestNotificationTargetNamesAreTakenOnce(t *testing.T) {
	t.Parallel()
	admin := newConsole(t).notifications("admin")
	create := func(name string) error {
		_, err := admin.CreateNotificationTarget(t.Context(), connect.NewRequest(&consolev1.CreateNotificationTargetRequest{
			Target: &consolev1.NotificationTarget{Name: name, Kind: "syslog", Address: "logs.example:6514"},
		}))
		return err
	}
	if err := create("collector"); err != nil {
		t.Fatal(err)
	}
	if err := create("Collector"); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("the name is taken twice: %v", err)
	}
}
