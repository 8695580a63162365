package payload

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// TestLongAnswers: an answer of which not all is told makes the message say so.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	text := func(count, size int) []byte {
		return bytes.Repeat(append([]byte{byte(size)}, strings.Repeat("x", size)...), count)
	}
	service := func(key uint16, value []byte) []byte {
		return slices.Concat([]byte{0, 1, 0, byte(key >> 8), byte(key), byte(len(value) >> 8), byte(len(value))}, value)
	}
	for name, c := range map[string]struct {
		kind uint16
		data []byte
		cut  bool
	}{
		"text within":       {typeTXT, text(3, 255), false},
		"text beyond":       {typeTXT, text(5, 255), true},
		"strings within":    {typeTXT, text(64, 1), false},
		"strings beyond":    {typeTXT, text(65, 1), true},
		"opaque within":     {999, make([]byte, 512), false},
		"opaque beyond":     {999, make([]byte, 513), true},
		"parameters within": {typeHTTPS, append([]byte{0, 1, 0}, bytes.Repeat([]byte{0, 9, 0, 0}, 62)...), false},
		"parameters beyond": {typeHTTPS, append([]byte{0, 1, 0}, bytes.Repeat([]byte{0, 9, 0, 0}, 63)...), true},
		"protocols within":  {typeHTTPS, service(1, text(63, 1)), false},
		"protocols beyond":  {typeHTTPS, service(1, text(65, 1)), true},
	} {
		b := []byte{0, 1, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}
		b = binary.BigEndian.AppendUint16(b, c.kind)
		b = append(b, 0, 1, 0, 0, 0, 1)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(c.data))), c.data...)
		m, err := ParseDNS(b, false)
		if err != nil || len(m.Answers) != 1 || m.CutByCopy != c.cut {
			t.Errorf("%s: cut %v, %v", name, m.CutByCopy, err)
		}
	}
}

// clientHello is one with these ciphers and extensions.
func clientHello(ciphers int, extensions ...[]byte) []byte {
	prefixed := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	body := slices.Concat([]byte{3, 3}, make([]byte, 33), prefixed(bytes.Repeat([]byte{0x13, 1}, ciphers)), []byte{1, 0}, prefixed(slices.Concat(extensions...)))
	body = slices.Concat([]byte{1, 0}, prefixed(body))
	return slices.Concat([]byte{22, 3, 1}, prefixed(body))
}

func extension(kind byte, data []byte) []byte {
	return slices.Concat([]byte{0, kind, byte(len(data) >> 8), byte(len(data))}, data)
}

// TestLongHellos: a hello of which not all is kept says so, and where a list of the
// fingerprints is not whole it has none.
func TestLongHellos(t *testing.T) {
	t.Parallel()
	list := func(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }
	name := func(n int) []byte {
		return list(append([]byte{0, byte(n >> 8), byte(n)}, strings.Repeat("a", n)...))
	}
	for what, c := range map[string]struct {
		hello         []byte
		cut, helloCut bool
	}{
		"ciphers within":    {clientHello(512), false, false},
		"ciphers beyond":    {clientHello(513), true, true},
		"extensions within": {clientHello(1, bytes.Repeat([]byte{0, 99, 0, 0}, 512)), false, false},
		"extensions beyond": {clientHello(1, bytes.Repeat([]byte{0, 99, 0, 0}, 513)), true, true},
		"groups beyond":     {clientHello(1, extension(10, list(make([]byte, 1026)))), true, true},
		"algorithms beyond": {clientHello(1, extension(13, list(make([]byte, 1026)))), true, true},
		"protocols within":  {clientHello(1, extension(16, list(bytes.Repeat([]byte{1, 'h'}, 64)))), false, false},
		"protocols beyond":  {clientHello(1, extension(16, list(bytes.Repeat([]byte{1, 'h'}, 65)))), true, false},
		"name within":       {clientHello(1, extension(0, name(255))), false, false},
		"name beyond":       {clientHello(1, extension(0, name(256))), true, false},
	} {
		h, err := ParseTLS(c.hello)
		if err != nil || h.Cut != c.cut || h.HelloCut != c.helloCut || (h.JA4() == "") != c.helloCut {
			t.Errorf("%s: cut %v, %v, JA4 %q, %v", what, h.Cut, h.HelloCut, h.JA4(), err)
		}
	}
}

// TestLongNames: of a certificate's.
func TestLongNames(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		name pkix.Name
		cut  bool
	}{
		"within":   {pkix.Name{CommonName: strings.Repeat("a", 1021)}, false},
		"beyond":   {pkix.Name{CommonName: strings.Repeat("a", 1022)}, true},
		"too many": {pkix.Name{ExtraNames: slices.Repeat([]pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "a"}}, 65)}, true},
	} {
		der, err := asn1.Marshal(c.name.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		var h TLS
		if name := h.distinguishedName(der); h.Cut != c.cut || h.HelloCut {
			t.Errorf("%s: cut %v, %.20s", what, h.Cut, name)
		}
	}
}

// TestLongHeader: a header that is folded on and on.
func TestLongHeader(t *testing.T) {
	t.Parallel()
	for lines, cut := range map[int]bool{9: false, 11: true} {
		h, err := ParseHTTP([]byte("GET / HTTP/1.1\r\nUser-Agent: x\r\n" + strings.Repeat(" "+strings.Repeat("y", 99)+"\r\n", lines) + "\r\n"))
		if err != nil || h.Cut != cut {
			t.Errorf("%d lines: cut %v, %v", lines, h.Cut, err)
		}
	}
}
