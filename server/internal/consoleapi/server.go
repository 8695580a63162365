package consoleapi

import (
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"

	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
	"github.com/assay-audit/assay/server/internal/assess"
	"github.com/assay-audit/assay/server/internal/framework"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/notify"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/witness"
)

// Config is what New needs. All of it is required but Web.
type Config struct {
	Store    *postgres.Store
	Assessor *assess.Assessor
	Library  *framework.Library
	Prover   *ledger.Prover
	// Verifier walks the whole ledger.
	Verifier Verifier
	// Witnesses are believed when they cosign; those with a URL are asked elsewhere.
	Witnesses []*witness.Peer
	// Notifier makes notification targets and tests them.
	Notifier *notify.Notifier
	// CAHash and AgentAddress are told with a new enrolment token.
	CAHash       string
	AgentAddress string
	Version      string
	// KeepFor is the statutory retention: an erasure is due that long after its
	// month has ended.
	KeepFor time.Duration
	// Web holds the built pages; nil: the API alone.
	Web    fs.FS
	Now    func() time.Time
	Logger *slog.Logger
}

// Server answers the console.
type Server struct {
	cfg       Config
	passwords chan struct{} // bounds password checks, which take memory
	imports   chan struct{} // bounds imports of rules, which take memory too
}

// maxRequest bounds one request in bytes; no call of the console is large.
const maxRequest = 1 << 20

// maxPasswordChecks run at a time.
const maxPasswordChecks = 4

// New returns a Server.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, passwords: make(chan struct{}, maxPasswordChecks), imports: make(chan struct{}, 1)}
}

// Handler serves the API under /api and the pages everywhere else.
func (s *Server) Handler() http.Handler {
	api := http.NewServeMux()
	options := connect.WithHandlerOptions(connect.WithInterceptors(authenticator{s}), connect.WithReadMaxBytes(maxRequest))
	large := connect.WithHandlerOptions(connect.WithInterceptors(authenticator{s}), connect.WithReadMaxBytes(maxImport))
	mount := func(path string, handler http.Handler) { api.Handle(path, handler) }
	mount(consolev1connect.NewSessionServiceHandler(&sessionService{s, &limiter{keys: map[string]*rate.Limiter{}}}, options))
	mount(consolev1connect.NewStatusServiceHandler(&statusService{s}, options))
	mount(consolev1connect.NewFindingServiceHandler(&findingService{s}, options))
	mount(consolev1connect.NewHostServiceHandler(&hostService{s}, options))
	mount(consolev1connect.NewEventServiceHandler(&eventService{s}, options))
	mount(consolev1connect.NewPolicyServiceHandler(&policyService{s}, options))
	mount(consolev1connect.NewLedgerServiceHandler(&ledgerService{s}, options))
	mount(consolev1connect.NewAgentServiceHandler(&agentService{s}, options))
	mount(consolev1connect.NewNotificationServiceHandler(&notificationService{s}, options))
	mount(consolev1connect.NewAlertServiceHandler(&alertService{s}, options))
	mount(consolev1connect.NewSuppressionServiceHandler(&suppressionService{s}, options))
	path, rules := consolev1connect.NewRuleServiceHandler(&ruleService{s}, large)
	mount(path, s.gated(rules))
	mount(consolev1connect.NewHoldServiceHandler(&holdService{s}, options))
	mount(consolev1connect.NewErasureServiceHandler(&erasureService{s}, options))
	mount(consolev1connect.NewSegmentServiceHandler(&segmentService{s}, options))

	mux := http.NewServeMux()
	mux.Handle("/api/", sameOrigin(http.StripPrefix("/api", api)))
	s.mountTiles(mux)
	mux.Handle("/", pages(s.cfg.Web))
	return headers(mux)
}

// sameOrigin refuses what another site's page makes a browser send. The
// session cookie is SameSite=Strict; this is the second line.
func sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return protection.Handler(next)
}

// contentPolicy lets a page load its own files and nothing else. Styles are
// set from script by the component library, hence 'unsafe-inline' for those.
const contentPolicy = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}
