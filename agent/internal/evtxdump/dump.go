// Package evtxdump owns the dump command: it prints the records of exported
// event logs, as JSON lines for programs or as text for people, and says on
// standard error what is wrong with the files. It never changes a file.
package evtxdump

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/winevent"
)

// checkEvery is how many records may pass between two looks at the context.
const checkEvery = 256

// Dump prints all records of the files to w, in order: one JSON object a line
// (see jsonRecord for its shape), or one line of text. Files are event logs, or
// event XML where the name ends in .xml.
//
// What is wrong with a file goes to stderr, one line each, with its name and,
// for event logs, the offset. The exit code is 0 if all records of all files
// were printed, notes notwithstanding; it is 1 if a file could not be read or
// is damaged, although all that can be read of it is printed, if w fails, and
// if ctx ends.
func Dump(ctx context.Context, files []string, w, stderr io.Writer, json bool) (exitCode int) {
	out := bufio.NewWriterSize(w, 64<<10)
	d := &dumper{out: out, stderr: stderr}
	if json {
		d.print = newJSONPrinter(out).print
	} else {
		d.print = newTextPrinter(out).print
	}
	for _, name := range files {
		ok, err := d.file(ctx, name)
		if !ok {
			exitCode = 1
		}
		if err != nil {
			// Nothing more can be written, or is wanted.
			_ = out.Flush()
			fmt.Fprintf(stderr, "%v\n", err)
			return 1
		}
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintf(stderr, "writing records: %v\n", err)
		return 1
	}
	return exitCode
}

// entry is a record with where it was found.
type entry struct {
	file   string
	number uint64
	record *winevent.Record
}

type dumper struct {
	out    *bufio.Writer
	stderr io.Writer
	print  func(entry) error
}

// file prints one file. ok is false if the file is unreadable or damaged; err
// is set only where the whole run must end.
func (d *dumper) file(ctx context.Context, name string) (ok bool, err error) {
	file, err := os.Open(name)
	if err != nil {
		d.complain(name, reason(err))
		return false, nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		d.complain(name, reason(err))
		return false, nil
	}
	if !info.Mode().IsRegular() {
		d.complain(name, "not a regular file")
		return false, nil
	}
	if strings.EqualFold(filepath.Ext(name), ".xml") {
		return d.xml(ctx, name, file)
	}
	return d.evtx(ctx, name, file, info.Size())
}

// reason leaves out the operation and the path of an error of the file system.
func reason(err error) string {
	if path := new(fs.PathError); errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (d *dumper) complain(name, what string) {
	fmt.Fprintf(d.stderr, "%s: %s\n", name, what)
}

func (d *dumper) evtx(ctx context.Context, name string, r io.ReaderAt, size int64) (ok bool, err error) {
	log, err := evtx.Open(r, size, evtx.Options{})
	if err != nil {
		d.complain(name, err.Error())
		return false, nil
	}
	n := 0
	for position, record := range log.Records() {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return false, fmt.Errorf("reading %s: %w", name, ctx.Err())
		}
		if err := d.print(entry{name, position.RecordNumber, record}); err != nil {
			return false, fmt.Errorf("writing records: %w", err)
		}
	}
	for _, p := range log.Problems() {
		d.complain(name, fmt.Sprintf("%s: %s", p.Severity, p))
	}
	return !log.Damaged(), nil
}

func (d *dumper) xml(ctx context.Context, name string, r io.Reader) (ok bool, err error) {
	events := winevent.NewXMLDecoder(r)
	for n := 1; ; n++ {
		record, err := events.Next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			d.complain(name, err.Error())
			return false, nil
		}
		if n%checkEvery == 0 && ctx.Err() != nil {
			return false, fmt.Errorf("reading %s: %w", name, ctx.Err())
		}
		// XML has no record header: the number is the record's own id.
		if err := d.print(entry{name, record.RecordID, record}); err != nil {
			return false, fmt.Errorf("writing records: %w", err)
		}
	}
}
