package evtxdump

import (
	"io"
	"strconv"
	"strings"
)

// levels are the words for the levels that Windows defines.
var levels = [...]string{"always", "critical", "error", "warning", "info", "verbose"}

// textPrinter prints one line a record: time, host, channel, record id,
// provider, event id, level, then the fields as name=value. A value with a
// space, a quote or a control character is quoted, so that a line stays a line
// and a terminal obeys nobody's escape sequences.
type textPrinter struct {
	w    io.Writer
	line []byte
}

func newTextPrinter(w io.Writer) *textPrinter { return &textPrinter{w: w} }

func (p *textPrinter) print(e entry) error {
	r := e.record
	time := timeText(r.Time)
	if time == "" {
		time = "-"
	}
	p.line = append(p.line[:0], time...)
	for _, column := range []string{
		r.Computer, r.Channel, strconv.FormatUint(r.RecordID, 10), r.Provider,
		strconv.FormatUint(uint64(r.EventID), 10), levelText(r.Level),
	} {
		if column == "" {
			column = "-"
		}
		p.line = appendWord(append(p.line, ' '), column)
	}
	for _, f := range r.Fields() {
		p.line = append(p.line, ' ')
		if f.Name != "" {
			p.line = append(appendWord(p.line, f.Name), '=')
		}
		p.line = appendWord(p.line, f.Value)
	}
	_, err := p.w.Write(append(p.line, '\n'))
	return err
}

func levelText(level uint8) string {
	if int(level) < len(levels) {
		return levels[level]
	}
	return strconv.Itoa(int(level))
}

func appendWord(line []byte, word string) []byte {
	plain := word != "" && strings.IndexFunc(word, func(r rune) bool {
		return r == '"' || r == '=' || r == ' ' || !strconv.IsPrint(r)
	}) < 0
	if plain {
		return append(line, word...)
	}
	return strconv.AppendQuote(line, word)
}
