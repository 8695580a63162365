package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/assay-audit/assay/agent/evtx"
)

// maxArchivedLog bounds one event log in an archive, in bytes: it is read into
// memory. Logs on the disk are read where they are.
const maxArchivedLog = 1 << 30

// readLogs opens the event logs that paths name, in order, one at a time. Names
// are relative to the folder or archive that was named. What is no event log by
// its content is left out of folders and archives, and refused where it was named.
func readLogs(paths []string, do func(name string, file *evtx.File) error) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			err = readLogFolder(path, do)
		case strings.HasSuffix(strings.ToLower(path), ".gz"), strings.HasSuffix(strings.ToLower(path), ".tgz"):
			err = readLogArchive(path, do)
		default:
			if err = readLog(path, filepath.Base(path), do); errors.Is(err, evtx.ErrNotEVTX) {
				err = fmt.Errorf("%s is no event log", path)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readLogFolder(dir string, do func(string, *evtx.File) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading event logs: %w", err)
		}
		if !entry.Type().IsRegular() || !strings.EqualFold(filepath.Ext(path), ".evtx") {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return fmt.Errorf("reading event logs: %w", err)
		}
		if err := readLog(path, filepath.ToSlash(name), do); !errors.Is(err, evtx.ErrNotEVTX) {
			return err
		}
		return nil
	})
}

func readLog(path, name string, do func(string, *evtx.File) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return openLog(file, info.Size(), name, do)
}

func openLog(r io.ReaderAt, size int64, name string, do func(string, *evtx.File) error) error {
	log, err := evtx.Open(r, size, evtx.Options{})
	if err != nil {
		return err
	}
	return do(name, log)
}

func readLogArchive(path string, do func(string, *evtx.File) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	zip, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("%s is no gzipped tar: %w", path, err)
	}
	archive := tar.NewReader(zip)
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if entry.Typeflag != tar.TypeReg || !strings.EqualFold(filepath.Ext(entry.Name), ".evtx") {
			continue
		}
		if entry.Size > maxArchivedLog {
			return fmt.Errorf("%s in %s has %d bytes, at most %d in an archive: unpack it", entry.Name, path, entry.Size, maxArchivedLog)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if err := openLog(bytes.NewReader(data), int64(len(data)), strings.TrimPrefix(entry.Name, "./"), do); err != nil && !errors.Is(err, evtx.ErrNotEVTX) {
			return err
		}
	}
}
