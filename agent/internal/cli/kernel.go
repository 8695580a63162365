package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/driver"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/kerneldump"
)

type kernelCommand struct {
	Status  kernelStatusCommand  `cmd:"" help:"Show what the kernel driver says of itself."`
	Dump    kernelDumpCommand    `cmd:"" help:"Print the driver's records as they come."`
	Decode  kernelDecodeCommand  `cmd:"" help:"Print the records of a captured buffer; on any system."`
	Filters kernelFiltersCommand `cmd:"" help:"What the driver is told to leave out."`
	Unload  kernelUnloadCommand  `cmd:"" help:"Let the driver be stopped, for an upgrade or for good."`
}

type kernelStatusCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is the command's long help.
func (kernelStatusCommand) Help() string {
	return `The device opens only to the system and the agent's service. It may be asked while the agent runs.

Examples:
  assay-agent kernel status
  assay-agent kernel status --json`
}

func (c *kernelStatusCommand) Run(e *env) error {
	port, err := driver.Open()
	if err != nil {
		return err
	}
	d, err := driver.Describe(port)
	if err = errors.Join(err, port.Close()); err != nil {
		return err
	}
	status := kerneldump.NewStatus(&d)
	if c.JSON {
		return printJSON(e.stdout, status)
	}
	return status.Print(e.stdout)
}

type kernelUnloadCommand struct{}

// Help is the command's long help.
func (kernelUnloadCommand) Help() string {
	return `The driver refuses to be stopped, and records who asked, until this is said. It holds for the driver that is loaded now.
It does not stop it: stop the agent, then the driver.

Examples:
  assay-agent kernel unload && sc stop assay-agent && sc stop assay`
}

func (c *kernelUnloadCommand) Run(e *env) error {
	port, err := driver.Open()
	if err != nil {
		return err
	}
	if err = errors.Join(driver.AllowUnload(port), port.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "The driver may be stopped now: stop the agent, then sc stop assay.")
	return err
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// recordFlags say how records are printed.
type recordFlags struct {
	JSON   bool `name:"json" help:"One JSON object a line."`
	Events bool `help:"Print what the agent makes of the records, as JSON."`
}

func (f *recordFlags) printer(w io.Writer) *kerneldump.Printer {
	return &kerneldump.Printer{W: w, JSON: f.JSON, Events: f.Events}
}

type kernelDumpCommand struct {
	recordFlags
	Count int           `help:"End after so many records; 0: never." default:"0" placeholder:"N"`
	For   time.Duration `help:"End after this time; 0: never." default:"0s" placeholder:"TIME"`
	Ack   bool          `help:"Acknowledge what is printed: the driver frees it, and no agent will ever have it."`
}

// Help is the command's long help.
func (kernelDumpCommand) Help() string {
	return `Stop the agent first: the driver has one reader. Nothing is acknowledged, so the driver gives all of it again to the agent,
but loses, with a gap, what finds no room meanwhile. With --ack what is printed is gone for the agent.

Examples:
  assay-agent kernel dump --for 10s
  assay-agent kernel dump --json --count 100 > records.jsonl
  assay-agent kernel dump --ack --for 1m > records.txt`
}

func (c *kernelDumpCommand) Run(e *env) error {
	if c.Count < 0 || c.For < 0 {
		return errors.New("--count and --for are not below 0")
	}
	port, err := driver.Open()
	if err != nil {
		return err
	}
	ctx := e.ctx
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	return kerneldump.Live(ctx, port, c.Count, c.Ack, c.printer(e.stdout))
}

type kernelDecodeCommand struct {
	recordFlags
	File string `arg:"" help:"Answers to reads, one behind the other, or bare records." type:"existingfile"`
}

// Help is the command's long help.
func (kernelDecodeCommand) Help() string {
	return `Examples:
  assay-agent kernel decode capture.bin
  assay-agent kernel decode --json capture.bin | jq .
  assay-agent kernel decode --events capture.bin`
}

// maxCapture bounds a captured buffer.
const maxCapture = 1 << 30

func (c *kernelDecodeCommand) Run(e *env) error {
	info, err := os.Stat(c.File)
	if err != nil {
		return err
	}
	if info.Size() > maxCapture {
		return fmt.Errorf("%s has %d bytes, at most %d are read", c.File, info.Size(), maxCapture)
	}
	b, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	if err := kerneldump.Decode(b, c.printer(e.stdout)); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}

type kernelFiltersCommand struct {
	Check kernelFiltersCheckCommand `cmd:"" help:"Check a set of filters; on any system."`
	Set   kernelFiltersSetCommand   `cmd:"" help:"Put a set of filters in force, for this start and the next ones."`
}

const filtersHelp = `A set is JSON. The driver decides by kind and by the beginning of a name; anything else is the policy's to filter.
  {"record": ["key_created"],                               kinds that are not recorded by default
   "skip": ["file_mapped"],                                 kinds that are not recorded at all
   "exclude": [{"class": "file", "kinds": ["file_written"], "prefixes": ["C:\\Windows\\Temp\\"], "why": "noise"},
               {"class": "registry", "prefixes": ["HKLM\\SOFTWARE\\Vendor\\"]}],
   "own": ["C:\\ProgramData\\Assay\\"],                     what others change there is tampering
   "no_payload": false}
Classes with names are process (by image), image, registry and file.

`

type kernelFiltersCheckCommand struct {
	File string `arg:"" help:"The set, as JSON." type:"existingfile"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is the command's long help.
func (kernelFiltersCheckCommand) Help() string {
	return filtersHelp + `Where a drive is not mounted, or on another system than Windows, its letter is taken as it is: the digest then is not
the one that a host reports.

Examples:
  assay-agent kernel filters check filters.json`
}

// filterReport is what a set amounts to.
type filterReport struct {
	Digest     string `json:"digest"`
	Generation string `json:"generation"`
	Excludes   int    `json:"excludes"`
	Bytes      int    `json:"bytes"`
	Payload    bool   `json:"payload"`
}

func (c *kernelFiltersCheckCommand) Run(e *env) error {
	blob, err := loadFilters(c.File, driver.Drives(), true)
	if err != nil {
		return err
	}
	r := filterReport{blob.Digest, fmt.Sprintf("%x", blob.Generation), blob.Excludes, len(blob.Bytes), blob.Payload}
	if c.JSON {
		return printJSON(e.stdout, r)
	}
	_, err = fmt.Fprintf(e.stdout, "good: %d prefixes in %d bytes, digest %s\n", r.Excludes, r.Bytes, r.Digest)
	return err
}

// filtersFile is where the filters for the driver lie in a state directory.
func filtersFile(dir string) string { return filepath.Join(dir, "kernel-filters.json") }

// loadFilters reads and encodes a set. loose takes letters of drives that are not
// mounted as they are.
func loadFilters(file string, drives []event.Drive, loose bool) (*kernel.FilterBlob, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	set, err := kernel.ReadFilters(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	blob, err := set.Encode(func(path string) (string, error) {
		for _, d := range drives {
			if strings.EqualFold(path[:2], d.Letter) {
				return d.Device + path[2:], nil
			}
		}
		if loose {
			return `\Device\` + path, nil
		}
		return "", fmt.Errorf("drive %s is not mounted", path[:2])
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return blob, nil
}

// stateFilters are the filters of a state directory, nil where there are none.
func stateFilters(dir string, drives []event.Drive) (*kernel.FilterBlob, error) {
	blob, err := loadFilters(filtersFile(dir), drives, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return blob, err
}

type kernelFiltersSetCommand struct {
	state
	File string `arg:"" help:"The set, as JSON." type:"existingfile"`
}

// Help is the command's long help.
func (kernelFiltersSetCommand) Help() string {
	return filtersHelp + `The set is kept in the state directory and given to the driver at each of its starts. A driver that is loaded gets it at
once. One that refuses it keeps the last good one.

Examples:
  assay-agent kernel filters set filters.json`
}

func (c *kernelFiltersSetCommand) Run(e *env) error {
	blob, err := loadFilters(c.File, driver.Drives(), false)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Dir); err != nil {
		return fmt.Errorf("the state directory: %w", err)
	}
	if _, err := tellFilters(blob); err != nil {
		return err
	}
	// Kept only once the driver, where there is one, has taken it.
	if err := keepFilters(c.Dir, text); err != nil {
		return fmt.Errorf("keeping the filters: %w", err)
	}
	// An agent that runs gives the driver what is kept, now and then: it may have given
	// it the old set again before the new one was kept.
	told, err := tellFilters(blob)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s\ndigest %s\n", told, blob.Digest)
	return err
}

// keepFilters replaces the set of a state directory.
func keepFilters(dir string, text []byte) error {
	temporary := filtersFile(dir) + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filtersFile(dir))
}

// tellFilters puts a set in force where there is a driver.
func tellFilters(blob *kernel.FilterBlob) (told string, err error) {
	port, err := driver.Open()
	switch {
	case errors.Is(err, driver.ErrAbsent), errors.Is(err, driver.ErrUnsupported):
		return "kept for the driver's next start: it is not loaded", nil
	case err != nil:
		return "", err
	}
	_, err = port.Control(kernel.ControlFilters, blob.Bytes, 0)
	if err = errors.Join(err, port.Close()); err != nil {
		return "", fmt.Errorf("the driver refuses the filters and keeps those it has: %w", err)
	}
	return "in force", nil
}
