package ca

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

// The files of a rotation. The next key is there until the ledger names it; the
// old one signs beside the new until it is retired.
const (
	nextKeyFile  = "ledger-next.key"
	nextVerifier = "ledger-next.pub"
	oldKeyFile   = "ledger-old.key"
)

// ledgerKeys are the keys that sign checkpoints.
type ledgerKeys struct {
	signers []note.Signer // the ledger's own first
	text    string        // its verifier key
}

func loadLedgerKeys(dir string) (keys ledgerKeys, err error) {
	signer, err := loadSigner(filepath.Join(dir, ledgerKeyFile))
	if err != nil {
		return keys, err
	}
	keys.text, err = verifierOf(dir, signer)
	if err != nil {
		return keys, err
	}
	keys.signers = []note.Signer{signer}
	old, err := loadSigner(filepath.Join(dir, oldKeyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return keys, err
	case old.Name() != signer.Name():
		return keys, fmt.Errorf("loading %s: it is of another ledger", oldKeyFile)
	default:
		keys.signers = append(keys.signers, old)
	}
	return keys, nil
}

func loadSigner(path string) (note.Signer, error) {
	secret, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(secret)))
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", path, err)
	}
	return signer, nil
}

// verifierOf finds the verifier key of a signer: beside it, or where a rotation
// was cut short in between, in the file of the next.
func verifierOf(dir string, signer note.Signer) (string, error) {
	for _, name := range []string{ledgerVerifier, nextVerifier} {
		public, err := readBounded(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name == nextVerifier {
			break
		}
		if err != nil {
			return "", err
		}
		text := strings.TrimSpace(string(public))
		verifier, err := note.NewVerifier(text)
		if err != nil {
			return "", fmt.Errorf("loading ledger verifier key: %w", err)
		}
		if verifier.Name() == signer.Name() && verifier.KeyHash() == signer.KeyHash() {
			return text, nil
		}
	}
	return "", errors.New("loading ledger key: its verifier key is another's")
}

// NextLedgerKey makes the key that is to follow the ledger's, or takes the one
// that an earlier call made, and returns the record of the rotation to it. The
// ledger's own key stays until TakeNextLedgerKey.
func (a *Authority) NextLedgerKey() (record evidence.KeyRecord, previous string, err error) {
	next, key, err := a.nextKey(a.Origin())
	if err != nil {
		return record, "", err
	}
	rotation := evidence.Rotation{Previous: a.LedgerKey(), Key: key, At: evidence.Ticks(a.now())}
	signed, err := evidence.SignRotation(rotation, a.LedgerSigners()[0], next)
	if err != nil {
		return record, "", err
	}
	return evidence.KeyRecord{Action: evidence.KeyRotated, Key: key, Rotation: string(signed)}, rotation.Previous, nil
}

// RotationFrom signs once more that the ledger's key follows an earlier one (note
// format), as where the record of it was lost. It needs the earlier key: ok is false
// where that was deleted or is another.
func (a *Authority) RotationFrom(previous string) (record evidence.KeyRecord, ok bool, err error) {
	signers := a.LedgerSigners()
	if len(signers) < 2 {
		return record, false, nil
	}
	verifier, err := note.NewVerifier(previous)
	if err != nil || verifier.Name() != signers[1].Name() || verifier.KeyHash() != signers[1].KeyHash() {
		return record, false, err
	}
	rotation := evidence.Rotation{Previous: previous, Key: a.LedgerKey(), At: evidence.Ticks(a.now())}
	signed, err := evidence.SignRotation(rotation, signers[1], signers[0])
	return evidence.KeyRecord{Action: evidence.KeyRotated, Key: rotation.Key, Rotation: string(signed)}, err == nil, err
}

// SuccessorKey is NextLedgerKey for a ledger of another name that follows ours, of
// whose leaves kept are left of held.
func (a *Authority) SuccessorKey(origin string, held, kept evidence.TreeHead) (record evidence.KeyRecord, previous string, err error) {
	next, key, err := a.nextKey(origin)
	if err != nil {
		return record, "", err
	}
	succession := evidence.Succession{Previous: a.LedgerKey(), Key: key, At: evidence.Ticks(a.now()), Held: held, Kept: kept}
	signed, err := evidence.SignSuccession(succession, a.LedgerSigners()[0], next)
	if err != nil {
		return record, "", err
	}
	return evidence.KeyRecord{Action: evidence.KeySucceeded, Key: key, Succession: string(signed)}, succession.Previous, nil
}

// Origin is the ledger's name.
func (a *Authority) Origin() string { return a.LedgerSigners()[0].Name() }

// UnfinishedLedgerKey is the key (note format) that was made to follow the ledger's
// and has not taken its place, "" if there is none.
func (a *Authority) UnfinishedLedgerKey() (string, error) {
	if _, err := os.Stat(filepath.Join(a.dir, nextKeyFile)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	public, err := readBounded(filepath.Join(a.dir, nextVerifier))
	return strings.TrimSpace(string(public)), err
}

// nextKey is the key of the name that is to follow, made now or by an earlier call.
func (a *Authority) nextKey(name string) (signer note.Signer, key string, err error) {
	if err := a.makeNextKey(name); err != nil {
		return nil, "", err
	}
	if signer, err = loadSigner(filepath.Join(a.dir, nextKeyFile)); err != nil {
		return nil, "", err
	}
	if signer.Name() != name {
		return nil, "", fmt.Errorf("a change to the key of %s was cut short: end it first, or remove %s and %s", signer.Name(), nextKeyFile, nextVerifier)
	}
	public, err := readBounded(filepath.Join(a.dir, nextVerifier))
	return signer, strings.TrimSpace(string(public)), err
}

// makeNextKey writes both files of the next key, the secret one last: it alone
// says that they are whole.
func (a *Authority) makeNextKey(name string) error {
	keyPath, publicPath := filepath.Join(a.dir, nextKeyFile), filepath.Join(a.dir, nextVerifier)
	if _, err := os.Stat(keyPath); err == nil {
		return nil
	}
	if err := a.clearNext(publicPath); err != nil {
		return err
	}
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return fmt.Errorf("making ledger key: %w", err)
	}
	if err := writeFile(publicPath, []byte(public+"\n"), publicFileMode); err != nil {
		return err
	}
	aside := keyPath + ".new"
	if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an unfinished key: %w", err)
	}
	if err := writeFile(aside, []byte(secret+"\n"), privateFileMode); err != nil {
		return err
	}
	if err := os.Rename(aside, keyPath); err != nil {
		return fmt.Errorf("keeping the next ledger key: %w", err)
	}
	return syncFolder(a.dir)
}

// clearNext removes a next key that was never whole, and ends a rotation that
// was cut short when its secret key had its place already.
func (a *Authority) clearNext(publicPath string) error {
	public, err := readBounded(publicPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case strings.TrimSpace(string(public)) == a.LedgerKey():
		err = os.Rename(publicPath, filepath.Join(a.dir, ledgerVerifier))
	default:
		err = os.Remove(publicPath)
	}
	if err != nil {
		return fmt.Errorf("clearing an unfinished key: %w", err)
	}
	return nil
}

// TakeNextLedgerKey puts the next key in the place of the ledger's, once the
// ledger names it. The one before goes on signing beside it if keepOld, so that
// agents and auditors that do not know of the rotation yet can still verify.
func (a *Authority) TakeNextLedgerKey(keepOld bool) error {
	key, old := filepath.Join(a.dir, ledgerKeyFile), filepath.Join(a.dir, oldKeyFile)
	next := filepath.Join(a.dir, nextKeyFile)
	if _, err := os.Stat(next); err == nil {
		if keepOld {
			// Linked aside first: the old key is never the only copy that moves.
			aside := old + ".new"
			if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("keeping the old ledger key: %w", err)
			}
			if err := os.Link(key, aside); err != nil {
				return fmt.Errorf("keeping the old ledger key: %w", err)
			}
			if err := os.Rename(aside, old); err != nil {
				return fmt.Errorf("keeping the old ledger key: %w", err)
			}
		} else if err := a.RetireLedgerKey(); err != nil {
			return err
		}
		if err := os.Rename(next, key); err != nil {
			return fmt.Errorf("taking the next ledger key: %w", err)
		}
	}
	if err := os.Rename(filepath.Join(a.dir, nextVerifier), filepath.Join(a.dir, ledgerVerifier)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("taking the next ledger key: %w", err)
	}
	if err := syncFolder(a.dir); err != nil {
		return err
	}
	return a.ReloadLedgerKey()
}

// RetireLedgerKey deletes the key before the ledger's, which then signs no more.
func (a *Authority) RetireLedgerKey() error {
	if err := os.Remove(filepath.Join(a.dir, oldKeyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("retiring the old ledger key: %w", err)
	}
	if err := syncFolder(a.dir); err != nil {
		return err
	}
	return a.ReloadLedgerKey()
}
