package assay

import "time"

// Role says what a user may do. The zero value may do nothing.
type Role uint8

// The roles, each able to do all that the one before can.
const (
	NoRole Role = iota
	Viewer      // sees everything, changes nothing
	Admin       // enrols, revokes, closes, verifies
)

func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Admin:
		return "admin"
	case NoRole:
	}
	return ""
}

// ParseRole reads what String prints.
func ParseRole(text string) (Role, error) {
	for _, r := range []Role{Viewer, Admin} {
		if r.String() == text {
			return r, nil
		}
	}
	return NoRole, Errorf(Invalid, "%q is not a role: use admin or viewer", text)
}

// User is a person who signs in to the console.
type User struct {
	ID           [16]byte
	Name         string
	Role         Role
	PasswordHash string
	CreatedAt    time.Time
	DisabledAt   time.Time // zero while enabled
}

// MaxUserName bounds a user's name in bytes; MinPassword is in characters.
const (
	MaxUserName = 64
	MinPassword = 12
	MaxPassword = 1024
)

// Session is a signed-in user. Only the SHA-256 of its token is stored.
type Session struct {
	TokenHash [32]byte
	User      User
	CreatedAt time.Time
	ExpiresAt time.Time
	Address   string
}

// AuditEntry is what a person did. It is written in the transaction of the
// deed, and its leaf holds the same JSON.
type AuditEntry struct {
	User       string            `json:"user"`
	Action     string            `json:"action"` // "token.create", "agent.revoke", ...
	Subject    string            `json:"subject"`
	Detail     map[string]string `json:"detail"` // keys are written in order
	RecordedAt time.Time         `json:"recorded_at"`
	Position   uint64            `json:"-"`
}
