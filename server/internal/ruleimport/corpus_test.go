package ruleimport

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// TestPublicRules takes a public set of rules into use as operators do: thousands
// of documents, of which what is not for Windows is refused and told.
func TestPublicRules(t *testing.T) {
	t.Parallel()
	data := os.Getenv("ASSAY_TESTDATA")
	if data == "" {
		t.Skip("ASSAY_TESTDATA is unset: there are no public rules to read")
	}
	archive, err := os.ReadFile(filepath.Join(data, "sigma", "sigmahq-rules.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := Unpack(archive)
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	p, err := Read("public", "", files)
	if err != nil {
		t.Fatal(err)
	}
	read := time.Since(started)
	store := postgres.New(postgres.Config{DB: pgtest.Pool(t), Now: time.Now})
	p.ImportedBy = "ann"
	started = time.Now()
	done, err := Import(t.Context(), store, p, Options{Enable: "all"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d KiB packed: %d rules, %d correlations, %d filters, %d refused; read in %s, stored in %s, %d turned on", len(files), len(archive)/1024,
		p.Count(assay.KindRule), p.Count(assay.KindCorrelation), p.Count(assay.KindFilter), len(p.Problems), read.Round(time.Millisecond),
		time.Since(started).Round(time.Millisecond), len(done.TurnedOn))
	inForce, err := store.RulesInForce(t.Context(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	if len(inForce) != len(p.Rules) || len(inForce) < 1000 {
		t.Errorf("%d rules are in force of %d that were taken", len(inForce), len(p.Rules))
	}
}
