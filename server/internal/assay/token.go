package assay

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// TokenID names an enrolment token without telling its secret.
type TokenID [16]byte

func (id TokenID) String() string { return formatID(id) }

// Token lets its holder enrol agents. Only the hash of its secret is kept.
type Token struct {
	ID         TokenID
	Name       string
	SecretHash [sha256.Size]byte
	Rights     []Right
	// Tags are given to every host that enrols with it.
	Tags      []string
	UsesLeft  int
	CreatedAt time.Time
	CreatedBy string
	ExpiresAt time.Time
	// RevokedAt is zero while the token stands.
	RevokedAt time.Time
}

const (
	tokenPrefix  = "assay_"
	maxTokenUses = 1_000_000
	maxTags      = 32
	maxTag       = 64
)

// NewTokenSecret draws a secret of 256 bits. The text is shown once.
func NewTokenSecret() (text string, hash [sha256.Size]byte) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: the program ends if the system has no randomness
	text = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	return text, sha256.Sum256([]byte(text))
}

// HashTokenSecret is Unauthentic if text cannot be a secret. Secrets have full
// entropy, so that a plain hash is enough, and looking it up leaks nothing.
func HashTokenSecret(text string) (hash [sha256.Size]byte, err error) {
	raw, decodeErr := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(text, tokenPrefix))
	if !strings.HasPrefix(text, tokenPrefix) || decodeErr != nil || len(raw) != 32 {
		return hash, Errorf(Unauthentic, "the enrolment token is not one")
	}
	return sha256.Sum256([]byte(text)), nil
}

// Validate is Invalid if the token would let nobody in, or anybody for ever.
func (t *Token) Validate() error {
	if err := CheckText("token name", t.Name, 100); err != nil {
		return err
	}
	switch {
	case t.Name == "":
		return Errorf(Invalid, "a token needs a name")
	case !slices.Contains(t.Rights, RightEnrol):
		return Errorf(Invalid, "a token needs the right %q", RightEnrol)
	case t.UsesLeft < 1 || t.UsesLeft > maxTokenUses:
		return Errorf(Invalid, "a token's uses are 1 to %d, not %d", maxTokenUses, t.UsesLeft)
	case !t.ExpiresAt.After(t.CreatedAt):
		return Errorf(Invalid, "a token must expire after it is made")
	case len(t.Tags) > maxTags:
		return Errorf(Invalid, "%d tags, at most %d", len(t.Tags), maxTags)
	}
	for _, right := range t.Rights {
		if !right.Valid() {
			return Errorf(Invalid, "there is no right %q", string(right))
		}
	}
	for _, tag := range t.Tags {
		if tag == "" {
			return Errorf(Invalid, "a tag is empty")
		}
		if err := CheckText("tag", tag, maxTag); err != nil {
			return err
		}
	}
	return nil
}
