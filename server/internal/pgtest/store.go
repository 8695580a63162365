package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/assay-audit/assay/server/internal/vault"
)

// step names what is done on something that is no database.
func (f *Fault) step(what string) string {
	if f.Name != nil {
		return f.Name(what)
	}
	return fmt.Sprintf("%d: %s", len(f.Steps)+1, what)
}

// do does something of which only the error is told.
func (f *Fault) do(what string, done func() error) error {
	step := f.step(what)
	if err := f.Begin(step); err != nil {
		return err
	}
	if err := done(); err != nil {
		return err
	}
	if f.Lost(step) {
		return ErrLost
	}
	return nil
}

// FaultyKeys are a vault's keys that meet a fault.
func FaultyKeys(keys vault.Keys, f *Fault) vault.Keys { return faultyKeys{keys, f} }

type faultyKeys struct {
	keys  vault.Keys
	fault *Fault
}

func (k faultyKeys) Create(ctx context.Context, name string, wrapped []byte) error {
	return k.fault.do("vault: create", func() error { return k.keys.Create(ctx, name, wrapped) })
}

func (k faultyKeys) Read(ctx context.Context, name string) (wrapped []byte, err error) {
	err = k.fault.do("vault: read", func() error {
		wrapped, err = k.keys.Read(ctx, name)
		return err
	})
	return wrapped, err
}

func (k faultyKeys) Delete(ctx context.Context, name string) error {
	return k.fault.do("vault: delete", func() error { return k.keys.Delete(ctx, name) })
}

// FaultyBucket is a bucket that meets a fault. The one below it stays the caller's.
func FaultyBucket(bucket *blob.Bucket, f *Fault) *blob.Bucket {
	return blob.NewBucket(&faultyBucket{bucket: bucket, fault: f})
}

type faultyBucket struct {
	bucket *blob.Bucket
	fault  *Fault
}

func (b *faultyBucket) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (b *faultyBucket) As(any) bool                            { return false }
func (b *faultyBucket) ErrorAs(error, any) bool                { return false }
func (b *faultyBucket) Close() error                           { return nil }

func (b *faultyBucket) Attributes(ctx context.Context, key string) (out *driver.Attributes, err error) {
	err = b.fault.do("bucket: attributes", func() error {
		a, err := b.bucket.Attributes(ctx, key)
		if err == nil {
			out = &driver.Attributes{ContentType: a.ContentType, ModTime: a.ModTime, Size: a.Size, MD5: a.MD5, ETag: a.ETag}
		}
		return err
	})
	return out, err
}

// ListPaged lists all in one page.
func (b *faultyBucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (page *driver.ListPage, err error) {
	page = &driver.ListPage{}
	err = b.fault.do("bucket: list", func() error {
		list := b.bucket.List(&blob.ListOptions{Prefix: opts.Prefix, Delimiter: opts.Delimiter})
		for {
			o, err := list.Next(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, ModTime: o.ModTime, Size: o.Size, IsDir: o.IsDir})
		}
	})
	return page, err
}

func (b *faultyBucket) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (out driver.Reader, err error) {
	err = b.fault.do("bucket: open", func() error {
		r, err := b.bucket.NewRangeReader(ctx, key, offset, length, nil)
		out = &faultyReader{r, b.fault}
		return err
	})
	return out, err
}

type faultyReader struct {
	*blob.Reader
	fault *Fault
}

func (r *faultyReader) As(any) bool { return false }

func (r *faultyReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (r *faultyReader) Read(into []byte) (n int, err error) {
	step := r.fault.step("bucket: read")
	if err := r.fault.Begin(step); err != nil {
		return 0, err
	}
	if n, err = r.Reader.Read(into); r.fault.Lost(step) {
		return 0, ErrLost
	}
	return n, err // io.EOF among them
}

func (b *faultyBucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (out driver.Writer, err error) {
	ctx, cancel := context.WithCancel(ctx)
	err = b.fault.do("bucket: create", func() error {
		w, err := b.bucket.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType, IfNotExist: opts.IfNotExist})
		out = &faultyWriter{w, b.fault, cancel}
		return err
	})
	if err != nil {
		cancel()
	}
	return out, err
}

// faultyWriter leaves no object where it fails before the end: only then is there one.
type faultyWriter struct {
	*blob.Writer
	fault  *Fault
	cancel context.CancelFunc
}

func (w *faultyWriter) Write(p []byte) (n int, err error) {
	err = w.fault.do("bucket: write", func() error {
		n, err = w.Writer.Write(p)
		return err
	})
	if err != nil {
		w.cancel()
		return 0, err
	}
	return n, nil
}

func (w *faultyWriter) Close() error {
	defer w.cancel()
	step := w.fault.step("bucket: finish")
	if err := w.fault.Begin(step); err != nil {
		w.cancel()
		return errors.Join(err, w.Writer.Close())
	}
	if err := w.Writer.Close(); err != nil {
		return err
	}
	if w.fault.Lost(step) {
		return ErrLost
	}
	return nil
}

func (b *faultyBucket) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return b.fault.do("bucket: delete", func() error { return b.bucket.Delete(ctx, key) })
}

// Nobody copies or gives links out.

func (b *faultyBucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errors.ErrUnsupported
}

func (b *faultyBucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}
