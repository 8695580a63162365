package consoleapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
)

// mountTiles serves the ledger as any reader of logs knows it (C2SP tlog-tiles):
// /checkpoint and /tile/..., to whoever may see the ledger. Readers bring the
// session's token as a bearer, browsers their cookie.
func (s *Server) mountTiles(mux *http.ServeMux) {
	mux.Handle("GET /checkpoint", s.file("text/plain; charset=utf-8", "no-cache", func(ctx context.Context, _ string) ([]byte, error) {
		newest, err := s.cfg.Prover.Latest(ctx)
		if err != nil {
			return nil, err
		}
		return s.cfg.Prover.Witnessed(ctx, newest)
	}))
	mux.Handle("GET /checkpoint/witnessed", s.file("text/plain; charset=utf-8", "no-cache", func(ctx context.Context, _ string) ([]byte, error) {
		newest, err := s.cfg.Store.NewestWitnessed(ctx)
		if err != nil {
			return nil, err
		}
		return s.cfg.Prover.Witnessed(ctx, newest)
	}))
	// A tile, full or partial, never changes.
	mux.Handle("GET /tile/", s.file("application/octet-stream", "private, max-age=31536000, immutable", func(ctx context.Context, path string) ([]byte, error) {
		return s.cfg.Prover.Tile(ctx, strings.TrimPrefix(path, "/"))
	}))
}

// file answers with what read returns for the request's path.
func (s *Server) file(kind, caching string, read func(ctx context.Context, path string) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := authenticator{s}.admit(r.Context(), consolev1connect.LedgerServiceGetLedgerProcedure, r.Header)
		var content []byte
		if err == nil {
			content, err = read(ctx, r.URL.Path)
		}
		if err = s.wireError(r.Context(), err); err != nil {
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, messageOf(err), httpStatusOf(err))
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", caching)
		h.Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content) // who went away is told by nothing
	})
}

func messageOf(err error) string {
	var wire *connect.Error
	if errors.As(err, &wire) {
		return wire.Message()
	}
	return err.Error()
}

// httpStatusOf is the HTTP status of a wire error.
func httpStatusOf(err error) int {
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
