package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"gocloud.dev/blob"

	"github.com/assay-audit/assay/server/internal/archive"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/vault"
)

// storage is where payloads rest besides Postgres.
type storage struct {
	Keys    string `help:"Folder of the keys (assay-server init)." env:"ASSAY_KEYS" type:"path" placeholder:"DIR"`
	Vault   string `help:"Where the keys of payloads are kept: file:///folder or s3://bucket?region=…; all servers on a database share it. Default: vault in the folder of the keys." env:"ASSAY_VAULT" placeholder:"URL"`
	Archive string `help:"Where old segments of the ledger go: file:///folder or s3://bucket?region=…; without it they stay in the database." env:"ASSAY_ARCHIVE" placeholder:"URL"`
}

// rest is the storage, open.
type rest struct {
	vault   *vault.Vault
	archive *archive.Archive // nil: there is none
	buckets []*blob.Bucket
}

func (s *storage) open(e *env) (_ *rest, err error) {
	if s.Keys == "" {
		return nil, errors.New("--keys is missing: payloads cannot be opened without the keys")
	}
	r := &rest{}
	defer func() {
		if err != nil {
			err = r.closeWith(err)
		}
	}()
	if err := s.openVault(e, r); err != nil {
		return nil, err
	}
	if s.Archive == "" {
		return r, nil
	}
	bucket, err := archive.OpenBucket(e.ctx, s.Archive)
	if err != nil {
		return nil, fmt.Errorf("--archive: %w", err)
	}
	r.buckets, r.archive = append(r.buckets, bucket), archive.New(bucket)
	return r, nil
}

func (s *storage) openVault(e *env, r *rest) error {
	master, err := ca.VaultKey(s.Keys)
	if err != nil {
		return err
	}
	address := cmp.Or(s.Vault, (&url.URL{Scheme: "file", Path: filepath.Join(s.Keys, "vault")}).String())
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("--vault: %w", err)
	}
	var keys vault.Keys
	if u.Scheme == "file" {
		// Not as a bucket: a key must be on the disk before anything rests under it.
		if keys, err = vault.NewFolder(u.Path); err != nil {
			return fmt.Errorf("--vault: %w", err)
		}
	} else {
		bucket, err := archive.OpenBucket(e.ctx, address)
		if err != nil {
			return fmt.Errorf("--vault: %w", err)
		}
		r.buckets, keys = append(r.buckets, bucket), vault.NewBucket(bucket)
	}
	r.vault, err = vault.New(vault.Config{Keys: keys, Master: master, Now: e.now})
	return err
}

// connect opens the database with what rests elsewhere.
func (r *rest) connect(e *env, dsn string) (*postgres.Database, error) {
	cfg := postgres.Config{Now: e.now, Vault: r.vault}
	if r.archive != nil {
		cfg.Archive = r.archive
	}
	return postgres.Connect(e.ctx, dsn, cfg)
}

// closeWith closes everything and returns what went wrong, err first.
func (r *rest) closeWith(err error) error {
	for _, bucket := range r.buckets {
		err = errors.Join(err, bucket.Close())
	}
	return err
}
