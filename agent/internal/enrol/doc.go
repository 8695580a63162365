// Package enrol owns who this agent is: the device key, made on the host and
// never leaving it, the certificate that the server gave for a token, and its
// renewal. It never sends telemetry.
//
// A state directory holds:
//
//	agent.key       P-256 private key, PKCS #8 PEM, 0600, created once
//	identity.json   certificate, CA chain, ledger key, server; replaced by rename
package enrol
