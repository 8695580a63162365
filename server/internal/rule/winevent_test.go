package rule

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/winevent"
)

// recordEvent shows a Windows event record to the engine.
type recordEvent struct {
	r      *winevent.Record
	fields []winevent.Field
	// level and keywords are texts made beforehand: a miss must not allocate.
	level, keywords string
}

func newRecordEvent(r *winevent.Record) *recordEvent {
	return &recordEvent{r: r, fields: r.Fields(), level: strconv.Itoa(int(r.Level)),
		keywords: "0x" + strconv.FormatUint(r.Keywords, 16)}
}

func (e *recordEvent) Provider() string { return e.r.Provider }
func (e *recordEvent) Channel() string  { return e.r.Channel }
func (e *recordEvent) EventID() uint32  { return e.r.EventID }

func (e *recordEvent) Fields(yield func(name, value string) bool) {
	for i := range e.fields {
		if !yield(e.fields[i].Name, e.fields[i].Value) {
			return
		}
	}
}

func (e *recordEvent) SystemField(name string) (string, bool) {
	switch name {
	case "Computer":
		return e.r.Computer, true
	case "Level":
		return e.level, true
	case "Keywords":
		return e.keywords, true
	case "Security_UserID":
		return e.r.UserSID, e.r.UserSID != ""
	}
	return "", false
}

// evtxRecord is a record with its number in the file.
type evtxRecord struct {
	number uint64
	event  *recordEvent
}

func readEVTX(tb testing.TB, data []byte) []evtxRecord {
	tb.Helper()
	f, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
	if errors.Is(err, evtx.ErrNotEVTX) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	var out []evtxRecord
	for {
		r, pos, err := f.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, evtxRecord{number: pos.RecordNumber, event: newRecordEvent(r)})
	}
}

// corpusRecords are all records of evtx.tar.gz by file.
func corpusRecords(tb testing.TB) map[string][]evtxRecord {
	tb.Helper()
	out := map[string][]evtxRecord{}
	untar(tb, corpusFile(tb, "evtx.tar.gz"), func(name string, data []byte) {
		if strings.HasSuffix(name, ".evtx") {
			out[name] = readEVTX(tb, data)
		}
	})
	return out
}
