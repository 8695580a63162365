// Package payload owns the reading of what the kernel driver copied of a flow:
// DNS messages, the heads of HTTP/1 requests and responses, and TLS hellos. Every
// byte is an attacker's choice and may be cut anywhere, so each reader has written
// bounds, ends on any input in time linear in its length, and says what is cut. It
// is pure: it keeps nothing from one payload to the next.
package payload
