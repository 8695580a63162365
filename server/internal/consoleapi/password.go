package consoleapi

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Argon2id with the second recommended option of RFC 9106: 64 MiB, 3 passes.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 2
	argonKey     = 32
	argonSalt    = 16
)

// HashPassword is Invalid if the password is too short or too long. The result
// is in the PHC string format.
func HashPassword(password string) (string, error) {
	switch n := utf8.RuneCountInString(password); {
	case n < assay.MinPassword:
		return "", assay.Errorf(assay.Invalid, "a password needs at least %d characters", assay.MinPassword)
	case len(password) > assay.MaxPassword:
		return "", assay.Errorf(assay.Invalid, "a password has at most %d bytes", assay.MaxPassword)
	}
	var salt [argonSalt]byte
	_, _ = rand.Read(salt[:]) // never fails
	key := argon2.IDKey([]byte(password), salt[:], argonTime, argonMemory, argonThreads, argonKey)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, encode(salt[:]), encode(key)), nil
}

// checkPassword compares in constant time. A hash that cannot be read matches
// nothing.
func checkPassword(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > assay.MaxPassword {
		return false
	}
	var memory, time uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil || memory > 1<<20 || time == 0 || time > 16 || threads == 0 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) != argonKey {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, threads, argonKey)
	return subtle.ConstantTimeCompare(got, want) == 1
}
