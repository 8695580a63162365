package agentapi

// Opened for tests.
var (
	Requirements = requirements
	CheckFrame   = checkFrame
)

// Denied is the requirement that nobody meets.
const Denied = denied
