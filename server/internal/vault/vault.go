package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Keys keeps wrapped keys under their names, durably: what Create returned for
// is there after a crash.
type Keys interface {
	// Create keeps a key unless there is one of that name, which is errExists.
	Create(ctx context.Context, name string, wrapped []byte) error
	// Read is errAbsent where there is no such key.
	Read(ctx context.Context, name string) ([]byte, error)
	// Delete is nil where there is none.
	Delete(ctx context.Context, name string) error
}

var (
	errExists = errors.New("the key exists")
	errAbsent = errors.New("there is no such key")
)

// MasterKeySize is the size of a master key in bytes.
const MasterKeySize = 32

const (
	// format is the first byte of what is sealed. A zstd frame, which is what a
	// payload is that rests in the clear, never begins with it.
	format     = 1
	headerSize = 1 + 2 // format, month
	nonceSize  = 12
	tagSize    = 16

	// maxCached bounds the keys in memory: some 100 bytes each.
	maxCached = 1 << 16
	// cachedFor is how long a server may go on opening with a key that another
	// has deleted.
	cachedFor = time.Minute
)

// Overhead is how much longer a sealed payload is, in bytes.
const Overhead = headerSize + nonceSize + tagSize

// keyID names a key.
type keyID struct {
	host  assay.HostID
	month Month
}

func (id keyID) name() string { return id.host.String() + "/" + id.month.String() }

// Month counts months from January 1970, in UTC.
type Month uint16

// MonthOf is the month that t is in.
func MonthOf(t time.Time) Month {
	t = t.UTC()
	return Month((t.Year()-1970)*12 + int(t.Month()) - 1)
}

// Start is the month's first moment.
func (m Month) Start() time.Time {
	return time.Date(1970+int(m)/12, time.Month(int(m)%12+1), 1, 0, 0, 0, 0, time.UTC)
}

// End is the first moment after the month.
func (m Month) End() time.Time { return (m + 1).Start() }

func (m Month) String() string { return m.Start().Format("2006-01") }

// Config is what New needs.
type Config struct {
	Keys Keys
	// Master wraps all keys: MasterKeySize bytes.
	Master []byte
	Now    func() time.Time
}

// Vault seals and opens payloads. It is safe for concurrent use.
type Vault struct {
	cfg    Config
	master cipher.AEAD

	mu     sync.Mutex
	cached map[keyID]cachedKey
}

type cachedKey struct {
	aead cipher.AEAD
	at   time.Time
}

// New returns a vault over its keys.
func New(cfg Config) (*Vault, error) {
	if len(cfg.Master) != MasterKeySize {
		return nil, fmt.Errorf("opening the vault: its master key has %d bytes, not %d", len(cfg.Master), MasterKeySize)
	}
	master, err := newAEAD(cfg.Master)
	if err != nil {
		return nil, err
	}
	return &Vault{cfg: cfg, master: master, cached: map[keyID]cachedKey{}}, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("reading key: %w", err)
	}
	return aead, nil
}

// Seal encrypts a payload of a host that was received at that time. The key is
// made where there is none yet, and is durable before Seal returns: nothing may
// be committed under a key that a crash could take away.
func (v *Vault) Seal(ctx context.Context, host assay.HostID, at time.Time, payload []byte) ([]byte, error) {
	id := keyID{host, MonthOf(at)}
	aead, err := v.key(ctx, id, true)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, headerSize+nonceSize, len(payload)+Overhead)
	sealed[0] = format
	binary.BigEndian.PutUint16(sealed[1:], uint16(id.month))
	nonce := sealed[headerSize : headerSize+nonceSize]
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(sealed, nonce, payload, additional(id)), nil
}

// additional binds what is sealed to its host and month.
func additional(id keyID) []byte {
	return binary.BigEndian.AppendUint16(append(make([]byte, 0, len(id.host)+2), id.host[:]...), uint16(id.month))
}

// Open returns the payload of a host as it was received. A payload that rests in
// the clear, from before there was a vault, is returned as it is. It is NotFound
// where the key was deleted: the payload is erased.
func (v *Vault) Open(ctx context.Context, host assay.HostID, sealed []byte) ([]byte, error) {
	month, ok := Sealed(sealed)
	if !ok {
		return sealed, nil
	}
	id := keyID{host, month}
	aead, err := v.key(ctx, id, false)
	if err != nil {
		return nil, err
	}
	payload, err := aead.Open(nil, sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:], additional(id))
	if err != nil {
		return nil, &assay.Error{Kind: assay.Invalid, Msg: "the payload was altered: its key does not open it", Err: err}
	}
	return payload, nil
}

// Sealed reports whether a stored payload is sealed, and with which month's key.
func Sealed(stored []byte) (Month, bool) {
	if len(stored) < Overhead || stored[0] != format {
		return 0, false
	}
	return Month(binary.BigEndian.Uint16(stored[1:])), true
}

// Erase deletes the key of a host and month that is over. Other servers may open
// what it sealed for another minute. Erasing again is nil.
func (v *Vault) Erase(ctx context.Context, host assay.HostID, month Month) error {
	if month >= MonthOf(v.cfg.Now()) {
		return assay.Errorf(assay.Invalid, "%s is not over: its key is still in use", month)
	}
	id := keyID{host, month}
	if err := v.cfg.Keys.Delete(ctx, id.name()); err != nil {
		return &assay.Error{Kind: assay.Unavailable, Msg: "the vault cannot delete a key now", Err: fmt.Errorf("deleting key %s: %w", id.name(), err)}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.cached, id)
	return nil
}

// key returns a key from memory or the store, and makes it where that is asked for.
func (v *Vault) key(ctx context.Context, id keyID, create bool) (cipher.AEAD, error) {
	now := v.cfg.Now()
	v.mu.Lock()
	known, ok := v.cached[id]
	v.mu.Unlock()
	if ok && now.Sub(known.at) < cachedFor {
		return known.aead, nil
	}
	aead, err := v.read(ctx, id)
	if errors.Is(err, errAbsent) && create {
		// Two servers may be at it: one creates it, and both read what is there.
		if err = v.create(ctx, id); err == nil || errors.Is(err, errExists) {
			aead, err = v.read(ctx, id)
		}
	}
	switch {
	case errors.Is(err, errAbsent):
		return nil, &assay.Error{Kind: assay.NotFound, Msg: fmt.Sprintf("what this host sent in %s was erased", id.month), Err: err}
	case err != nil:
		return nil, &assay.Error{Kind: assay.Unavailable, Msg: "the vault cannot be read now", Err: fmt.Errorf("reading key %s: %w", id.name(), err)}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.cached) >= maxCached {
		clear(v.cached)
	}
	v.cached[id] = cachedKey{aead, now}
	return aead, nil
}

func (v *Vault) create(ctx context.Context, id keyID) error {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	nonce := make([]byte, nonceSize, nonceSize+len(key)+tagSize)
	_, _ = rand.Read(nonce)
	return v.cfg.Keys.Create(ctx, id.name(), v.master.Seal(nonce, nonce, key[:], []byte(id.name())))
}

func (v *Vault) read(ctx context.Context, id keyID) (cipher.AEAD, error) {
	wrapped, err := v.cfg.Keys.Read(ctx, id.name())
	if err != nil {
		return nil, err
	}
	if len(wrapped) < nonceSize {
		return nil, errors.New("it is cut short")
	}
	key, err := v.master.Open(nil, wrapped[:nonceSize], wrapped[nonceSize:], []byte(id.name()))
	if err != nil {
		return nil, errors.New("it was altered, or was wrapped by another master key")
	}
	return newAEAD(key)
}
