package cli

import (
	"os"
	"path/filepath"
)

// stateDir is the default state directory.
func stateDir() string {
	root := os.Getenv("ProgramData")
	if root == "" {
		root = `C:\ProgramData`
	}
	return filepath.Join(root, "Assay", "Agent")
}
