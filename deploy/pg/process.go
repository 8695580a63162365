package pg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pollEvery is how often a state that only files and signals show is looked at.
const pollEvery = 10 * time.Millisecond

// process is one postmaster that we started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the postmaster has ended
}

// startProcess starts cmd and waits for its end on a thread of its own: the
// signal that a parent's death sends is tied to the thread that forked, which
// must therefore live as long as the child.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			// How it ended is told by its log; that it ended is all we need.
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// awaitReady returns when the postmaster says in its pid file that it accepts
// connections.
func (p *process) awaitReady(ctx context.Context, pidFile string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if pid, status := readPidFile(pidFile); pid == p.pid() && status == "ready" {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("the server ended: %s", p.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop asks for a fast shutdown and kills when ctx ends before it is done.
func (p *process) stop(ctx context.Context) error {
	if err := p.signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return p.kill()
	}
}

// kill ends the postmaster and its children with SIGKILL and waits until none
// is left: a survivor would hold the shared memory and refuse the next start.
func (p *process) kill() error {
	// Stopped first, the postmaster cannot fork a child that the list misses.
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	family := children(p.pid())
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	for _, pid := range family {
		// It may have ended already, which is what is wanted.
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.done
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	for _, pid := range family {
		if err := awaitGone(ctx, pid); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to postgres: %w", sig, err)
	}
	return nil
}

// clearStale removes what an earlier owner that was killed left: a postmaster
// that outlived it, or the pid file of one that did not. We hold the folder's
// lock, so neither can belong to a living owner.
func (s *Server) clearStale(ctx context.Context) error {
	pid, _ := readPidFile(s.pidFile())
	if pid == 0 {
		return nil
	}
	if s.ours(pid) {
		s.cfg.Logger.Info("stopping orphaned postgres", "dir", s.cfg.Dir, "pid", pid)
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping orphaned postgres %d: %w", pid, err)
		}
		if err := awaitGone(ctx, pid); err != nil {
			return err
		}
	}
	// Postgres checks only whether the pid exists, and it may be another
	// program's by now.
	if err := os.Remove(s.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a stale pid file: %w", err)
	}
	return nil
}

// ours says whether pid is a postmaster on our data: it works in that folder.
func (s *Server) ours(pid int) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil {
		return false
	}
	data, err := filepath.EvalSymlinks(s.dataDir())
	return err == nil && cwd == data
}

// awaitGone returns when no process pid is left.
func awaitGone(ctx context.Context, pid int) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if state := processState(pid); state == 0 || state == 'Z' {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to end: %w", pid, ctx.Err())
		}
	}
}

// readPidFile gives the pid and the status word of a postmaster.pid, zero and
// empty where it is absent or not yet written so far.
func readPidFile(path string) (pid int, status string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(text), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return 0, ""
	}
	if len(lines) > 7 {
		status = strings.TrimSpace(lines[7])
	}
	return pid, status
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, parent := readStat(child); parent == pid {
			found = append(found, child)
		}
	}
	return found
}

// processState is the state letter of a process, 0 when there is none.
func processState(pid int) byte {
	state, _ := readStat(pid)
	return state
}

// readStat reads a process's state letter and parent. The program's name before
// them is in brackets and may itself hold brackets and spaces.
func readStat(pid int) (state byte, parent int) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0
	}
	_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 {
		return 0, 0
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return 0, 0
	}
	return fields[0][0], parent
}
