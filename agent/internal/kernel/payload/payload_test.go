package payload

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

// message builds a DNS message with a builder that is not ours.
func message(t testing.TB, compress bool) []byte {
	t.Helper()
	name := dnsmessage.MustNewName("www.example.com.")
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, Response: true, RecursionDesired: true})
	if compress {
		b.EnableCompression()
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.StartQuestions())
	must(b.Question(dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}))
	must(b.StartAnswers())
	header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60}
	target := dnsmessage.MustNewName("host.example.com.")
	must(b.CNAMEResource(header, dnsmessage.CNAMEResource{CNAME: target}))
	header.Name = target
	must(b.AResource(header, dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}))
	must(b.AAAAResource(header, dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}}))
	must(b.MXResource(header, dnsmessage.MXResource{Pref: 10, MX: target}))
	must(b.TXTResource(header, dnsmessage.TXTResource{TXT: []string{"v=spf1", `a "b"`}}))
	must(b.SRVResource(header, dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 443, Target: target}))
	must(b.NSResource(header, dnsmessage.NSResource{NS: target}))
	must(b.PTRResource(header, dnsmessage.PTRResource{PTR: target}))
	must(b.SOAResource(header, dnsmessage.SOAResource{NS: target, MBox: name, Serial: 1, Refresh: 2, Retry: 3, Expire: 4, MinTTL: 5}))
	must(b.UnknownResource(header, dnsmessage.UnknownResource{Type: 65, Data: append([]byte{0, 1, 0, 0, 1, 0, 3, 2, 'h', '2', 0, 4, 0, 4}, 192, 0, 2, 9)}))
	must(b.UnknownResource(header, dnsmessage.UnknownResource{Type: 257, Data: append([]byte{0, 5}, "issueca.example"...)}))
	must(b.UnknownResource(header, dnsmessage.UnknownResource{Type: 999, Data: []byte{1, 2}}))
	must(b.StartAdditionals())
	var opt dnsmessage.ResourceHeader
	must(opt.SetEDNS0(1232, dnsmessage.RCode(16), false))
	must(b.OPTResource(opt, dnsmessage.OPTResource{}))
	out, err := b.Finish()
	must(err)
	return out
}

func TestDNS(t *testing.T) {
	t.Parallel()
	want := []string{"host.example.com", "192.0.2.1", "2001:db8::1", "10 host.example.com", `"v=spf1" "a \"b\""`, "1 2 443 host.example.com", "host.example.com", "host.example.com",
		"host.example.com www.example.com 1 2 3 4 5", "1 . alpn=h2 ipv4hint=192.0.2.9", `0 issue "ca.example"`, `\# 2 0102`}
	for _, compress := range []bool{false, true} {
		b := message(t, compress)
		framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
		for tcp, raw := range map[bool][]byte{false: b, true: framed} {
			m, err := ParseDNS(raw, tcp)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range m.Answers {
				got = append(got, a.Value)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("compressed %v, framed %v:\n%s", compress, tcp, diff)
			}
			if m.ID != 7 || !m.Response || m.CutByCopy || m.CutByServer || m.Code != 16 || m.Questions[0] != (Question{"www.example.com", 1, 1}) || m.Answers[1].Address.String() != "192.0.2.1" {
				t.Errorf("the message is %+v", m)
			}
		}
	}
}

// TestDNSCutAnywhere: what came before the cut is told, and the cut too.
func TestDNSCutAnywhere(t *testing.T) {
	t.Parallel()
	b := message(t, true)
	whole, err := ParseDNS(b, false)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for n := range b {
		m, err := ParseDNS(b[:n], false)
		if err != nil {
			if n > 33 {
				t.Errorf("cut at %d: %v", n, err)
			}
			continue
		}
		if !slices.Equal(m.Answers, whole.Answers[:len(m.Answers)]) || len(m.Answers) < last || len(m.Answers) < len(whole.Answers) && !m.CutByCopy {
			t.Errorf("cut at %d: %+v", n, m)
		}
		last = len(m.Answers)
	}
	if last != len(whole.Answers) {
		t.Errorf("at last %d answers", last)
	}
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	header := []byte{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	tail := []byte{0, 1, 0, 1}
	for name, raw := range map[string][]byte{
		"pointer to itself":  append(append(slices.Clone(header), 0xC0, 12), tail...),
		"pointers in a ring": append(append(slices.Clone(header), 1, 'a', 0xC0, 12), tail...),
		"pointer ahead":      append(append(slices.Clone(header), 0xC0, 200), tail...),
		"label too long":     append(append(slices.Clone(header), append([]byte{64}, make([]byte, 64)...)...), tail...),
		"name too long":      append(append(slices.Clone(header), slices.Repeat(append([]byte{63}, make([]byte, 63)...), 5)...), tail...),
	} {
		if m, err := ParseDNS(raw, false); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	m, err := ParseDNS(append(append(slices.Clone(header), 5, 'a', '.', 'b', 0, 0xFF, 0), tail...), false)
	if err != nil || m.Questions[0].Name != `a\.b\000\255` {
		t.Errorf("a name with what is not printable is %+v, %v", m, err)
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	request := "GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8\r\n (folded)\r\nReferer: http://x/\x1b[2J\r\nContent-Length: 12\r\n\r\nbody"
	h, err := ParseHTTP([]byte(request))
	want := HTTP{Method: "GET", Target: "/a?b=c", Version: "HTTP/1.1", Host: "www.example.com", UserAgent: "curl/8 (folded)", Referer: `http://x/\x1b[2J`, ContentLength: 12}
	if diff := cmp.Diff(want, h); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if h.URL() != "http://www.example.com/a?b=c" {
		t.Errorf("the address is %s", h.URL())
	}
	for n := range len(request) - 4 {
		h, err := ParseHTTP([]byte(request[:n]))
		if n >= len("GET /") && (err != nil || !h.Cut || h.Method != "GET") {
			t.Errorf("cut at %d: %+v, %v", n, h, err)
		}
	}
	h, err = ParseHTTP([]byte("HTTP/1.1 302 Found\nServer: nginx\nLocation: /b\n\n"))
	if err != nil || !h.Response || h.Status != 302 || h.Server != "nginx" || h.Location != "/b" || h.Cut {
		t.Errorf("a response is %+v, %v", h, err)
	}
	for _, text := range []string{"", "\x16\x03\x01", "GETX / HTTP/1.1\r\n\r\n", "GET / SIP/2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", strings.Repeat("A", 10000)} {
		if h, err := ParseHTTP([]byte(text)); err == nil {
			t.Errorf("%.20q is taken for %+v", text, h)
		}
	}
}

// exchange is a real handshake, as each side sent it.
func exchange(t testing.TB, config *tls.Config, versions uint16) (client, server []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.example.com", Organization: []string{"Example"}}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"www.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	left, right := &recorder{Conn: a}, &recorder{Conn: b}
	var done sync.WaitGroup
	done.Go(func() {
		s := tls.Server(right, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: config.NextProtos, MaxVersion: versions})
		_ = s.Handshake() // the pipe is closed once the client is done
	})
	c := tls.Client(left, config)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	_ = a.Close() // at once: a farewell would wait for a reader
	done.Wait()
	_ = b.Close()
	return left.sent, right.sent
}

type recorder struct {
	net.Conn
	sent []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.sent = append(r.sent, p...)
	return r.Conn.Write(p)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	config := &tls.Config{ServerName: "www.example.com", InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}
	for version, want := range map[uint16]uint16{tls.VersionTLS12: 0x0303, tls.VersionTLS13: 0x0304} {
		client, server := exchange(t, config, version)
		c, err := ParseTLS(client)
		if err != nil || c.Server || c.SNI != "www.example.com" || !slices.Equal(c.ALPN, []string{"h2", "http/1.1"}) || !slices.Contains(c.Versions, 0x0304) || len(c.Ciphers) < 5 || c.Cut {
			t.Errorf("a client's hello is %+v, %v", c, err)
		}
		if ja4 := c.JA4(); !strings.HasPrefix(ja4, "t13d") || len(ja4) != 36 || ja4[8:10] != "h2" {
			t.Errorf("its fingerprint is %s", ja4)
		}
		s, err := ParseTLS(server)
		if err != nil || !s.Server || s.chosen() != want || len(s.Ciphers) != 1 {
			t.Errorf("a server's hello is %+v, %v", s, err)
		}
		name := "CN=www.example.com,O=Example"
		if version == tls.VersionTLS12 && (s.Subject != name || s.Issuer != name) {
			t.Errorf("its certificate is of %q, by %q", s.Subject, s.Issuer)
		}
		if version == tls.VersionTLS13 && s.Subject != "" {
			t.Errorf("a certificate that is not in clear is of %q", s.Subject)
		}
		// A hello in records of a few bytes each.
		split := append([]byte(nil), resplit(client, 20)...)
		if again, err := ParseTLS(split); err != nil || again.SNI != c.SNI || len(again.Extensions) != len(c.Extensions) && len(split) <= 16*25 {
			t.Errorf("split over records it is %+v, %v", again, err)
		}
		for n := range client {
			cut, err := ParseTLS(client[:n])
			if err == nil && (cut.SNI != "" && cut.SNI != c.SNI || !cut.Cut && n < 5+int(binary.BigEndian.Uint16(client[3:]))) {
				t.Fatalf("cut at %d: %+v", n, cut)
			}
		}
		for n := range server {
			if cut, err := ParseTLS(server[:n]); err == nil && cut.Subject != "" && cut.Subject != name {
				t.Fatalf("a server's, cut at %d: %+v", n, cut)
			}
		}
	}
}

// resplit puts the first record's handshake into records of n bytes.
func resplit(raw []byte, n int) (out []byte) {
	body := raw[5 : 5+binary.BigEndian.Uint16(raw[3:])]
	for len(body) > 0 {
		part := body[:min(n, len(body))]
		out = append(append(out, 22, 3, 1, byte(len(part)>>8), byte(len(part))), part...)
		body = body[len(part):]
	}
	return out
}

// TestFingerprints are of hellos with known ones: the examples of JA3's and of JA4's
// own description.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	h := TLS{Version: 769, Ciphers: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}, Extensions: []uint16{0, 10, 11}, Groups: []uint16{23, 24, 25}, PointFormats: []uint8{0}}
	text, hash := h.JA3()
	if text != "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0" || hash != "ada70206e40642a3e4461f35503241d5" {
		t.Errorf("JA3 is %s, %s", text, hash)
	}
	h.Ciphers, h.Extensions = append([]uint16{0x1A1A}, h.Ciphers...), append([]uint16{0xFAFA}, h.Extensions...)
	if _, again := h.JA3(); again != hash {
		t.Errorf("what clients throw in changes it to %s", again)
	}
	h = TLS{
		Version: 0x0303, Versions: []uint16{0x2A2A, 0x0304, 0x0303}, ALPN: []string{"h2", "http/1.1"},
		Ciphers:             []uint16{0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D, 0x002F, 0x0035},
		Extensions:          []uint16{0x001B, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002D, 0x000D, 0x0005, 0x0023, 0x0012, 0x002B, 0xFF01, 0x000B, 0x000A, 0x0015},
		SignatureAlgorithms: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	const known = "t13d1516h2_8daaf6152771_e5627efa2ab1"
	if a := h.JA4(); a != known {
		t.Errorf("JA4 is %s", a)
	}
	h.Ciphers, h.Extensions = append([]uint16{0x1A1A}, h.Ciphers...), append([]uint16{0xFAFA}, h.Extensions...)
	slices.Reverse(h.Extensions)
	if a := h.JA4(); a != known {
		t.Errorf("what clients throw in, or another order of extensions, changes it to %s", a)
	}
	slices.Reverse(h.SignatureAlgorithms)
	if a := h.JA4(); a == known {
		t.Error("the order of signature algorithms changes nothing")
	}
	if h.HelloCut = true; h.JA4() != "" {
		t.Error("a cut hello has a fingerprint")
	}
}

func FuzzDNS(f *testing.F) {
	f.Add(message(f, true), false)
	f.Add(message(f, false), true)
	f.Fuzz(func(t *testing.T, b []byte, tcp bool) {
		m, err := ParseDNS(b, tcp)
		if err != nil {
			return
		}
		if len(m.Questions) > maxQuestions || len(m.Answers) > maxAnswers {
			t.Errorf("%d questions, %d answers", len(m.Questions), len(m.Answers))
		}
		for _, a := range m.Answers {
			if len(a.Name) > 4*maxName || strings.ContainsFunc(a.Name+a.Value, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q has %q", a.Name, a.Value)
			}
		}
	})
}

func FuzzHTTP(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 200 OK\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHTTP(b)
		if err == nil && strings.ContainsFunc(h.Method+h.Target+h.Host+h.UserAgent+h.URL(), func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }) {
			t.Errorf("%+v", h)
		}
	})
}

func FuzzTLS(f *testing.F) {
	client, server := exchange(f, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true}, tls.VersionTLS12)
	f.Add(client)
	f.Add(server)
	raw, _ := hex.DecodeString("160301000401000000")
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseTLS(b)
		if err != nil {
			return
		}
		h.JA3()
		h.JA3S()
		h.JA4()
		if len(h.Ciphers) > maxList || len(h.Extensions) > maxList {
			t.Errorf("%d ciphers, %d extensions", len(h.Ciphers), len(h.Extensions))
		}
	})
}
