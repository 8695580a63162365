package payload

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of a DNS message as it is read.
const (
	maxQuestions = 8
	maxAnswers   = 64
	maxName      = 255 // bytes, as the protocol has it
	maxPointers  = 32  // that a name may follow; each goes back, so it ends anyway
	maxValue     = 1024
)

// ErrNotDNS is of what is no DNS message.
var ErrNotDNS = errors.New("no DNS message")

// DNS is a message.
type DNS struct {
	ID       uint16
	Response bool
	Opcode   uint8
	Code     uint16 // RCODE, with the bits of OPT
	// CutByServer is TC, CutByCopy that the copy or the message ends early, or that
	// there is more of it than is read.
	CutByServer, CutByCopy bool
	Questions              []Question
	Answers                []Answer
}

// Question is one of a message.
type Question struct {
	Name        string
	Type, Class uint16
}

// Answer is a record of the answer section.
type Answer struct {
	Name        string
	Type, Class uint16
	TTL         uint32
	// Address is set for A and AAAA; Value is the record as text for all types:
	// what is not known as \# and hex, as RFC 3597 writes it.
	Address netip.Addr
	Value   string
}

// The types that are written as text, besides the names of RFC 3597.
const (
	typeA, typeNS, typeCNAME, typeSOA, typePTR = 1, 2, 5, 6, 12
	typeMX, typeTXT, typeAAAA, typeSRV         = 15, 16, 28, 33
	typeNAPTR, typeDNAME, typeOPT, typeDS      = 35, 39, 41, 43
	typeSVCB, typeHTTPS, typeCAA               = 64, 65, 257
)

// ParseDNS reads a message. tcp: it is framed by its length. Multicast DNS and
// LLMNR are the same.
func ParseDNS(b []byte, tcp bool) (DNS, error) {
	var m DNS
	if tcp {
		if len(b) < 2 {
			return m, ErrNotDNS
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) > n {
			b = b[:n]
		} else if len(b) < n {
			m.CutByCopy = true
		}
	}
	if len(b) < 12 {
		return m, ErrNotDNS
	}
	flags := binary.BigEndian.Uint16(b[2:])
	m.ID, m.Response, m.Opcode, m.CutByServer, m.Code = binary.BigEndian.Uint16(b), flags&0x8000 != 0, uint8(flags>>11&15), flags&0x0200 != 0, flags&15
	questions, answers := int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:]))
	additional := int(binary.BigEndian.Uint16(b[10:]))
	if m.Opcode > 6 || questions > maxQuestions || questions+answers == 0 {
		return m, ErrNotDNS
	}
	r := &dnsReader{message: b, at: 12}
	for range questions {
		q := Question{Name: r.name(), Type: r.u16(), Class: r.u16()}
		if r.bad {
			break
		}
		m.Questions = append(m.Questions, q)
	}
	for range min(answers, maxAnswers) {
		a, ok := r.answer()
		if !ok {
			break
		}
		m.Answers = append(m.Answers, a)
	}
	if answers > maxAnswers {
		m.CutByCopy = true
	}
	if !r.bad && !m.CutByCopy {
		r.extend(&m, int(binary.BigEndian.Uint16(b[8:])), additional)
	}
	switch {
	case r.wrong:
		return DNS{}, ErrNotDNS
	case r.bad, r.short:
		m.CutByCopy = true
	}
	if len(m.Questions) == 0 && len(m.Answers) == 0 {
		return DNS{}, ErrNotDNS
	}
	return m, nil
}

// dnsReader reads a message. bad: it ended early. wrong: it cannot be DNS. short: there
// is more of it than was read.
type dnsReader struct {
	message           []byte
	at                int
	bad, wrong, short bool
}

func (r *dnsReader) take(n int) []byte {
	if r.bad || r.at+n > len(r.message) {
		r.bad = true
		return make([]byte, min(n, 16))
	}
	r.at += n
	return r.message[r.at-n : r.at]
}

func (r *dnsReader) u16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *dnsReader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

// name reads a name and goes on behind it.
func (r *dnsReader) name() string {
	var b strings.Builder
	at, jumped, pointers := r.at, false, 0
	for {
		if at >= len(r.message) {
			r.bad = true
			return ""
		}
		n := int(r.message[at])
		switch {
		case n == 0:
			if !jumped {
				r.at = at + 1
			}
			return b.String()
		case n&0xC0 == 0xC0:
			if at+1 >= len(r.message) {
				r.bad = true
				return ""
			}
			target := n&0x3F<<8 | int(r.message[at+1])
			if !jumped {
				r.at = at + 2
			}
			// A pointer goes back, else it could go round.
			if pointers++; target >= at || pointers > maxPointers {
				r.wrong, r.bad = true, true
				return ""
			}
			at, jumped = target, true
		case n > 63 || b.Len()+n+1 > maxName:
			r.wrong, r.bad = true, true
			return ""
		case at+1+n > len(r.message):
			r.bad = true
			return ""
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			escapeLabel(&b, r.message[at+1:at+1+n])
			at += 1 + n
		}
	}
}

// escapeLabel writes a label as zone files do: a dot within it, and what is not
// printable, escaped.
func escapeLabel(b *strings.Builder, label []byte) {
	for _, c := range label {
		switch {
		case c == '.' || c == '\\' || c == '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c <= ' ' || c >= 0x7F:
			fmt.Fprintf(b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
}

// answer reads a record.
func (r *dnsReader) answer() (a Answer, ok bool) {
	a.Name, a.Type, a.Class, a.TTL = r.name(), r.u16(), r.u16(), r.u32()
	size := int(r.u16())
	if r.bad || r.at+size > len(r.message) {
		r.bad = true
		return a, false
	}
	end := r.at + size
	a.Address, a.Value = r.data(a.Type, end)
	r.at = end
	return a, true
}

// data writes a record's data as text. Names in it may point back into the message.
func (r *dnsReader) data(kind uint16, end int) (address netip.Addr, text string) {
	raw := r.message[r.at:end]
	d := &dnsReader{message: r.message[:end], at: r.at}
	switch kind {
	case typeA, typeAAAA:
		if a, ok := netip.AddrFromSlice(raw); ok && (len(raw) == 4) == (kind == typeA) {
			return a, a.String()
		}
	case typeNS, typeCNAME, typePTR, typeDNAME:
		text = d.name()
	case typeMX:
		text = fmt.Sprintf("%d %s", d.u16(), d.name())
	case typeSRV:
		text = fmt.Sprintf("%d %d %d %s", d.u16(), d.u16(), d.u16(), d.name())
	case typeSOA:
		text = fmt.Sprintf("%s %s %d %d %d %d %d", d.name(), d.name(), d.u32(), d.u32(), d.u32(), d.u32(), d.u32())
	case typeTXT:
		text = d.strings(end)
	case typeNAPTR:
		text = fmt.Sprintf("%d %d %s %s %s %s", d.u16(), d.u16(), d.string(end), d.string(end), d.string(end), d.name())
	case typeCAA:
		text = d.caa(end)
	case typeSVCB, typeHTTPS:
		text = d.service(end)
	default:
		return address, r.opaque(raw)
	}
	if d.bad || text == "" {
		return address, r.opaque(raw)
	}
	r.short = r.short || d.short || len(text) > maxValue
	return address, text[:min(len(text), maxValue)]
}

// opaque is RFC 3597's form of data that is not known.
func (r *dnsReader) opaque(raw []byte) string {
	r.short = r.short || len(raw) > maxValue/2
	return "\\# " + strconv.Itoa(len(raw)) + " " + hex.EncodeToString(raw[:min(len(raw), maxValue/2)])
}

// string reads a character string in quotes.
func (r *dnsReader) string(end int) string {
	n := int(r.take(1)[0])
	if r.at+n > end {
		r.bad = true
		return ""
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range r.take(n) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7F:
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (r *dnsReader) strings(end int) string {
	var parts []string
	for r.at < end && !r.bad && len(parts) < maxAnswers {
		parts = append(parts, r.string(end))
	}
	r.short = r.short || r.at < end && !r.bad
	return strings.Join(parts, " ")
}

func (r *dnsReader) caa(end int) string {
	flags := r.take(1)[0]
	n := int(r.take(1)[0])
	if r.bad || r.at+n > end {
		r.bad = true
		return ""
	}
	return fmt.Sprintf("%d %s %s", flags, printable(r.take(n)), strconv.QuoteToASCII(string(r.message[r.at:end])))
}

// service writes SVCB and HTTPS: priority, target and the parameters that say
// where and how to connect.
func (r *dnsReader) service(end int) string {
	parts := []string{strconv.Itoa(int(r.u16())), r.name()}
	if parts[1] == "" {
		parts[1] = "."
	}
	for r.at < end && !r.bad && len(parts) < maxAnswers {
		key, n := r.u16(), int(r.u16())
		if r.bad || r.at+n > end {
			r.bad = true
			return ""
		}
		value := r.take(n)
		r.short = r.short || key == 1 && len(shortStrings(value)) == maxAnswers
		parts = append(parts, parameter(key, value))
	}
	r.short = r.short || r.at < end && !r.bad
	return strings.Join(parts, " ")
}

func parameter(key uint16, value []byte) string {
	name := "key" + strconv.Itoa(int(key))
	switch key {
	case 1:
		return "alpn=" + strings.Join(shortStrings(value), ",")
	case 3:
		if len(value) == 2 {
			return "port=" + strconv.Itoa(int(binary.BigEndian.Uint16(value)))
		}
	case 4, 6:
		size := 4
		if key == 6 {
			size = 16
		}
		var hints []string
		for ; len(value) >= size; value = value[size:] {
			a, _ := netip.AddrFromSlice(value[:size])
			hints = append(hints, a.String())
		}
		return fmt.Sprintf("ipv%dhint=%s", key, strings.Join(hints, ","))
	case 5:
		return "ech=" + base64.StdEncoding.EncodeToString(value)
	}
	return name + "=" + hex.EncodeToString(value)
}

// shortStrings are strings of up to 255 bytes, each after its length.
func shortStrings(b []byte) []string {
	var list []string
	for len(b) > 0 && len(list) < maxAnswers {
		n := int(b[0])
		if n+1 > len(b) {
			break
		}
		list, b = append(list, printable(b[1:1+n])), b[1+n:]
	}
	return list
}

// extend takes the upper bits of the code from OPT, behind the authorities.
func (r *dnsReader) extend(m *DNS, authorities, additional int) {
	for range min(authorities+additional, 2*maxAnswers) {
		r.name()
		kind := r.u16()
		r.u16()
		ttl, size := r.u32(), int(r.u16())
		if r.bad || r.at+size > len(r.message) {
			r.bad = false // what was asked for is read
			return
		}
		r.at += size
		if kind == typeOPT {
			m.Code |= uint16(ttl>>24) << 4
			return
		}
	}
}
