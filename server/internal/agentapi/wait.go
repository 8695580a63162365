package agentapi

import (
	"context"
	"time"

	"google.golang.org/grpc/tap"

	agentv1 "github.com/assay-audit/assay/proto/assay/agent/v1"
)

// waits are how long a caller may take: see Config.
type waits struct {
	arrival, idle, silent time.Duration
}

// usualWaits are those where nothing else is said.
func usualWaits() waits {
	return waits{arrival: 20 * time.Second, idle: time.Minute, silent: 2 * time.Minute}
}

// arrive bounds a call that is not a stream as soon as it has a name: gRPC would
// wait for the rest of its request for ever, whoever it is that sends nothing.
func (w waits) arrive(ctx context.Context, call *tap.Info) (context.Context, error) {
	if call.FullMethodName == agentv1.AgentService_Connect_FullMethodName {
		return ctx, nil // it lasts; its Hello is waited for where that is received
	}
	ctx, cancel := context.WithTimeout(ctx, w.arrival)
	context.AfterFunc(ctx, cancel) // the call's end is that of the context above
	return ctx, nil
}
