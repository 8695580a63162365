package spool

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"github.com/assay-audit/assay/proto/evidence"
)

// The state file holds what reading the segments would not tell: which
// generation is current, what the server has said, and the progress of frames
// that are deleted. It is replaced by rename, and always before the frames that
// it takes the place of are deleted.
const (
	stateName    = "state"
	tempSuffix   = ".new"
	stateBad     = "state.bad"
	stateVersion = 1
	// maxState bounds what Open reads, in bytes.
	maxState = 1 << 30
)

// generation is one grant and how far it came. Its JSON form is the state's.
type generation struct {
	ID       uint32 `json:"id"`
	Granted  bool   `json:"granted"`
	StreamID string `json:"stream"`
	Epoch    uint32 `json:"epoch"`
	// Opening is the canonical opening record, nil where only its hash is known.
	Opening     []byte `json:"opening,omitempty"`
	OpeningHash string `json:"opening_hash"`
	// End is the last live number of a generation that another one took over
	// from: frames behind it live on, re-chained. Unused in the current one.
	End uint64 `json:"end,omitempty"`

	Committed   uint64 `json:"committed"`
	Position    uint64 `json:"position"`
	CommittedAt int64  `json:"committed_at"` // server's clock, ticks
	Safe        uint64 `json:"safe"`
	Covered     uint64 `json:"covered"`

	stream  evidence.StreamID
	opening evidence.Hash
}

// setTexts fills the JSON form of the binary fields.
func (g *generation) setTexts() {
	g.StreamID, g.OpeningHash = hex.EncodeToString(g.stream[:]), hex.EncodeToString(g.opening[:])
}

func (g *generation) parseTexts() error {
	return errors.Join(unhex(g.stream[:], g.StreamID), unhex(g.opening[:], g.OpeningHash))
}

func unhex(to []byte, text string) error {
	if hex.DecodedLen(len(text)) != len(to) {
		return fmt.Errorf("%q is not %d hex bytes", text, len(to))
	}
	_, err := hex.Decode(to, []byte(text))
	return err
}

// Loss is a run of batches that the disk lost before the server had them.
type Loss struct {
	Kind       evidence.StreamKind `json:"kind"`
	Generation uint32              `json:"generation"`
	// First and Last are batch numbers, FirstSequence and LastSequence events.
	First         uint64 `json:"first"`
	Last          uint64 `json:"last"`
	FirstSequence uint64 `json:"first_sequence"`
	LastSequence  uint64 `json:"last_sequence"`
	// From and To bound the observed time where it is known, ticks.
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Key names the loss for ever.
func (l *Loss) Key() string { return fmt.Sprintf("loss/%s/%08x/%016x", l.Kind, l.Generation, l.First) }

type state struct {
	Version     int          `json:"version"`
	Kind        uint8        `json:"kind"`
	Generations []generation `json:"generations"` // the last one is current
	// Head is the newest batch whose progress is in Progress.
	Head     uint64            `json:"head"`
	HeadHash string            `json:"head_hash"`
	Sequence uint64            `json:"next_sequence"`
	Progress map[string][]byte `json:"progress"`
	Losses   []Loss            `json:"losses,omitempty"`
	// Sealed holds commit times of segments by file name.
	Sealed map[string]int64 `json:"sealed,omitempty"`
}

// errBadState: the state file is there and unreadable.
var errBadState = errors.New("state file is damaged")

// errUncertain: the new state file is in place, but a crash may undo that.
var errUncertain = errors.New("the rename may not be durable")

// encode returns the file's bytes: the checksum, a line break, JSON.
func (s *state) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding spool state: %w", err)
	}
	return append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(body, castagnoli)), body...), nil
}

func decodeState(b []byte) (*state, error) {
	sum, body, ok := bytes.Cut(b, []byte{'\n'})
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) {
		return nil, errBadState
	}
	var s state
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, errBadState
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("spool state has version %d, this program knows %d", s.Version, stateVersion)
	}
	if len(s.Generations) == 0 {
		return nil, errBadState
	}
	for i := range s.Generations {
		if err := s.Generations[i].parseTexts(); err != nil {
			return nil, errBadState
		}
	}
	return &s, nil
}

// loadState reads the state of a directory. No file is fs.ErrNotExist.
func loadState(files Files, dir string) (*state, error) {
	f, err := files.Open(filepath.Join(dir, stateName), false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("reading spool state: %w", err)
	}
	if size > maxState {
		return nil, errBadState
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading spool state: %w", err)
	}
	return decodeState(b)
}

// saveState replaces the state file. When it returns, the new one is durable;
// when it fails, the old one is untouched, but for errUncertain.
func saveState(files Files, dir string, s *state) error {
	b, err := s.encode()
	if err != nil {
		return err
	}
	if err := ReplaceFile(files, filepath.Join(dir, stateName), b); err != nil {
		return fmt.Errorf("saving spool state: %w", err)
	}
	return nil
}

// ReplaceFile puts b in the place of the named file: whatever happens, it holds
// the old bytes or the new ones.
func ReplaceFile(files Files, name string, b []byte) error {
	temp := name + tempSuffix
	if err := removeIfThere(files, temp); err != nil {
		return err
	}
	if err := writeNew(files, temp, b); err != nil {
		return err
	}
	if err := files.Rename(temp, name); err != nil {
		return err
	}
	if err := files.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("%w: %w", errUncertain, err)
	}
	return nil
}

// writeNew creates a file with these bytes, durable but for its directory entry.
func writeNew(files Files, name string, b []byte) error {
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func hexOf(h evidence.Hash) string { return hex.EncodeToString(h[:]) }
