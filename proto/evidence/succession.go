package evidence

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Succession is the statement that one ledger follows another of which leaves
// were lost, as after an older backup was restored. Both keys sign it: the old
// ledger ends by its own word, and says how much of it is gone.
type Succession struct {
	Previous string // verifier keys in note format, of two names
	Key      string
	At       int64 // ticks
	// Held is the largest tree of the old ledger that anyone was known to hold,
	// Kept the one with which the new ledger begins: a prefix of Held's.
	Held, Kept TreeHead
}

// TreeHead is a tree's size in leaves and its root.
type TreeHead struct {
	Size int64
	Root Hash
}

// successionTitle is the first line of a succession (see rotationTitle).
const successionTitle = "assay/succession/v1"

// Text returns the note's text: six lines, each ended by a newline.
func (s *Succession) Text() string {
	return strings.Join([]string{successionTitle, s.Previous, s.Key, strconv.FormatInt(s.At, 10), "held " + s.Held.text(), "kept " + s.Kept.text(), ""}, "\n")
}

func (h TreeHead) text() string {
	return strconv.FormatInt(h.Size, 10) + " " + base64.StdEncoding.EncodeToString(h.Root[:])
}

// SignSuccession returns the succession signed by both keys.
func SignSuccession(s Succession, previous, next note.Signer) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: s.Text()}, previous, next)
	if err != nil {
		return nil, fmt.Errorf("signing succession: %w", err)
	}
	if _, _, err := OpenSuccession(signed, s.Previous); err != nil {
		return nil, fmt.Errorf("signing succession: %w", err)
	}
	return signed, nil
}

// OpenSuccession verifies a succession that begins at the key previous (note
// format), and returns it with the verifier of the next ledger's key. Anything
// wrong is ErrMalformed.
func OpenSuccession(signed []byte, previous string) (Succession, note.Verifier, error) {
	s, err := parseSuccession(signed)
	if err != nil {
		return Succession{}, nil, err
	}
	if s.Previous != previous {
		return Succession{}, nil, fmt.Errorf("%w: succession begins at another key", ErrMalformed)
	}
	next, err := openByBoth(signed, s.Previous, s.Key)
	if err != nil {
		return Succession{}, nil, fmt.Errorf("%w: succession: %w", ErrMalformed, err)
	}
	if KeyName(previous) == next.Name() {
		return Succession{}, nil, fmt.Errorf("%w: succession to a ledger of the same name", ErrMalformed)
	}
	return s, next, nil
}

// ReadSuccession returns what a succession says, unverified: by its own word.
func ReadSuccession(signed []byte) (Succession, error) { return parseSuccession(signed) }

func parseSuccession(signed []byte) (s Succession, err error) {
	if len(signed) > maxNote {
		return s, fmt.Errorf("%w: succession of %d bytes", ErrMalformed, len(signed))
	}
	text, _, found := strings.Cut(string(signed), "\n\n")
	lines := strings.Split(text, "\n")
	if !found || len(lines) != 6 || lines[0] != successionTitle || len(lines[1]) > maxVerifierKey || len(lines[2]) > maxVerifierKey {
		return s, fmt.Errorf("%w: succession needs a title, two keys, a time and two trees", ErrMalformed)
	}
	s.Previous, s.Key = lines[1], lines[2]
	if s.At, err = strconv.ParseInt(lines[3], 10, 64); err != nil || strconv.FormatInt(s.At, 10) != lines[3] {
		return s, fmt.Errorf("%w: succession at %q", ErrMalformed, lines[3])
	}
	for i, tree := range []struct {
		word string
		head *TreeHead
	}{{"held ", &s.Held}, {"kept ", &s.Kept}} {
		if *tree.head, err = parseTreeHead(lines[4+i], tree.word); err != nil {
			return s, err
		}
	}
	if s.Kept.Size > s.Held.Size {
		return s, fmt.Errorf("%w: succession keeps %d leaves of %d", ErrMalformed, s.Kept.Size, s.Held.Size)
	}
	return s, nil
}

func parseTreeHead(line, word string) (h TreeHead, err error) {
	rest, ok := strings.CutPrefix(line, word)
	size, root, both := strings.Cut(rest, " ")
	if ok && both {
		h.Size, err = strconv.ParseInt(size, 10, 64)
	}
	raw, rootErr := base64.StdEncoding.Strict().DecodeString(root)
	if !ok || !both || err != nil || h.Size < 0 || strconv.FormatInt(h.Size, 10) != size || rootErr != nil || len(raw) != len(h.Root) {
		return h, fmt.Errorf("%w: succession names no tree in %q", ErrMalformed, line)
	}
	copy(h.Root[:], raw)
	return h, nil
}
