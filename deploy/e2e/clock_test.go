package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestClocks sets the clocks of an agent's host and of the server's, ahead and back,
// while a batch is on the wire between them, and has a further import begin and the
// server start anew while they are wrong. What cannot be delivered meanwhile, because
// certificates are not valid at such times, is delivered when the clock is right.
func TestClocks(t *testing.T) {
	t.Parallel()
	const records = 1_500
	jumps := []struct {
		whose string
		by    time.Duration
	}{
		{"host", 3 * time.Hour}, {"host", -3 * time.Hour}, {"host", 60 * time.Hour}, {"host", -60 * time.Hour},
		{"server", 3 * time.Hour}, {"server", -3 * time.Hour}, {"server", 60 * time.Hour}, {"server", -60 * time.Hour},
	}
	if reduced(t) {
		jumps = append(jumps[2:4], jumps[6:]...)
	}
	d := newClocks(t)
	made := generate(t, d.path("logs"), 3*len(jumps), 3*int64(len(jumps))*records)
	d.folders = made.folders
	for _, j := range jumps {
		began := time.Now()
		d.jump(t, j.whose, j.by)
		t.Logf("the %s's clock was set by %s, and right again: all was committed %.1f s later", j.whose, j.by, time.Since(began).Seconds())
	}
	if len(d.folders) > 0 {
		d.agent.startImport(t, d.folders...).whole(t)
	}
	d.login(t) // the server has been in the future, where sessions are over
	d.holds(t, made)
}

// clocks is an installation whose clocks are set by files.
type clocks struct {
	*world
	wire    *proxy
	agent   *agent
	folders fresh
}

func newClocks(t *testing.T) *clocks {
	t.Helper()
	programs := clockedPrograms(t)
	d := &clocks{world: newDatabase(t)}
	d.initialise(t)
	d.set(t, "host", 0)
	d.set(t, "server", 0)
	d.server = d.newServer(t)
	d.server.within = []string{"env", "DRILL_CLOCK=" + d.path("clock-server")}
	d.server.program = filepath.Join(programs, "assay-server")
	d.server.start(t)
	d.login(t)
	address := freeAddress(t)
	d.wire = startProxy(t, "tcp", address, func() (net.Conn, error) { return net.Dial("tcp", d.server.agents) })
	d.agent = &agent{world: d.world, dir: d.path("agent-clocked"), program: []string{
		"env", "DRILL_CLOCK=" + d.path("clock-host"), filepath.Join(programs, "assay-agent"),
	}}
	args := d.enrolArgsAt(address, d.agent.dir, d.token(t, "clocked", "enrol", "import"))
	mustRun(t, promptly, "assay-agent", args...)
	return d
}

// set sets a clock. It is replaced as a whole: a program reads either.
func (d *clocks) set(t *testing.T, whose string, by time.Duration) {
	t.Helper()
	next := d.write(t, "clock-next-"+whose, by.String())
	if err := os.Rename(next, d.path("clock-"+whose)); err != nil {
		t.Fatal(err)
	}
}

// jump sets a clock while a batch is on the wire, and sets it right in the end.
func (d *clocks) jump(t *testing.T, whose string, by time.Duration) {
	t.Helper()
	d.wire.arm(stallAll, 20<<10)
	during := d.agent.startImport(t, d.folders.next())
	d.wire.awaitStruck(t)
	d.set(t, whose, by)
	d.wire.goOn()
	d.awaitTold(t, during)
	if during.ended() {
		during.whole(t)
		during = d.agent.startImport(t, d.folders.next())
		d.awaitTold(t, during)
	}
	if whose == "server" {
		d.server.child.stop(t)
		d.server.start(t)
	}
	d.set(t, whose, 0)
	during.whole(t)
	d.agent.startImport(t, d.folders.next()).whole(t)
}

// awaitTold waits until an import has ended, or has said that there is no connection.
func (d *clocks) awaitTold(t *testing.T, i importing) {
	t.Helper()
	await(t, "an import to end or to say why it cannot", promptly, func(context.Context) (bool, string) {
		return i.ended() || strings.Contains(i.stderr.String(), "events are kept"), tail(i.stderr.String(), 5)
	})
}

var clocked programs

// clockedPrograms builds agent and server with a clock that a file sets.
func clockedPrograms(t *testing.T) (dir string) {
	t.Helper()
	clocked.once.Do(clocked.buildClocked)
	if clocked.err != nil {
		t.Fatalf("building programs with clocks that can be set: %v", clocked.err)
	}
	return clocked.dir
}

// buildClocked replaces the one place of each program that says which clock it has.
func (p *programs) buildClocked() {
	if p.err = consult(root); p.err != nil {
		return
	}
	p.made = true
	if p.dir, p.err = os.MkdirTemp("", "assay-e2e-clocked-"); p.err != nil {
		return
	}
	clock, err := os.ReadFile(filepath.Join("testdata", "clock.go.txt"))
	if err != nil {
		p.err = err
		return
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for at, name := range map[string]string{"agent/internal/cli/cli.go": "cli", "server/cmd/assay-server/main.go": "main"} {
		if p.err = p.overlay(overlay.Replace, at, name, clock); p.err != nil {
			return
		}
	}
	list, err := json.Marshal(overlay)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "overlay.json"), list, 0o600)
	}
	if err != nil {
		p.err = err
		return
	}
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(p.dir, "overlay.json"), "-o", p.dir+string(filepath.Separator), "./server/cmd/assay-server", "./agent/cmd/assay-agent")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		p.err = fmt.Errorf("%w\n%s", err, out)
	}
}

// overlay says what replaces a file of the repository, and adds the clock beside it.
func (p *programs) overlay(replace map[string]string, at, packageName string, clock []byte) error {
	source, err := filepath.Abs(filepath.Join(root, at))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	changed := bytes.ReplaceAll(text, []byte("now: time.Now}"), []byte("now: setClock}"))
	if bytes.Count(text, []byte("time.Now")) != 1 || bytes.Contains(changed, []byte("time.Now")) {
		return fmt.Errorf("%s no longer has its clock in one place", at)
	}
	for name, content := range map[string][]byte{
		source: changed,
		filepath.Join(filepath.Dir(source), "drill_clock.go"): bytes.Replace(clock, []byte("PACKAGE"), []byte(packageName), 1),
	} {
		file := filepath.Join(p.dir, packageName+"-"+filepath.Base(name))
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
		replace[name] = file
	}
	return nil
}
