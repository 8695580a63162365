package agentapi

import (
	"crypto/ecdsa"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Opened for tests.
var (
	Requirements = requirements
	CheckFrame   = checkFrame
)

// Denied is the requirement that nobody meets.
const Denied = denied

// CheckBatch checks a batch within the default limits.
func CheckBatch(sent *agentv1.Batch, key *ecdsa.PublicKey) (*assay.Batch, string, error) {
	return Limits{}.withDefaults().check(sent, &caller{key: key})
}
