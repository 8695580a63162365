package winevent_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/assay-audit/assay/agent/evtx/evtxtest"
	"github.com/assay-audit/assay/agent/winevent"
)

// FuzzXML: no document makes the reader panic, run long or take much memory,
// and what it yields is text that any database takes.
func FuzzXML(f *testing.F) {
	f.Add([]byte(logonXML))
	f.Add([]byte("<Events>" + logonXML + logonXML + "</Events>"))
	f.Add([]byte(utf16Text(binary.LittleEndian, true, logonXML)))
	f.Add([]byte(utf16Text(binary.BigEndian, false, logonXML)))
	f.Add([]byte("<Event><UserData><a xmlns='x' b='\x01&#10;'>\r\n<![CDATA[x]]></a></UserData></Event>"))
	f.Add([]byte(strings.Repeat("<a>", 70) + logonXML))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 256<<10 {
			t.Skip("larger than 256 KiB")
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		start := evtxtest.CPUTime()
		d := winevent.NewXMLDecoder(bytes.NewReader(data))
		for {
			record, err := d.Next()
			if err != nil {
				if record != nil {
					t.Fatal("a record beside an error")
				}
				if errors.Is(err, io.EOF) && any(err) != any(io.EOF) {
					t.Fatalf("the end is wrapped: %v", err)
				}
				break
			}
			for _, field := range record.Fields() {
				if strings.ContainsRune(field.Value, 0) || strings.ToValidUTF8(field.Value, "") != field.Value {
					t.Fatalf("field %q is no text: %q", field.Name, field.Value)
				}
			}
		}
		if used := evtxtest.CPUTime() - start; used > 2*time.Second {
			t.Fatalf("took %v of the processor for %d bytes", used, len(data))
		}
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 256<<20 {
			t.Fatalf("allocated %d MiB for %d bytes", allocated>>20, len(data))
		}
	})
}
