package archive

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/s3blob"
)

// OpenBucket opens a blob store by its address: file:///folder, which is made
// where it is not there, or s3://bucket?region=…&prefix=…/, with the credentials
// that the environment gives (AWS_ACCESS_KEY_ID, an instance's role, and so on).
func OpenBucket(ctx context.Context, address string) (*blob.Bucket, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("reading the address of a blob store: %w", err)
	}
	switch u.Scheme {
	case "file":
		return openFolder(u)
	case s3blob.Scheme:
		bucket, err := blob.OpenBucket(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("opening blob store %s: %w", u.Redacted(), err)
		}
		return bucket, nil
	}
	return nil, fmt.Errorf("%q is no address of a blob store: write file:///folder or s3://bucket?region=…", u.Redacted())
}

func openFolder(u *url.URL) (*blob.Bucket, error) {
	if u.Host != "" || !filepath.IsAbs(u.Path) || slices.Contains(strings.Split(u.Path, "/"), "..") {
		return nil, fmt.Errorf("%q is no address of a folder: write file:///folder", u)
	}
	if err := os.MkdirAll(u.Path, 0o700); err != nil {
		return nil, fmt.Errorf("making the archive's folder: %w", err)
	}
	// Unfinished objects lie in the folder itself, so that putting one into place
	// is a rename.
	bucket, err := fileblob.OpenBucket(u.Path, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, fmt.Errorf("opening the archive's folder: %w", err)
	}
	return bucket, nil
}
