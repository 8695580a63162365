//go:build unix

package enrol

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func openNoFollow(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a link", ErrUnsafe, name)
	}
	return f, err
}

// checkOwner refuses what belongs to somebody else or grants others forbidden bits.
func checkOwner(name string, info fs.FileInfo, forbidden fs.FileMode) error {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() && s.Uid != 0 {
		return fmt.Errorf("%w: %s belongs to user %d, not to the agent's", ErrUnsafe, name, s.Uid)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return fmt.Errorf("%w: %s has mode %04o, which lets others in; run: chmod %04o %s", ErrUnsafe, name, mode, mode&^forbidden, name)
	}
	return nil
}
