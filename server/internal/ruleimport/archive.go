package ruleimport

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Bounds on one file of a pack.
const (
	maxFile = 1 << 20
	maxPath = 512
)

// maxEntries bounds the entries of an archive, whatever they are.
const maxEntries = 200_000

// IsRuleFile reports whether a file of that name is read.
func IsRuleFile(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yml" || ext == ".yaml"
}

// Pack writes files into an archive that Unpack reads. The same files always
// make the same archive.
func Pack(files []assay.PackFile) ([]byte, error) {
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b assay.PackFile) int { return strings.Compare(a.Path, b.Path) })
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, f := range sorted {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Size: int64(len(f.Data)), Mode: 0o644}); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.Path, err)
		}
		if _, err := archive.Write(f.Data); err != nil {
			return nil, fmt.Errorf("packing %s: %w", f.Path, err)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return nil, fmt.Errorf("packing rules: %w", err)
	}
	return out.Bytes(), nil
}

// Unpack reads the YAML files of a gzipped tar; other files are left out. It is
// Invalid for what is none, or too much.
func Unpack(archive []byte) ([]assay.PackFile, error) {
	if len(archive) > assay.MaxPackArchive {
		return nil, assay.Errorf(assay.Invalid, "the archive has %d bytes, at most %d", len(archive), assay.MaxPackArchive)
	}
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, assay.Errorf(assay.Invalid, "the archive is not a gzipped tar: %w", err)
	}
	// What is left out of the pack is read, too, and counts.
	reader := tar.NewReader(io.LimitReader(zip, 2*assay.MaxPackBytes))
	u := unpacked{known: map[string]bool{}}
	for entries := 0; ; entries++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return u.files, nil
		}
		if err != nil {
			return nil, assay.Errorf(assay.Invalid, "the archive cannot be read: %w", err)
		}
		if entries == maxEntries {
			return nil, assay.Errorf(assay.Invalid, "the archive has more than %d entries", maxEntries)
		}
		if err := u.take(header, reader); err != nil {
			return nil, err
		}
	}
}

// unpacked is what was taken out of an archive so far.
type unpacked struct {
	files []assay.PackFile
	known map[string]bool
	total int
}

func (u *unpacked) take(header *tar.Header, r io.Reader) error {
	if header.Typeflag != tar.TypeReg || !IsRuleFile(header.Name) {
		return nil
	}
	name, err := CleanPath(header.Name)
	if err != nil {
		return err
	}
	if u.known[name] {
		return assay.Errorf(assay.Invalid, "the archive has the file %q twice", name)
	}
	u.known[name] = true
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return assay.Errorf(assay.Invalid, "the archive's file %q cannot be read: %w", name, err)
	}
	u.files = append(u.files, assay.PackFile{Path: name, Data: data})
	u.total += len(data)
	return checkSize(len(u.files), u.total)
}

func checkSize(files, total int) error {
	if files > assay.MaxPackFiles {
		return assay.Errorf(assay.Invalid, "the pack has more than %d files", assay.MaxPackFiles)
	}
	if total > assay.MaxPackBytes {
		return assay.Errorf(assay.Invalid, "the pack's files have more than %d bytes", assay.MaxPackBytes)
	}
	return nil
}

// CleanPath is the path of a file within its pack. It is Invalid for what cannot
// be shown, or points outside.
func CleanPath(name string) (string, error) {
	clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if len(clean) > maxPath || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "/") {
		return "", assay.Errorf(assay.Invalid, "the archive names a file %.80q: use relative paths of at most %d bytes", name, maxPath)
	}
	if err := assay.CheckText("file name", clean, maxPath); err != nil {
		return "", err
	}
	return clean, nil
}
