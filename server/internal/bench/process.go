package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// process is a child whose CPU time and memory are its own account. Its standard
// input is the rope that it hangs on: it ends in order when that is closed, and so
// also when this process dies.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader

	mu    sync.Mutex
	tail  []byte // under mu: the end of what it wrote to standard error
	ended bool
}

// keptErrors is how much of a child's standard error is kept, in bytes.
const keptErrors = 4 << 10

// Write keeps the end of standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail = append(p.tail, b...)
	if over := len(p.tail) - keptErrors; over > 0 {
		p.tail = p.tail[over:]
	}
	return len(b), nil
}

func start(ctx context.Context, name, program string, env []string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.lines = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// line reads the next line of the child's standard output.
func (p *process) line() (string, error) {
	text, err := p.lines.ReadString('\n')
	if err != nil {
		return "", errors.Join(fmt.Errorf("%s ended before it said what was expected", p.name), p.wait())
	}
	return strings.TrimSuffix(text, "\n"), nil
}

// begin sends the line that a held child waits for.
func (p *process) begin() error {
	if _, err := io.WriteString(p.stdin, "\n"); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	return nil
}

// result reads a line of JSON.
func (p *process) result(to any) error {
	text, err := p.line()
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), to); err != nil {
		return fmt.Errorf("reading what %s said (%q): %w", p.name, text, err)
	}
	return nil
}

// close ends the child in order and waits for it.
func (p *process) close() error {
	_ = p.stdin.Close() // it may have ended by itself
	return p.wait()
}

func (p *process) wait() error {
	if p.ended {
		return nil
	}
	p.ended = true
	if err := p.cmd.Wait(); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return fmt.Errorf("running %s: %w: %s", p.name, err, strings.TrimSpace(string(p.tail)))
	}
	return nil
}

// cpu is what the child has spent, in seconds.
func (p *process) cpu() (float64, error) {
	times, _, ok := stat(p.cmd.Process.Pid)
	if !ok {
		return 0, fmt.Errorf("reading CPU time of %s: it is not there", p.name)
	}
	return float64(times[0]+times[1]) / clockTick, nil
}

// memory is what the child holds now and has held at most, in bytes.
func (p *process) memory() (now, most int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		kibs, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("reading memory of %s: %w", p.name, err)
		}
		if name == "VmRSS" {
			now = kibs << 10
		} else {
			most = kibs << 10
		}
	}
	return now, most, nil
}
