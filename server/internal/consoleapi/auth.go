package consoleapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
	"github.com/assay-audit/assay/server/internal/assay"
)

// anyone may call a method without a session.
const anyone = assay.NoRole

// roles names the least role for every method there is. A method that is not
// here is refused to all: forgetting one denies, never opens.
var roles = map[string]assay.Role{
	consolev1connect.SessionServiceSignInProcedure:                anyone,
	consolev1connect.SessionServiceSignOutProcedure:               assay.Viewer,
	consolev1connect.SessionServiceGetSessionProcedure:            assay.Viewer,
	consolev1connect.StatusServiceGetOverviewProcedure:            assay.Viewer,
	consolev1connect.StatusServiceListFrameworksProcedure:         assay.Viewer,
	consolev1connect.StatusServiceGetFrameworkStatusProcedure:     assay.Viewer,
	consolev1connect.StatusServiceListVerdictsProcedure:           assay.Viewer,
	consolev1connect.StatusServiceListTransitionsProcedure:        assay.Viewer,
	consolev1connect.FindingServiceListFindingsProcedure:          assay.Viewer,
	consolev1connect.FindingServiceGetFindingProcedure:            assay.Viewer,
	consolev1connect.FindingServiceCloseFindingProcedure:          assay.Admin,
	consolev1connect.HostServiceListHostsProcedure:                assay.Viewer,
	consolev1connect.HostServiceGetHostProcedure:                  assay.Viewer,
	consolev1connect.HostServiceGetCoverageProcedure:              assay.Viewer,
	consolev1connect.HostServiceListStreamsProcedure:              assay.Viewer,
	consolev1connect.EventServiceListTablesProcedure:              assay.Viewer,
	consolev1connect.EventServiceListEventsProcedure:              assay.Viewer,
	consolev1connect.EventServiceGetEventProcedure:                assay.Viewer,
	consolev1connect.LedgerServiceGetLedgerProcedure:              assay.Viewer,
	consolev1connect.LedgerServiceVerifyProcedure:                 assay.Admin,
	consolev1connect.LedgerServiceListCheckpointsProcedure:        assay.Viewer,
	consolev1connect.LedgerServiceCosignProcedure:                 assay.Viewer, // the witness's key is what counts
	consolev1connect.PolicyServiceGetPolicyProcedure:              assay.Viewer,
	consolev1connect.PolicyServiceChangePolicyProcedure:           assay.Admin,
	consolev1connect.HoldServiceListHoldsProcedure:                assay.Viewer,
	consolev1connect.HoldServicePlaceHoldProcedure:                assay.Admin,
	consolev1connect.HoldServiceReleaseHoldProcedure:              assay.Admin,
	consolev1connect.ErasureServiceListErasuresProcedure:          assay.Viewer,
	consolev1connect.ErasureServiceRequestErasureProcedure:        assay.Admin,
	consolev1connect.SegmentServiceListSegmentsProcedure:          assay.Viewer,
	consolev1connect.AgentServiceListAgentsProcedure:              assay.Viewer,
	consolev1connect.AgentServiceRevokeAgentProcedure:             assay.Admin,
	consolev1connect.AgentServiceListTokensProcedure:              assay.Admin,
	consolev1connect.AgentServiceCreateTokenProcedure:             assay.Admin,
	consolev1connect.AgentServiceRevokeTokenProcedure:             assay.Admin,
	consolev1connect.RuleServiceListRulesProcedure:                assay.Viewer,
	consolev1connect.RuleServiceGetRuleProcedure:                  assay.Viewer,
	consolev1connect.RuleServiceListRulePacksProcedure:            assay.Viewer,
	consolev1connect.RuleServiceListRuleProblemsProcedure:         assay.Viewer,
	consolev1connect.RuleServiceImportRulesProcedure:              assay.Admin,
	consolev1connect.RuleServiceSetRulesEnabledProcedure:          assay.Admin,
	consolev1connect.RuleServiceUseRulePackProcedure:              assay.Admin,
	consolev1connect.RuleServiceBackfillRulesProcedure:            assay.Admin,
	consolev1connect.RuleServiceListBackfillsProcedure:            assay.Viewer,
	consolev1connect.RuleServiceCancelBackfillProcedure:           assay.Admin,
	consolev1connect.AlertServiceListAlertsProcedure:              assay.Viewer,
	consolev1connect.AlertServiceCountAlertsProcedure:             assay.Viewer,
	consolev1connect.AlertServiceGetAlertProcedure:                assay.Viewer,
	consolev1connect.AlertServiceListDetectionsProcedure:          assay.Viewer,
	consolev1connect.AlertServiceAcknowledgeAlertsProcedure:       assay.Admin,
	consolev1connect.AlertServiceCloseAlertsProcedure:             assay.Admin,
	consolev1connect.AlertServiceReopenAlertsProcedure:            assay.Admin,
	consolev1connect.AlertServiceAssignAlertsProcedure:            assay.Admin,
	consolev1connect.AlertServiceEscalateAlertsProcedure:          assay.Admin,
	consolev1connect.AlertServiceAddAlertNoteProcedure:            assay.Admin,
	consolev1connect.AlertServiceRecordReviewProcedure:            assay.Admin,
	consolev1connect.AlertServiceListReviewsProcedure:             assay.Viewer,
	consolev1connect.AlertServiceGetAlertPolicyProcedure:          assay.Viewer,
	consolev1connect.AlertServiceChangeAlertPolicyProcedure:       assay.Admin,
	consolev1connect.SuppressionServiceListSuppressionsProcedure:  assay.Viewer,
	consolev1connect.SuppressionServiceGetSuppressionProcedure:    assay.Viewer,
	consolev1connect.SuppressionServiceCreateSuppressionProcedure: assay.Admin,
	consolev1connect.SuppressionServiceEndSuppressionProcedure:    assay.Admin,

	consolev1connect.NotificationServiceListNotificationTargetsProcedure:      assay.Viewer,
	consolev1connect.NotificationServiceCreateNotificationTargetProcedure:     assay.Admin,
	consolev1connect.NotificationServiceChangeNotificationTargetProcedure:     assay.Admin,
	consolev1connect.NotificationServiceSetNotificationTargetEnabledProcedure: assay.Admin,
	consolev1connect.NotificationServiceTestNotificationTargetProcedure:       assay.Admin,
	consolev1connect.NotificationServiceListDeliveriesProcedure:               assay.Viewer,
	consolev1connect.NotificationServiceRetryDeliveryProcedure:                assay.Admin,
}

// Sessions last this long from sign-in.
const sessionLifetime = 12 * time.Hour

// sessionCookie is host-bound by its prefix: Secure, Path=/, no Domain.
const sessionCookie = "__Host-assay-session"

type sessionKey struct{}

// sessionOf returns the caller's session; the zero Session for anyone.
func sessionOf(ctx context.Context) assay.Session {
	session, _ := ctx.Value(sessionKey{}).(assay.Session)
	return session
}

// authenticator is the interceptor before every handler.
type authenticator struct{ server *Server }

// WrapUnary implements connect.Interceptor.
func (a authenticator) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, err := a.admit(ctx, req.Spec().Procedure, req.Header())
		if err != nil {
			return nil, a.server.wireError(ctx, err)
		}
		res, err := next(ctx, req)
		return res, a.server.wireError(ctx, err)
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (a authenticator) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		ctx, err := a.admit(ctx, conn.Spec().Procedure, conn.RequestHeader())
		if err != nil {
			return a.server.wireError(ctx, err)
		}
		return a.server.wireError(ctx, next(ctx, conn))
	}
}

// WrapStreamingClient implements connect.Interceptor; the server calls nobody.
func (a authenticator) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// admit finds the caller and asks the table of roles.
func (a authenticator) admit(ctx context.Context, procedure string, header http.Header) (context.Context, error) {
	need, known := roles[procedure]
	if !known {
		return ctx, assay.Errorf(assay.Denied, "nobody may call %s", procedure)
	}
	if need == anyone {
		return ctx, nil
	}
	token := tokenOf(header)
	if token == "" {
		return ctx, assay.Errorf(assay.Unauthentic, "sign in first")
	}
	session, err := a.server.cfg.Store.SessionByToken(ctx, sha256.Sum256([]byte(token)), a.server.cfg.Now())
	if assay.KindOf(err) == assay.NotFound {
		return ctx, assay.Errorf(assay.Unauthentic, "the session has ended: sign in again")
	}
	if err != nil {
		return ctx, err
	}
	if session.User.Role < need {
		return ctx, assay.Errorf(assay.Denied, "this needs the role %s, you are %s", need, session.User.Role)
	}
	return context.WithValue(ctx, sessionKey{}, session), nil
}

func tokenOf(header http.Header) string {
	if bearer, ok := strings.CutPrefix(header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	request := http.Request{Header: header}
	if cookie, err := request.Cookie(sessionCookie); err == nil {
		return cookie.Value
	}
	return ""
}

func newSessionToken() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// wireError turns our errors into Connect's. What is internal is logged here,
// once, and told to nobody.
func (s *Server) wireError(ctx context.Context, err error) error {
	var ready *connect.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ready):
		return err
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, context.Canceled)
	}
	kind := assay.KindOf(err)
	if kind == assay.Internal || kind == assay.Unavailable && errors.Unwrap(err) != nil {
		s.cfg.Logger.ErrorContext(ctx, "request failed", "error", assay.Cause(err))
	}
	return connect.NewError(connectCode(kind), errors.New(assay.Message(err)))
}

func connectCode(kind assay.Kind) connect.Code {
	switch kind {
	case assay.Invalid:
		return connect.CodeInvalidArgument
	case assay.NotFound:
		return connect.CodeNotFound
	case assay.Conflict:
		return connect.CodeFailedPrecondition
	case assay.Unauthentic:
		return connect.CodeUnauthenticated
	case assay.Denied:
		return connect.CodePermissionDenied
	case assay.Limited:
		return connect.CodeResourceExhausted
	case assay.Unavailable:
		return connect.CodeUnavailable
	case assay.Internal:
	}
	return connect.CodeInternal
}
