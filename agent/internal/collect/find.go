package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFiles bounds what one import takes in.
const maxFiles = 1 << 20

// ErrNoFiles: nothing there to import.
var ErrNoFiles = errors.New("no .evtx or .xml file there")

// Find returns the files that paths name: files as they are, folders for all
// .evtx and .xml in them at any depth, in the order of their names. Links in
// folders are not followed.
func Find(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.Type().IsRegular() && importable(name) {
				files = append(files, name)
			}
			if len(files) > maxFiles {
				return fmt.Errorf("%s holds more than %d files", path, maxFiles)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: %w", strings.Join(paths, ", "), ErrNoFiles)
	}
	return files, nil
}

func importable(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".evtx", ".xml":
		return true
	}
	return false
}
