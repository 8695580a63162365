package evtx

import "fmt"

// Severity tells a remark from a loss.
type Severity uint8

const (
	// Note is a remark: nothing is lost (a log copied while Windows had it open,
	// a file written by a program that sets no checksums).
	Note Severity = iota + 1
	// Damage means that the file is not what was written: something may be lost
	// or altered.
	Damage
)

// String returns "note" or "damage".
func (s Severity) String() string {
	if s == Damage {
		return "damage"
	}
	return "note"
}

// NoChunk is the Chunk of a Problem that concerns the file as a whole.
const NoChunk = ^uint32(0)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Offset   int64  // where in the file, in bytes
	Chunk    uint32 // index of the chunk, or NoChunk
	Severity Severity
	Text     string // what is wrong, without the offset
}

// String gives the problem in one line, offset first.
func (p Problem) String() string {
	if p.Chunk == NoChunk {
		return fmt.Sprintf("offset %d: %s", p.Offset, p.Text)
	}
	return fmt.Sprintf("offset %d (chunk %d): %s", p.Offset, p.Chunk, p.Text)
}

// problems is a bounded list. The number of those left off is kept by severity,
// so that the caller still learns that there was damage.
type problems struct {
	list    []Problem
	max     int
	omitted int
	worst   Severity
}

func (p *problems) add(offset int64, chunk uint32, severity Severity, format string, args ...any) {
	if severity > p.worst {
		p.worst = severity
	}
	if len(p.list) >= p.max {
		p.omitted++
		return
	}
	p.list = append(p.list, Problem{offset, chunk, severity, fmt.Sprintf(format, args...)})
}

func (p *problems) all() []Problem {
	if p.omitted == 0 {
		return p.list
	}
	return append(p.list[:len(p.list):len(p.list)], Problem{
		Chunk: NoChunk, Severity: p.worst,
		Text: fmt.Sprintf("%d further problems are not listed", p.omitted),
	})
}
