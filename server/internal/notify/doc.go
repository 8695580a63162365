// Package notify owns telling others of alerts: it seals the secrets of targets,
// writes messages and carries them to webhooks, mail and syslog servers, each
// within a bound of time and of bytes. Which messages there are, and when they
// are tried again, is the queue's in package postgres. It never sends what an
// event holds, only what the alert is about and where to read more.
package notify
