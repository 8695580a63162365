package e2e

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// programs are the three under test, built once for the whole run.
type programs struct {
	once sync.Once
	dir  string
	made bool // by us, so that we remove it
	err  error
}

var built programs

// atOnce is how many drills run beside each other: more than there are cores, as
// a drill spends most of its time waiting for a lease to end or a timer to ring.
const atOnce = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if err := widen(); err != nil {
		fmt.Fprintln(os.Stderr, "running drills beside each other:", err)
		os.Exit(1)
	}
	code := m.Run()
	for _, p := range []*programs{&built, &clocked} {
		if !p.made {
			continue
		}
		if err := os.RemoveAll(p.dir); err != nil {
			fmt.Fprintln(os.Stderr, "removing the programs:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// widen lets atOnce drills run, unless -parallel says otherwise.
func widen() error {
	const name = "test.parallel"
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == name })
	if asked {
		return nil
	}
	return flag.Set(name, strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0))))
}

// program is the path of one of the programs.
func program(t *testing.T, name string) string {
	t.Helper()
	built.once.Do(built.build)
	if built.err != nil {
		t.Fatalf("building the programs: %v", built.err)
	}
	return filepath.Join(built.dir, name)
}

func (p *programs) build() {
	if given := os.Getenv("ASSAY_DRILL_BIN"); given != "" {
		p.dir = given
		return
	}
	if p.err = consult(root); p.err != nil {
		return
	}
	p.made = true
	if p.dir, p.err = os.MkdirTemp("", "assay-e2e-bin-"); p.err != nil {
		return
	}
	args := []string{"build", "-o", p.dir + string(filepath.Separator)}
	if os.Getenv("ASSAY_DRILL_RACE") == "1" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./server/cmd/assay-server", "./server/cmd/assayctl", "./agent/cmd/assay-agent")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		p.err = fmt.Errorf("%w\n%s", err, out)
	}
}

// root is the repository's.
var root = filepath.Join("..", "..")

// consult looks at every file that the programs are built from. go test takes an
// old result only where nothing has changed that the test looked at, and cannot
// know what a process that we start reads.
func consult(root string) error {
	for _, folder := range []string{"agent", "server", "proto", "migrations", "web", "deploy/pg", "go.mod", "go.sum"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.Name() == "node_modules":
				return fs.SkipDir
			case entry.Type().IsRegular():
				_, err = os.Stat(name)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("looking at %s: %w", folder, err)
		}
	}
	return nil
}

// reduced reports whether the short form of a drill was asked for.
func reduced(t *testing.T) bool {
	t.Helper()
	switch mode := os.Getenv("ASSAY_DRILL"); mode {
	case "full":
		return false
	case "short":
		return true
	case "":
		return testing.Short()
	default:
		t.Fatalf("ASSAY_DRILL is %q: it is full, short or unset", mode)
		return false
	}
}
