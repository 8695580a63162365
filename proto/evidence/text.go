package evidence

import (
	"encoding/hex"
	"fmt"
)

// String is the hash in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes lower-case hex: the form in records and vectors.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hex digits.
func (h *Hash) UnmarshalText(text []byte) error { return unhex(h[:], text, "hash") }

// ID is a 16 byte identifier in the records that leaves hold.
type ID [16]byte

// String is the id in the form 00000000-0000-0000-0000-000000000000.
func (id ID) String() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// MarshalText writes the form of String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads exactly the form of String.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return fmt.Errorf("%w: %q is not an id", ErrMalformed, text)
	}
	digits := make([]byte, 0, 32)
	for i, c := range text {
		if i != 8 && i != 13 && i != 18 && i != 23 {
			digits = append(digits, c)
		}
	}
	return unhex(id[:], digits, "id")
}

func unhex(dst, text []byte, what string) error {
	if hex.DecodedLen(len(text)) != len(dst) || len(text)%2 != 0 {
		return fmt.Errorf("%w: %s has %d digits, not %d", ErrMalformed, what, len(text), 2*len(dst))
	}
	raw, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("%w: %s is not hex", ErrMalformed, what)
	}
	copy(dst, raw)
	return nil
}
