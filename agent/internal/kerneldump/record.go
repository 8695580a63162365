package kerneldump

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/event"
	"github.com/assay-audit/assay/agent/internal/kernel/process"
)

// Printer prints records, one line each.
type Printer struct {
	W io.Writer
	// JSON prints an object a line, else words.
	JSON bool
	// Events prints what the agent makes of the records in place of the records.
	Events bool

	mapper *event.Mapper
}

// Print prints one record.
func (p *Printer) Print(r *kernel.Record) error {
	if p.Events {
		return p.events(r)
	}
	if p.JSON {
		b, err := json.Marshal(object(r))
		if err != nil {
			return fmt.Errorf("writing record %d of class %s: %w", r.N, r.Class, err)
		}
		_, err = p.W.Write(append(b, '\n'))
		return err
	}
	_, err := fmt.Fprintf(p.W, "%s %-8s %6d %-19s pid %d%s\n", when(r.SystemTime), r.Class, r.N, r.Kind, r.PID, words(r.Body))
	return err
}

func (p *Printer) events(r *kernel.Record) error {
	if p.mapper == nil {
		// Identities are of no host: a file does not say whose it is.
		p.mapper = event.New(event.Config{Processes: process.NewTable([16]byte{})})
	}
	for _, ev := range p.mapper.Events(r) {
		b, err := protojson.Marshal(ev)
		if err != nil {
			return fmt.Errorf("writing event of record %d of class %s: %w", r.N, r.Class, err)
		}
		if _, err := p.W.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func when(system uint64) string {
	ticks := event.Ticks(system)
	if ticks == 0 {
		return "-"
	}
	return time.Unix(ticks/1e7, ticks%1e7*100).UTC().Format("2006-01-02T15:04:05.0000000Z")
}

// line is a record as JSON.
type line struct {
	Class string `json:"class"`
	Kind  string `json:"kind"`
	Code  uint16 `json:"kind_code"`
	Time  string `json:"time"`
	kernel.Header
	Body map[string]any `json:"body,omitempty"`
}

func object(r *kernel.Record) line {
	return line{Class: r.Class.String(), Kind: r.Kind.String(), Code: uint16(r.Kind), Time: when(r.SystemTime), Header: r.Header, Body: body(r.Body)}
}

// isBytes are the fields that hold bytes and no text.
func isBytes(b any, field string) bool {
	switch b.(type) {
	case *kernel.Process:
		return field == "User"
	case *kernel.Key, *kernel.Payload:
		return field == "Data"
	}
	return false
}

// body is a record's body by the contract's names.
func body(b any) map[string]any {
	if b == nil {
		return nil
	}
	out, value := map[string]any{}, reflect.ValueOf(b).Elem()
	for i := range value.NumField() {
		name := value.Type().Field(i).Name
		switch v := value.Field(i).Interface().(type) {
		case kernel.Text:
			if isBytes(b, name) {
				v.Value = hex.EncodeToString([]byte(v.Value))
			}
			if v.Unknown || v.Truncated {
				out[snake(name)] = v
			} else {
				out[snake(name)] = v.Value
			}
		case [16]byte:
			out[snake(name)] = raw16(b, name, v)
		default:
			out[snake(name)] = v
		}
	}
	return out
}

// raw16 is an address where the body says of which family, else hex.
func raw16(b any, name string, v [16]byte) string {
	family := uint8(0)
	switch b := b.(type) {
	case *kernel.Flow:
		family = b.Family
	case *kernel.Payload:
		family = b.Family
	}
	switch {
	case family == 4:
		return netip.AddrFrom4([4]byte(v[:4])).String()
	case family == 6 && name != "FileID":
		return netip.AddrFrom16(v).String()
	}
	return hex.EncodeToString(v[:])
}

// snake turns CreatorPID into creator_pid.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// words are a body's fields that say something, in the contract's order.
func words(b any) string {
	if b == nil {
		return ""
	}
	var out strings.Builder
	value := reflect.ValueOf(b).Elem()
	for i := range value.NumField() {
		name := value.Type().Field(i).Name
		field := value.Field(i)
		if field.IsZero() || name == "Reserved" || name == "Unused" {
			continue
		}
		switch v := field.Interface().(type) {
		case kernel.Text:
			switch {
			case v.Value == "":
				continue
			case isBytes(b, name):
				fmt.Fprintf(&out, " %s %x", snake(name), v.Value)
			default:
				fmt.Fprintf(&out, " %s %q", snake(name), v.Value)
			}
			if v.Truncated {
				fmt.Fprintf(&out, " (of %d bytes)", v.Whole)
			}
		case [16]byte:
			fmt.Fprintf(&out, " %s %s", snake(name), raw16(b, name, v))
		default:
			fmt.Fprintf(&out, " %s %v", snake(name), v)
		}
	}
	return out.String()
}
