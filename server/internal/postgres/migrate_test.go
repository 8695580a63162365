package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/pgtest"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// A server refuses a database that nobody migrated, and says what to do.
func TestCheckSchemaRefusesWhatIsNotMigrated(t *testing.T) {
	t.Parallel()
	check := func(dsn string) error {
		db, err := postgres.Connect(t.Context(), dsn, postgres.Config{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		return db.CheckSchema(t.Context())
	}
	if err := check(pgtest.DB(t)); err != nil {
		t.Errorf("a migrated database is refused: %v", err)
	}
	err := check(pgtest.Empty(t))
	if assay.KindOf(err) != assay.Invalid || !strings.Contains(err.Error(), "assay-server migrate") {
		t.Errorf("an empty database gives %v", err)
	}
}
