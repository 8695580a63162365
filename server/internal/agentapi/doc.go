// Package agentapi owns what agents say to the server over gRPC: enrolment,
// renewal and the one stream of each agent. It believes the verified
// certificate alone, checks every batch against its header before the database
// sees it, and acknowledges what is committed and nothing else. It never
// decodes events.
//
// A batch goes: receive (one goroutine per stream) -> check -> queue bounded in
// bytes -> writer -> one transaction for many -> receipt -> outbox -> send. When
// the queue is full nothing is received, and HTTP/2 holds the agent back.
package agentapi
