package pg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInstalled tells that no Postgres server was found on this machine.
var ErrNotInstalled = errors.New("no PostgreSQL server is installed: run deploy/setup postgres")

type programs struct{ postgres, initdb string }

// findPrograms takes the newest of Debian's installations, and what is on PATH
// where there is none.
func findPrograms() (programs, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return programs{}, fmt.Errorf("looking for Postgres: %w", err)
	}
	slices.SortFunc(dirs, func(a, b string) int { return major(b) - major(a) })
	for _, dir := range dirs {
		found := programs{filepath.Join(dir, "postgres"), filepath.Join(dir, "initdb")}
		if executable(found.postgres) && executable(found.initdb) {
			return found, nil
		}
	}
	postgres, errPostgres := exec.LookPath("postgres")
	initdb, errInitdb := exec.LookPath("initdb")
	if errPostgres != nil || errInitdb != nil {
		return programs{}, ErrNotInstalled
	}
	return programs{postgres, initdb}, nil
}

// major is the version in /usr/lib/postgresql/15/bin, 0 where there is none.
func major(bin string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return n
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// runAs is the user that Postgres runs as. Postgres refuses to run as root, so
// root lends it an unprivileged one.
type runAs struct {
	name     string
	uid, gid uint32
	switched bool // false: we stay who we are
}

func chooseUser() (runAs, error) {
	if os.Geteuid() != 0 {
		return runAs{name: "uid " + strconv.Itoa(os.Geteuid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
		if errUID != nil || errGID != nil || uid == 0 {
			continue
		}
		return runAs{name: name, uid: uint32(uid), gid: uint32(gid), switched: true}, nil
	}
	return runAs{}, errors.New("choosing a user for Postgres: it does not run as root, and neither postgres nor nobody exists here")
}

// own gives path to the user that Postgres runs as.
func (r runAs) own(path string) error {
	if !r.switched {
		return nil
	}
	if err := os.Chown(path, int(r.uid), int(r.gid)); err != nil {
		return fmt.Errorf("giving %s to %s: %w", path, r.name, err)
	}
	return nil
}

// lastLines are the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
