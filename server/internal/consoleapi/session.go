package consoleapi

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/types/known/timestamppb"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
)

type sessionService struct {
	*Server
	signIns *limiter
}

// A wrong password costs one of signInBurst tries; one comes back each signInEvery.
const (
	signInBurst   = 10
	signInEvery   = 6 * time.Second
	maxLimitedIPs = 10_000
)

// limiter bounds tries per key.
type limiter struct {
	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

func (l *limiter) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.keys) >= maxLimitedIPs {
		// Whoever can come from that many addresses gains a fresh start; memory
		// stays bounded, and argon2 still bounds the rate.
		clear(l.keys)
	}
	k := l.keys[key]
	if k == nil {
		k = rate.NewLimiter(rate.Every(signInEvery), signInBurst)
		l.keys[key] = k
	}
	return k.AllowN(now, 1)
}

// unknownUserHash is checked where the name is unknown, so that the answer
// takes as long as for a known one.
var unknownUserHash = sync.OnceValue(func() string {
	hash, err := HashPassword("no user has this password")
	if err != nil {
		panic(err) // a constant that our own rules refuse
	}
	return hash
})

// SignIn implements SessionService.
func (s *sessionService) SignIn(ctx context.Context, req *connect.Request[consolev1.SignInRequest]) (*connect.Response[consolev1.SignInResponse], error) {
	now := s.cfg.Now()
	address, _, _ := net.SplitHostPort(req.Peer().Addr)
	if !s.signIns.allow(address, now) {
		return nil, assay.Errorf(assay.Limited, "too many tries to sign in: wait a minute")
	}
	user, err := s.cfg.Store.UserByName(ctx, req.Msg.GetName())
	if err != nil && assay.KindOf(err) != assay.NotFound {
		return nil, err
	}
	hash := user.PasswordHash
	if err != nil {
		hash = unknownUserHash()
	}
	// Each check takes 64 MiB: few at a time.
	select {
	case s.passwords <- struct{}{}:
		defer func() { <-s.passwords }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !checkPassword(hash, req.Msg.GetPassword()) || err != nil {
		return nil, assay.Errorf(assay.Unauthentic, "the name or the password is wrong")
	}
	token := newSessionToken()
	session := assay.Session{
		TokenHash: sha256.Sum256([]byte(token)), User: user, Address: address,
		CreatedAt: now.UTC().Truncate(time.Microsecond), ExpiresAt: now.Add(sessionLifetime).UTC().Truncate(time.Microsecond),
	}
	if err := s.cfg.Store.CreateSession(ctx, session); err != nil {
		return nil, err
	}
	res := connect.NewResponse(&consolev1.SignInResponse{Session: s.sessionMessage(session)})
	if req.Msg.GetBearer() {
		res.Msg.Token = token
		return res, nil
	}
	res.Header().Add("Set-Cookie", cookie(token, session.ExpiresAt).String())
	return res, nil
}

// SignOut implements SessionService.
func (s *sessionService) SignOut(ctx context.Context, _ *connect.Request[consolev1.SignOutRequest]) (*connect.Response[consolev1.SignOutResponse], error) {
	if err := s.cfg.Store.DeleteSession(ctx, sessionOf(ctx).TokenHash); err != nil {
		return nil, err
	}
	res := connect.NewResponse(&consolev1.SignOutResponse{})
	res.Header().Add("Set-Cookie", cookie("", time.Unix(1, 0)).String())
	return res, nil
}

// GetSession implements SessionService.
func (s *sessionService) GetSession(ctx context.Context, _ *connect.Request[consolev1.GetSessionRequest]) (*connect.Response[consolev1.GetSessionResponse], error) {
	return connect.NewResponse(&consolev1.GetSessionResponse{Session: s.sessionMessage(sessionOf(ctx))}), nil
}

func (s *Server) sessionMessage(session assay.Session) *consolev1.Session {
	return &consolev1.Session{
		User: session.User.Name, Role: session.User.Role.String(),
		ExpiresAt: timestamppb.New(session.ExpiresAt), ServerVersion: s.cfg.Version,
	}
}

func cookie(token string, expires time.Time) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: token, Path: "/", Expires: expires,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}
