package collect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/internal/pipeline"
	"github.com/assay-audit/assay/agent/winevent"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// Result is what became of one file.
type Result struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256,omitempty"`
	// Records is the number of events in the file, New those that this run
	// emitted. Unreadable counts what was damaged.
	Records    uint64 `json:"records"`
	New        uint64 `json:"new"`
	Unreadable uint64 `json:"unreadable"`
	// Known: the same bytes were imported before.
	Known bool `json:"known"`
	// Damage names what is damaged, bounded. Error says why the file could not
	// be read at all.
	Damage []string `json:"damage,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// Failed reports whether the file was not imported whole.
func (r *Result) Failed() bool { return r.Error != "" || r.Unreadable > 0 }

// Importer is a pipeline.Source over files that were exported from Windows.
type Importer struct {
	Files []string
	Now   func() time.Time
	// Done is told of each file; nil: nobody.
	Done func(Result)
	// Progress is told of each 1,000 records; nil: nobody.
	Progress func(file string, records uint64)
}

// maxNamed bounds how many damages of a file are named in its result and event.
const maxNamed = 20

// Run implements pipeline.Source. A file that cannot be read is a Result, not
// an error; errors are of the pipeline or ctx.
func (i *Importer) Run(ctx context.Context, resume pipeline.Resume, emit pipeline.Emit) error {
	for _, name := range i.Files {
		f := &importing{importer: i, ctx: ctx, emit: emit, result: Result{File: name}}
		if err := f.run(resume); err != nil {
			return err
		}
		if i.Done != nil {
			i.Done(f.result)
		}
	}
	return nil
}

// importing is one file on its way.
type importing struct {
	importer *Importer
	ctx      context.Context
	emit     pipeline.Emit
	result   Result

	sha256 [32]byte
	key    string
	past   []byte // position of an import of the same bytes before
	norm   winevent.Normaliser
}

func (f *importing) run(resume pipeline.Resume) error {
	file, err := os.Open(f.result.File)
	if err != nil {
		f.result.Error = unwrapPath(err)
		return nil
	}
	defer func() { _ = file.Close() }()
	before, err := file.Stat()
	if err == nil && !before.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = f.hash(io.NewSectionReader(file, 0, before.Size()))
	}
	if err != nil {
		if f.ctx.Err() != nil {
			return f.ctx.Err()
		}
		f.result.Error = unwrapPath(err)
		return nil
	}
	f.key = fileKey(f.sha256)
	f.past = resume.Position(f.key)
	if records, unreadable, ok := parseEnded(f.past); ok {
		f.result.Known, f.result.Records, f.result.Unreadable = true, records, unreadable
		return nil
	}
	f.norm = winevent.Normaliser{
		Subject: telemetryv1.SubjectKind_SUBJECT_KIND_IMPORTED, Mode: telemetryv1.Mode_MODE_IMPORT,
	}
	if err := f.report("import_begin", begunPosition(), ""); err != nil {
		return err
	}
	if err := f.read(io.NewSectionReader(file, 0, before.Size())); err != nil {
		return err
	}
	if after, err := file.Stat(); err == nil && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
		f.damaged("the file changed while it was read: its records are not all of the named hash")
	}
	return f.report("import_end", endedPosition(f.result.Records, f.result.Unreadable), strings.Join(f.result.Damage, "; "))
}

// unwrapPath drops the path from an error: it is named beside it.
func unwrapPath(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (f *importing) hash(r io.Reader) error {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			h.Sum(f.sha256[:0])
			f.result.SHA256 = hex.EncodeToString(f.sha256[:])
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *importing) read(r *io.SectionReader) error {
	log, err := evtx.Open(r, r.Size(), evtx.Options{})
	switch {
	case err == nil:
		return f.readEVTX(log)
	case !errors.Is(err, evtx.ErrNotEVTX):
		f.damaged(err.Error())
		return nil
	}
	if !looksLikeXML(r) {
		f.damaged("neither a Windows event log (.evtx) nor event XML")
		return nil
	}
	return f.readXML(r)
}

// looksLikeXML tells the first sign of XML in UTF-8 or UTF-16 from anything else.
func looksLikeXML(r io.ReaderAt) bool {
	b := make([]byte, 64)
	n, _ := r.ReadAt(b, 0)
	b = bytes.TrimLeft(b[:n], "\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
	return len(b) > 0 && b[0] == '<'
}

func (f *importing) readEVTX(log *evtx.File) error {
	for {
		record, at, err := log.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.damaged(err.Error())
			break
		}
		if err := f.record(record, at.Chunk, at.Ordinal); err != nil {
			return err
		}
	}
	for _, p := range log.Problems() {
		if p.Severity == evtx.Damage {
			f.damaged(p.String())
		}
	}
	return nil
}

func (f *importing) readXML(r io.Reader) error {
	decoder := winevent.NewXMLDecoder(r)
	for ordinal := uint32(0); ; ordinal++ {
		record, err := decoder.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			f.damaged(err.Error())
			return nil
		}
		if err := f.record(record, 0, ordinal); err != nil {
			return err
		}
	}
}

func (f *importing) damaged(what string) {
	f.result.Unreadable++
	if len(f.result.Damage) < maxNamed {
		f.result.Damage = append(f.result.Damage, what)
	}
}

func (f *importing) record(r *winevent.Record, chunk, ordinal uint32) error {
	f.result.Records++
	if f.importer.Progress != nil && f.result.Records%1000 == 0 {
		f.importer.Progress(f.result.File, f.result.Records)
	}
	position := recordPosition(chunk, ordinal)
	if f.past != nil && bytes.Compare(position, f.past) <= 0 {
		return nil
	}
	ev := f.norm.Normalise(r)
	if ev.Position == nil {
		ev.Position = &telemetryv1.Position{}
	}
	ev.Position.FileSha256, ev.Position.Chunk, ev.Position.Ordinal = f.sha256[:], chunk, ordinal
	f.result.New++
	return f.emit(f.ctx, pipeline.Item{Event: ev, Key: f.key, Position: position, Stream: evidence.Import})
}

// report emits what the agent did with the file, on the stream that the records
// take: so it is there exactly once, like them.
func (f *importing) report(action string, position []byte, reason string) error {
	ev := &telemetryv1.Event{
		Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF},
		Source:  telemetryv1.Source_SOURCE_AGENT, Grade: telemetry.GradeOf(telemetryv1.Source_SOURCE_AGENT, "", 0, 0),
		Mode:       telemetryv1.Mode_MODE_LIVE,
		ObservedAt: evidence.Ticks(f.importer.Now()),
		Position:   &telemetryv1.Position{FileSha256: f.sha256[:]},
		Body: &telemetryv1.Event_AgentEvent{AgentEvent: &telemetryv1.AgentEvent{
			Action: action, Reason: strings.ToValidUTF8(reason, "\uFFFD"),
			File: strings.ToValidUTF8(f.result.File, "\uFFFD"), FileSha256: f.result.SHA256,
			Records: f.result.Records, Unreadable: f.result.Unreadable,
		}},
	}
	return f.emit(f.ctx, pipeline.Item{Event: ev, Key: f.key, Position: position, Stream: evidence.Import})
}

// Summary adds results up. It may be used by several goroutines.
type Summary struct {
	mu sync.Mutex
	s  Totals
}

// Totals is what an import came to.
type Totals struct {
	Files      int      `json:"files"`
	Known      int      `json:"known"`
	Failed     int      `json:"failed"`
	Records    uint64   `json:"records"`
	New        uint64   `json:"new"`
	Unreadable uint64   `json:"unreadable"`
	Results    []Result `json:"results"`
}

// Add takes a file's result.
func (s *Summary) Add(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Files++
	if r.Known {
		s.s.Known++
	}
	if r.Failed() {
		s.s.Failed++
	}
	s.s.Records, s.s.New, s.s.Unreadable = s.s.Records+r.Records, s.s.New+r.New, s.s.Unreadable+r.Unreadable
	s.s.Results = append(s.s.Results, r)
}

// Totals returns the sums so far.
func (s *Summary) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.s
	out.Results = append([]Result(nil), out.Results...)
	return out
}

// String is one line for people.
func (t Totals) String() string {
	line := fmt.Sprintf("%d files: %d records, %d new", t.Files, t.Records, t.New)
	if t.Known > 0 {
		line += fmt.Sprintf("; %d files were imported before", t.Known)
	}
	if t.Failed > 0 {
		line += fmt.Sprintf("; %d files damaged or unreadable (%d places)", t.Failed, t.Unreadable)
	}
	return line
}
