//go:build wine

package winetest

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
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/internal/kernel"
)

// patience bounds every wait: it is for a machine that does much else.
const patience = time.Minute

// pause is between two questions of a wait.
const pause = 10 * time.Millisecond

// Where driver/test/wine/agent put things: Wine's loader, what runs under it, and
// the prefix, which nobody else uses.
var (
	wine   = os.Getenv("ASSAY_WINE")
	double = os.Getenv("ASSAY_DOUBLE")
	prefix = os.Getenv("WINEPREFIX")
)

func TestMain(m *testing.M) {
	if wine == "" || double == "" || prefix == "" {
		fmt.Fprintln(os.Stderr, "make -C driver agent runs these tests: it makes what they need")
		os.Exit(1)
	}
	// Without a program a Wine session ends, and what it loaded with it.
	holder := exec.Command(wine, "cmd")
	input, err := holder.StdinPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "opening a Wine session:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = input.Close()
	_ = holder.Wait()
	os.Exit(code)
}

// player makes kernel activity happen, and installs the driver as the service
// manager does: driver/test/wine/scenario/serve.c.
type player struct {
	t       testing.TB
	input   io.Writer
	answers chan []string // lines up to ok or error
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	command := exec.Command(wine, filepath.Join(double, "scenario.exe"), "--serve")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, input: input, answers: make(chan []string, 16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.answers)
		p.listen(output)
	}()
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Process.Kill() // it may be busy with what hangs
		<-done
		_ = command.Wait()
	})
	p.must("forget")
	t.Cleanup(func() { p.must("forget") })
	return p
}

func (p *player) listen(output io.Reader) {
	var lines []string
	for scan := bufio.NewScanner(output); scan.Scan(); {
		line := strings.TrimSpace(scan.Text())
		lines = append(lines, line)
		if word, _, _ := strings.Cut(line, " "); word != "ok" && word != "error" {
			continue
		}
		p.answers <- lines
		lines = nil
	}
}

// say makes one request. What failed is in the error.
func (p *player) say(words ...string) (string, error) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.input, strings.Join(words, " ")); err != nil {
		p.t.Fatal(err)
	}
	select {
	case lines, ok := <-p.answers:
		if !ok {
			p.t.Fatalf("%v: the player is gone", words)
		}
		answer, good := strings.CutPrefix(lines[len(lines)-1], "ok")
		if !good {
			return "", fmt.Errorf("%v: %s", words, strings.Join(lines, "; "))
		}
		return answer, nil
	case <-time.After(patience):
		p.t.Fatalf("%v: the player does not answer", words)
	}
	return "", nil
}

func (p *player) must(words ...string) string {
	p.t.Helper()
	answer, err := p.say(words...)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

func (p *player) play(act string, words ...string) {
	p.t.Helper()
	p.must(append([]string{"play", act}, words...)...)
}

// standing is what the driver says of itself: its load, and its rings.
type standing struct {
	load  uint64
	rings [kernel.Classes]kernel.RingCounts
}

func (p *player) standing() standing {
	p.t.Helper()
	fields := strings.Fields(p.must("rings"))
	var numbers []uint64
	for _, field := range fields {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) != 1+7*int(kernel.Classes) {
		p.t.Fatalf("the rings are %v", fields)
	}
	s := standing{load: numbers[0]}
	for i := range s.rings {
		n := numbers[1+7*i:]
		s.rings[i] = kernel.RingCounts{Posted: n[0], Delivered: n[1], Queued: n[2], Lost: n[3], Filtered: n[4], Held: n[5], Size: n[6]}
	}
	return s
}

// posted is how many records there were in all, and how many of them are still there.
func (s standing) posted() (posted, queued uint64) {
	for _, ring := range s.rings {
		posted, queued = posted+ring.Posted, queued+ring.Queued
	}
	return posted, queued
}

// until asks how the driver stands until it is so.
func (p *player) until(what string, ok func(standing) bool) standing {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		s := p.standing()
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("it never came to it that %s: %+v", what, s)
		}
		<-time.After(pause)
	}
}

// all is true once every record is acknowledged, and its room free again.
func all(s standing) bool {
	for _, ring := range s.rings {
		if ring.Held != 0 || ring.Posted != ring.Delivered+ring.Lost {
			return false
		}
	}
	return true
}

// run runs a command of the agent. It goes by files: what Wine starts on the side
// would hold a pipe open.
func run(t *testing.T, args ...string) (out, errs string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, wine, append([]string{filepath.Join(double, "assay-agent.exe")}, args...)...)
	dir := t.TempDir()
	var files [2]*os.File
	for i := range files {
		if files[i], err = os.Create(filepath.Join(dir, strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = files[i].Close() }()
	}
	command.Stdout, command.Stderr = files[0], files[1]
	err = command.Run()
	var texts [2]string
	for i, file := range files {
		text, readErr := os.ReadFile(file.Name())
		if readErr != nil {
			t.Fatal(readErr)
		}
		texts[i] = string(text)
	}
	return texts[0], texts[1], err
}

// agent runs a command of the agent that is to succeed.
func agent(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := run(t, args...)
	if err != nil {
		t.Fatalf("assay-agent %v: %v\n%s%s", args, err, out, errs)
	}
	return out
}

// folder makes a folder on the prefix's drive; it says where it is on either side.
func folder(t *testing.T) (here, there string) {
	t.Helper()
	here, err := os.MkdirTemp(filepath.Join(prefix, "drive_c"), "state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(here); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	return here, `C:\` + filepath.Base(here)
}
