package payload

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// Bounds of an HTTP head as it is read, in bytes and lines.
const (
	maxHead    = 8 << 10
	maxHeaders = 100
	maxField   = 1024
)

// ErrNotHTTP is of what is no head of HTTP/1.
var ErrNotHTTP = errors.New("no HTTP/1 head")

// HTTP is the head of a request or response.
type HTTP struct {
	Response bool
	Method   string // of a request
	Target   string
	Status   int // of a response
	Version  string
	// Host, UserAgent and so on are the first header of that name.
	Host, UserAgent, Referer, ContentType, Server, Location string
	ContentLength                                           int64 // -1: not said
	// Cut: the copy ends before the head does, or there is more of it than is read.
	// Early: the former.
	Cut, Early bool
}

// methods that a request may begin with: anything else is not taken for HTTP.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true, "CONNECT": true, "OPTIONS": true, "TRACE": true, "PATCH": true,
	"PROPFIND": true, "PROPPATCH": true, "MKCOL": true, "COPY": true, "MOVE": true, "LOCK": true, "UNLOCK": true, "SEARCH": true, "REPORT": true, "BITS_POST": true, "CCM_POST": true}

// ParseHTTP reads the head that b begins with.
func ParseHTTP(b []byte) (HTTP, error) {
	h := HTTP{ContentLength: -1}
	if len(b) > maxHead {
		b, h.Cut = b[:maxHead], true
	}
	line, rest, whole := nextLine(b)
	if err := h.start(line, whole); err != nil {
		return HTTP{}, err
	}
	var name, value string
	short := false
	for range maxHeaders {
		if !whole {
			break
		}
		line, rest, whole = nextLine(rest)
		switch {
		case len(line) == 0 && whole:
			h.set(name, value)
			h.Cut = short
			return h, nil
		case len(line) == 0:
			h.set(name, value)
			h.Cut, h.Early = true, true
			return h, nil
		case line[0] == ' ' || line[0] == '\t':
			// A folded line goes on with the one before.
			value += " " + strings.TrimSpace(printable(line))
			short = short || len(value) > maxField
			value = value[:min(len(value), maxField)]
			continue
		}
		h.set(name, value)
		before, after, found := bytes.Cut(line, []byte(":"))
		if !found {
			if !whole {
				break
			}
			return HTTP{}, ErrNotHTTP
		}
		name, value = strings.ToLower(printable(before)), strings.TrimSpace(printable(after))
	}
	h.set(name, value)
	h.Cut, h.Early = true, !whole
	return h, nil
}

// nextLine cuts a line off, without its end. whole is false where b ends first.
func nextLine(b []byte) (line, rest []byte, whole bool) {
	line, rest, whole = bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest, whole
}

// start reads the first line.
func (h *HTTP) start(line []byte, whole bool) error {
	parts := strings.SplitN(printable(line), " ", 3)
	if strings.HasPrefix(parts[0], "HTTP/1.") {
		h.Response, h.Version = true, parts[0]
		if len(parts) > 1 {
			h.Status, _ = strconv.Atoi(parts[1]) // 0 is refused below
		}
		if h.Status < 100 || h.Status > 999 {
			return ErrNotHTTP
		}
		return nil
	}
	if !methods[parts[0]] || len(parts) < 2 || whole && (len(parts) < 3 || !strings.HasPrefix(parts[2], "HTTP/1.")) {
		return ErrNotHTTP
	}
	h.Method, h.Target = parts[0], parts[1]
	if len(parts) == 3 {
		h.Version = parts[2]
	}
	return nil
}

func (h *HTTP) set(name, value string) {
	field := map[string]*string{"host": &h.Host, "user-agent": &h.UserAgent, "referer": &h.Referer, "content-type": &h.ContentType, "server": &h.Server, "location": &h.Location}[name]
	switch {
	case field != nil && *field == "":
		*field = value
	case name == "content-length" && h.ContentLength < 0:
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
			h.ContentLength = n
		}
	}
}

// URL is what a request asked for, as far as its head says.
func (h *HTTP) URL() string {
	switch {
	case h.Response || strings.Contains(h.Target, "://"):
		return h.Target
	case h.Method == "CONNECT":
		return h.Target
	case h.Host != "":
		return "http://" + h.Host + h.Target
	}
	return h.Target
}

// printable makes a text of bytes: what is not printable ASCII as \xNN, so that no
// control character travels on.
func printable(b []byte) string {
	plain := true
	for _, c := range b {
		plain = plain && (c >= ' ' && c < 0x7F || c == '\t')
	}
	if plain {
		return string(b)
	}
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range b {
		if c >= ' ' && c < 0x7F || c == '\t' {
			out.WriteByte(c)
			continue
		}
		out.WriteString(`\x`)
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String()
}
