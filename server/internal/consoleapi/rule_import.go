package consoleapi

import (
	"context"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/assay/console/v1/consolev1connect"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ruleimport"
)

// maxImport bounds the request that holds an archive.
const maxImport = assay.MaxPackArchive + 64<<10

// shownProblems bounds the problems in the answer to an import; the rest is
// listed page by page.
const shownProblems = 1000

// ImportRules implements RuleService.
func (s *ruleService) ImportRules(ctx context.Context, req *connect.Request[consolev1.ImportRulesRequest]) (*connect.Response[consolev1.ImportRulesResponse], error) {
	m := req.Msg
	if err := checkNote("reason", m.GetReason()); err != nil {
		return nil, err
	}
	if m.GetPack() == assay.BuiltinPack {
		return nil, assay.Errorf(assay.Invalid, "the pack %s comes with the server: choose another name", assay.BuiltinPack)
	}
	// One at a time: compiling thousands of rules takes a processor and memory.
	select {
	case s.imports <- struct{}{}:
		defer func() { <-s.imports }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	files, err := ruleimport.Unpack(m.GetArchive())
	if err != nil {
		return nil, err
	}
	pack, err := ruleimport.Read(m.GetPack(), m.GetVersion(), files)
	if err != nil {
		return nil, err
	}
	pack.ImportedBy = sessionOf(ctx).User.Name
	done, err := ruleimport.Import(ctx, s.cfg.Store, pack, ruleimport.Options{Enable: m.GetEnable(), Reason: strings.TrimSpace(m.GetReason()), DryRun: m.GetDryRun()})
	if err != nil {
		return nil, err
	}
	res := &consolev1.ImportRulesResponse{
		Problems: problemMessages(pack.Problems[:min(len(pack.Problems), shownProblems)]), Files: uint32(len(files)), Added: uint32(done.Added), Changed: uint32(done.Changed),
		Unchanged: uint32(done.Unchanged), Removed: uint32(done.Removed), TurnedOn: uint32(len(done.TurnedOn)), AlreadyInForce: done.AlreadyInForce,
		Pack: &consolev1.RulePack{Name: pack.Name, Version: pack.Version, Rules: uint32(pack.Count(assay.KindRule)),
			Correlations: uint32(pack.Count(assay.KindCorrelation)), Filters: uint32(pack.Count(assay.KindFilter)), Problems: uint32(len(pack.Problems))},
	}
	if !m.GetDryRun() && !done.AlreadyInForce {
		if res.Pack, err = s.pack(ctx, pack.Name, pack.Version); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(res), nil
}

// gated lets nobody send a large request who may not make it: the role is asked
// for before the body is read.
func (s *Server) gated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != consolev1connect.RuleServiceImportRulesProcedure {
			r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		} else if _, err := (authenticator{s}).admit(r.Context(), r.URL.Path, r.Header); err != nil {
			r.Body = http.MaxBytesReader(w, r.Body, 1)
			if writer := connect.NewErrorWriter(); writer.IsSupported(r) {
				_ = writer.Write(w, r, s.wireError(r.Context(), err)) // the caller has gone
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
