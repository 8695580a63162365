package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// maxOutput bounds what is kept of a child's output, in bytes: the end of it.
const maxOutput = 8 << 20

// output is what a child wrote on one of its streams. Writers are the child's,
// readers wait on it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and made anew at each write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text.Len()+len(p) > maxOutput {
		o.text.Next(o.text.Len() / 2)
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// read is the text so far and what ends when there is more.
func (o *output) read() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// child is one process of ours.
type child struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr *output
	done           chan struct{} // closed when it has ended and all was read
	err            error         // of Wait; read after done
}

// start runs a program. It is killed when the test ends, and its output is shown
// when the test fails.
func start(t *testing.T, name string, args ...string) *child {
	t.Helper()
	return startWith(t, nil, name, args...)
}

// startWith is start with a standard input.
func startWith(t *testing.T, stdin io.Reader, name string, args ...string) *child {
	t.Helper()
	return startCommand(t, stdin, append([]string{program(t, name)}, args...)...)
}

// startCommand is startWith of any command.
func startCommand(t *testing.T, stdin io.Reader, command ...string) *child {
	t.Helper()
	c := &child{name: filepath.Base(command[0]) + " " + firstWord(command[1:]), stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
	c.cmd = exec.Command(command[0], command[1:]...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, c.stdout, c.stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.cmd.WaitDelay = 10 * time.Second
	started := make(chan error, 1)
	go func() {
		// The signal that a parent's death sends is tied to the thread that
		// forked, which must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("starting %s: %v", c.name, err)
	}
	t.Cleanup(func() {
		c.kill(t)
		if strings.Contains(c.stderr.String(), "WARNING: DATA RACE") {
			t.Errorf("%s has a data race:\n%s", c.name, tail(c.stderr.String(), 60))
		}
		// Exit code 1 is an answer, told by whoever asked.
		if code := c.cmd.ProcessState.ExitCode(); t.Failed() && code != 0 && code != 1 {
			t.Logf("%s (pid %d), %s, wrote:\n%s", c.name, c.cmd.Process.Pid, c.cmd.ProcessState, tail(c.stdout.String()+c.stderr.String(), 60))
		}
	})
	return c
}

func firstWord(args []string) string {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			return a
		}
	}
	return ""
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// kill ends the child with SIGKILL, if it lives, and waits until it is gone.
func (c *child) kill(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGKILL)
	<-c.done
}

// stop asks the child to end and waits until it has.
func (c *child) stop(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGTERM)
	c.wait(t, 30*time.Second)
}

func (c *child) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	select {
	case <-c.done:
		return
	default:
	}
	if err := c.cmd.Process.Signal(sig); err != nil && !strings.Contains(err.Error(), "already finished") {
		t.Fatalf("sending %s to %s: %v", sig, c.name, err)
	}
}

// ended reports whether the child has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// wait returns the exit code of the child, which must end within that time. One
// that was killed has -1.
func (c *child) wait(t *testing.T, within time.Duration) int {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		t.Fatalf("%s did not end within %s", c.name, within)
	}
	var exit *exec.ExitError
	if c.err != nil && !errors.As(c.err, &exit) {
		t.Fatalf("running %s: %v", c.name, c.err)
	}
	return c.cmd.ProcessState.ExitCode()
}

// awaitLine returns when o holds the text. A child that ends without having
// written it fails the test.
func (c *child) awaitLine(t *testing.T, o *output, text string, within time.Duration) {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		so, changed := o.read()
		if strings.Contains(so, text) {
			return
		}
		select {
		case <-changed:
		case <-c.done:
			if !strings.Contains(o.String(), text) {
				t.Fatalf("%s ended without writing %q", c.name, text)
			}
			return
		case <-timer.C:
			t.Fatalf("%s did not write %q within %s", c.name, text, within)
		}
	}
}

// pollEvery is how often a state that tells nobody is looked at.
const pollEvery = 20 * time.Millisecond

// await returns when ok is true. ok says what it saw, for the failure.
func await(t *testing.T, what string, within time.Duration, ok func(ctx context.Context) (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := ""
	for {
		good, saw := ok(ctx)
		if good {
			return
		}
		if ctx.Err() == nil {
			last = saw
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waiting %s: %s; at last: %s", within, what, last)
		}
	}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, tail(r.stdout, 20), tail(r.stderr, 20))
}

// run runs a program to its end.
func run(t *testing.T, within time.Duration, name string, args ...string) result {
	t.Helper()
	c := start(t, name, args...)
	code := c.wait(t, within)
	return result{code, c.stdout.String(), c.stderr.String()}
}

// mustRun is run of what has to succeed.
func mustRun(t *testing.T, within time.Duration, name string, args ...string) result {
	t.Helper()
	r := run(t, within, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: %s", name, strings.Join(args, " "), r)
	}
	return r
}
