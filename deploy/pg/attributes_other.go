//go:build unix && !linux

package pg

import "syscall"

// attributes start a program in a process group of its own, so that a ^C meant
// for us does not reach it. Nothing here ends it with this process: the next
// start on the same folder does.
func (r runAs) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if r.switched {
		attributes.Credential = &syscall.Credential{Uid: r.uid, Gid: r.gid}
	}
	return attributes
}
