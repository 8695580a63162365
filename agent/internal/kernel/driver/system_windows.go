package driver

import (
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
)

// Running lists the processes that run, as far as they may be looked at. Create
// times are those that the driver tells, so that identities are the same.
func Running() []process.Process {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	var list []process.Process
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if p, ok := look(entry.ProcessID); ok {
			p.ParentPID = entry.ParentProcessID
			list = append(list, p)
		}
	}
	return list
}

// look is false for a process that is gone, or that may not be looked at at all.
func look(pid uint32) (process.Process, bool) {
	p := process.Process{PID: pid}
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return p, false
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	var created, exited, inKernel, inUser windows.Filetime
	if err := windows.GetProcessTimes(handle, &created, &exited, &inKernel, &inUser); err != nil {
		return p, false
	}
	p.Created = uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime)
	name := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(name))
	if err := windows.QueryFullProcessImageName(handle, 0, &name[0], &size); err == nil {
		p.Image = windows.UTF16ToString(name[:size])
	}
	_ = windows.ProcessIdToSessionId(pid, &p.Session)
	var token windows.Token
	if err := windows.OpenProcessToken(handle, windows.TOKEN_QUERY, &token); err == nil {
		if user, err := token.GetTokenUser(); err == nil {
			p.UserSID = user.User.Sid.String()
			p.User = Account(p.UserSID)
		}
		_ = token.Close()
	}
	return p, true
}

// Drives lists where devices are mounted.
func Drives() []event.Drive {
	mask, err := windows.GetLogicalDrives()
	if err != nil {
		return nil
	}
	var list []event.Drive
	target := make([]uint16, windows.MAX_PATH)
	for i := range 26 {
		if mask&(1<<i) == 0 {
			continue
		}
		letter := string(rune('A'+i)) + ":"
		name, err := windows.UTF16PtrFromString(letter)
		if err != nil {
			continue
		}
		n, err := windows.QueryDosDevice(name, &target[0], uint32(len(target)))
		if err != nil || n == 0 {
			continue
		}
		d := event.Drive{Device: windows.UTF16ToString(target), Letter: letter}
		if root, err := windows.UTF16PtrFromString(letter + `\`); err == nil {
			d.Removable = windows.GetDriveType(root) == windows.DRIVE_REMOVABLE
		}
		list = append(list, d)
	}
	return list
}

// Account names the account of a SID, "" where nobody knows it.
func Account(sid string) string {
	s, err := windows.StringToSid(sid)
	if err != nil {
		return ""
	}
	name, domain, _, err := s.LookupAccount("")
	switch {
	case err != nil:
		return ""
	case domain == "":
		return name
	}
	return domain + `\` + name
}
