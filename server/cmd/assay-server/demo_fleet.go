package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// childPatience is how long a child may take to end in order.
const childPatience = 15 * time.Second

// backfilledLine is what `assay-agent fleet` prints on standard output when all
// hosts' past is committed.
const backfilledLine = "backfilled"

// agentProgram finds assay-agent beside this program, or on the path.
func agentProgram() (string, error) {
	self, err := os.Executable()
	if err == nil {
		beside := filepath.Join(filepath.Dir(self), "assay-agent")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	found, err := exec.LookPath("assay-agent")
	if err != nil {
		return "", errors.New("the demonstration needs the program assay-agent beside assay-server: make build")
	}
	return found, nil
}

// command is a child that ends in order when ctx does.
func (d *demo) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	program, err := agentProgram()
	if err != nil {
		return nil, err
	}
	child := exec.CommandContext(ctx, program, args...)
	child.Stderr = d.env.stderr
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = childPatience
	return child, nil
}

// fleet is the child that simulates hosts.
type fleet struct {
	child *exec.Cmd
	done  chan struct{} // closed when the past is committed
	ended chan struct{} // closed when the child has ended; err says how
	err   error
}

func (d *demo) startFleet(ctx context.Context) (*fleet, error) {
	if err := d.approveDevices(ctx); err != nil {
		return nil, err
	}
	args := []string{"fleet", "--hosts", strconv.Itoa(d.Hosts), "--dir", filepath.Join(d.Data, "fleet"),
		"--server", d.server.agents.Addr().String(), "--ca-hash", d.server.authority.Hash(), "--token-file", d.tokenFile}
	if d.Once {
		args = append(args, "--once")
	}
	child, err := d.command(ctx, args...)
	if err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the fleet: %w", err)
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("starting the fleet: %w", err)
	}
	f := &fleet{child: child, done: make(chan struct{}), ended: make(chan struct{})}
	go f.watch(out)
	return f, nil
}

// watch reads the child's output to its end, then waits for it.
func (f *fleet) watch(out io.Reader) {
	lines := bufio.NewScanner(out)
	told := false
	for lines.Scan() {
		if !told && strings.HasPrefix(lines.Text(), backfilledLine) {
			told = true
			close(f.done)
		}
	}
	f.err = f.child.Wait()
	close(f.ended)
}

func (f *fleet) backfilled(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.done:
		return nil
	case <-f.ended:
		select {
		case <-f.done:
			return nil
		default:
			return fmt.Errorf("the fleet ended before its past was sent: %w", errors.Join(f.err, errors.New("see above")))
		}
	}
}

// stop ends the child and waits for it.
func (f *fleet) stop() error {
	if err := f.child.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending the fleet: %w", err)
	}
	<-f.ended
	return nil
}

func (f *fleet) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		<-f.ended
		return ctx.Err()
	case <-f.ended:
		return fmt.Errorf("the fleet ended: %w", errors.Join(f.err, errors.New("see above")))
	}
}

// deviceList is the list that the check of removable media reads.
const deviceList = "removable_devices"

// approveDevices sets the list of devices that the fleet's people may connect.
func (d *demo) approveDevices(ctx context.Context) error {
	changes, err := d.db.PolicyChanges(ctx, 0)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Kind == assay.PolicyList && c.Name == deviceList {
			return nil
		}
	}
	child, err := d.command(ctx, "fleet", "--approved-devices")
	if err != nil {
		return err
	}
	out, err := child.Output()
	if err != nil {
		return fmt.Errorf("asking the fleet for its devices: %w", err)
	}
	// The folders whose changes must be seen: only the organisation can say them.
	if _, err := d.db.ChangePolicy(ctx, assay.PolicyChange{
		Kind: assay.PolicyParameter, Name: "fim.live/paths", Values: []string{`C:\Windows\System32`, `C:\Program Files`}, By: operator,
	}); err != nil {
		return err
	}
	_, err = d.db.ChangePolicy(ctx, assay.PolicyChange{
		Kind: assay.PolicyList, Name: deviceList, Values: strings.Split(strings.TrimSpace(string(out)), "\n"), Owner: "demonstration", By: operator,
		From: d.env.now().UTC().AddDate(-1, 0, 0).Truncate(time.Second),
	})
	return err
}

// importLogs imports exported logs with an agent of their own.
func (d *demo) importLogs(ctx context.Context) error {
	dir := filepath.Join(d.Data, "importer")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		child, err := d.command(ctx, "enrol", "--dir", dir, "--server", d.server.agents.Addr().String(), "--ca-hash", d.server.authority.Hash(), "--token-file", d.tokenFile)
		if err != nil {
			return err
		}
		child.Stdout = d.env.stderr
		if err := child.Run(); err != nil {
			return fmt.Errorf("enrolling the importer: %w", err)
		}
	}
	child, err := d.command(ctx, append([]string{"import", "--dir", dir, "--server", d.server.agents.Addr().String()}, d.Evtx...)...)
	if err != nil {
		return err
	}
	child.Stdout = d.env.stderr
	var exit *exec.ExitError
	if err := child.Run(); errors.As(err, &exit) && exit.ExitCode() == 1 {
		d.say("some of the logs are damaged; what could be read was imported")
		return nil
	} else if err != nil {
		return fmt.Errorf("importing logs: %w", err)
	}
	return nil
}
