package pg

import "syscall"

// attributes start a program in a process group of its own, so that a ^C meant
// for us does not reach it, and end it when this process ends however it does.
func (r runAs) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if r.switched {
		attributes.Credential = &syscall.Credential{Uid: r.uid, Gid: r.gid}
	}
	return attributes
}
