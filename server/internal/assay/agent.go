package assay

import (
	"slices"
	"time"
)

// Right is what an enrolment permits.
type Right string

// The rights.
const (
	RightEnrol  Right = "enrol"  // of a token: to enrol an agent, which may report on its own host
	RightImport Right = "import" // to send logs of other hosts in an import stream
)

// Valid reports whether r is a known right.
func (r Right) Valid() bool { return r == RightEnrol || r == RightImport }

// KeyKind is where an agent claims that its key lives.
type KeyKind string

// The kinds of key.
const (
	SoftwareKey KeyKind = "software"
	TPMKey      KeyKind = "tpm"
)

// Valid reports whether k is a known kind.
func (k KeyKind) Valid() bool { return k == SoftwareKey || k == TPMKey }

// CertificateLifetime is how long an agent's certificate is valid; agents renew
// at half of it.
const CertificateLifetime = 7 * 24 * time.Hour

// RenewalGrace is how long after a certificate expired its key may still renew it.
const RenewalGrace = 90 * 24 * time.Hour

// Agent is one enrolment of a host.
type Agent struct {
	ID      AgentID
	HostID  HostID
	TokenID TokenID
	Rights  []Right
	KeyKind KeyKind
	// PublicKey is the key's SubjectPublicKeyInfo in DER. It never changes.
	PublicKey  []byte
	Version    string
	EnrolledAt time.Time
	// LastSeenAt, RevokedAt and CompromisedSince are zero where there is none.
	LastSeenAt       time.Time
	LastAddress      string
	RevokedAt        time.Time
	RevokedReason    string
	CompromisedSince time.Time
}

// Revoked reports whether the agent may no longer speak.
func (a *Agent) Revoked() bool { return !a.RevokedAt.IsZero() }

// May reports whether the agent has right.
func (a *Agent) May(right Right) bool { return slices.Contains(a.Rights, right) }

// Certificate is one that our CA issued to an agent.
type Certificate struct {
	Serial    []byte
	AgentID   AgentID
	DER       []byte
	NotBefore time.Time
	NotAfter  time.Time
	// Position is that of the leaf that records the issue.
	Position int64
}

// ValidAt reports whether at is within the certificate's life.
func (c *Certificate) ValidAt(at time.Time) bool {
	return !at.Before(c.NotBefore) && !at.After(c.NotAfter)
}

// Revocation takes an agent's word away, for ever.
type Revocation struct {
	Agent  AgentID
	Reason string
	By     string // who took it away
	// CompromisedSince is where the doubt begins; zero: not stated.
	CompromisedSince time.Time
}

// Validate is Invalid without a reason of at most 1000 bytes.
func (r *Revocation) Validate() error {
	if r.Reason == "" {
		return Errorf(Invalid, "a revocation needs a reason")
	}
	return CheckText("reason", r.Reason, 1000)
}

// Sighting is the latest that was seen of a connected agent.
type Sighting struct {
	Agent   AgentID
	At      time.Time
	Address string
	Version string
}
