// Package evidence owns the bytes that are hashed and signed: batch headers,
// epoch openings, ledger leaves and the salted commitments to single events.
// Agent, server and offline verifier compute them with this code alone. It is
// pure, and it never re-encodes protobuf: what was received is what is hashed.
//
// All integers are big endian and of fixed width, all times are 100 ns ticks
// since 1970-01-01T00:00:00Z, variable parts carry a 32-bit length. Every hash
// is SHA-256 over a tag that names what is hashed and its version, so that no
// bytes of one kind are ever valid as another.
package evidence

import (
	"crypto/sha256"
	"errors"
	"time"
)

// Format is the version of the header, opening and leaf encodings below.
const Format = 1

// Hash is a SHA-256 digest.
type Hash [sha256.Size]byte

// StreamID names a stream for ever; it is random and granted by the server.
type StreamID [16]byte

// ErrMalformed is wrapped by every decoding error of this package.
var ErrMalformed = errors.New("malformed evidence")

const (
	headerTag     = "assay/header/v1\x00"
	openingTag    = "assay/opening/v1\x00"
	saltTag       = "assay/salt/v1\x00"
	commitmentTag = "assay/commitment/v1\x00"
)

func tagged(tag string, parts ...[]byte) Hash {
	h := sha256.New()
	h.Write([]byte(tag))
	for _, p := range parts {
		h.Write(p)
	}
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

const (
	ticksPerSecond = 10_000_000
	nanosPerTick   = 100
)

// Ticks converts t to 100 ns ticks since 1970, dropping what is finer.
func Ticks(t time.Time) int64 {
	return t.Unix()*ticksPerSecond + int64(t.Nanosecond())/nanosPerTick
}

// Time converts 100 ns ticks since 1970 to UTC.
func Time(ticks int64) time.Time {
	seconds, rest := ticks/ticksPerSecond, ticks%ticksPerSecond
	if rest < 0 {
		seconds, rest = seconds-1, rest+ticksPerSecond
	}
	return time.Unix(seconds, rest*nanosPerTick).UTC()
}
