package enrol

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

func openNoFollow(name string) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	handle, err := windows.CreateFile(path, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING,
		windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(handle), name), nil
}

// checkOwner refuses what does not belong to SYSTEM, the administrators or the
// agent's own user. Who may read is the directory's inherited DACL, which setup
// grants to the first two alone.
func checkOwner(name string, _ fs.FileInfo, _ fs.FileMode) error {
	descriptor, err := windows.GetNamedSecurityInfo(name, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("reading owner of %s: %w", name, err)
	}
	owner, _, err := descriptor.Owner()
	if err != nil {
		return fmt.Errorf("reading owner of %s: %w", name, err)
	}
	if owner.IsWellKnown(windows.WinLocalSystemSid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) {
		return nil
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("reading the agent's user: %w", err)
	}
	if !owner.Equals(user.User.Sid) {
		return fmt.Errorf("%w: %s belongs to %s", ErrUnsafe, name, owner)
	}
	return nil
}
