package vault

import (
	"context"
	"fmt"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Bucket keeps keys as objects of a blob store that neither versions nor
// replicates what is deleted in it: what it brings back is not erased.
type Bucket struct{ bucket *blob.Bucket }

// NewBucket returns the keys in a bucket, which stays the caller's.
func NewBucket(bucket *blob.Bucket) Bucket { return Bucket{bucket} }

// Create implements Keys.
func (b Bucket) Create(ctx context.Context, name string, wrapped []byte) error {
	err := b.bucket.WriteAll(ctx, name, wrapped, &blob.WriterOptions{IfNotExist: true, ContentType: "application/octet-stream"})
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return errExists
	}
	return err
}

// Read implements Keys.
func (b Bucket) Read(ctx context.Context, name string) ([]byte, error) {
	attributes, err := b.bucket.Attributes(ctx, name)
	if err == nil && attributes.Size > maxKeyFile {
		return nil, fmt.Errorf("it has %d bytes, at most %d", attributes.Size, maxKeyFile)
	}
	var wrapped []byte
	if err == nil {
		wrapped, err = b.bucket.ReadAll(ctx, name)
	}
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, errAbsent
	}
	return wrapped, err
}

// Delete implements Keys.
func (b Bucket) Delete(ctx context.Context, name string) error {
	err := b.bucket.Delete(ctx, name)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return err
}
