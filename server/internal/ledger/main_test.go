package ledger_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The throwaway Postgres outlives the tests.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/assay-audit/assay/deploy/pg.startProcess.func1"))
}
