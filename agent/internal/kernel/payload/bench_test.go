package payload

import (
	"crypto/tls"
	"testing"
)

func bench(b *testing.B, raw []byte, parse func([]byte) error) {
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDNS(b *testing.B) {
	bench(b, message(b, true), func(raw []byte) error { _, err := ParseDNS(raw, false); return err })
}

func BenchmarkHTTP(b *testing.B) {
	raw := []byte("GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nReferer: http://x/\r\n\r\n")
	bench(b, raw, func(raw []byte) error { _, err := ParseHTTP(raw); return err })
}

func BenchmarkTLS(b *testing.B) {
	client, _ := exchange(b, &tls.Config{ServerName: "www.example.com", InsecureSkipVerify: true, NextProtos: []string{"h2"}}, tls.VersionTLS13)
	bench(b, client, func(raw []byte) error {
		h, err := ParseTLS(raw)
		h.JA3()
		h.JA4()
		return err
	})
}

// BenchmarkHostile has names of as many pointers as there may be, in as many answers.
func BenchmarkHostile(b *testing.B) {
	const chain = maxPointers - 2
	raw := []byte{0, 1, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0}
	// The data of the first answer is the chain, whose end is that answer's own name.
	raw = append(raw, 0, 0, 99, 0, 1, 0, 0, 0, 0, 0, 2*chain)
	first := len(raw)
	for i := range chain {
		target := first + 2*(i-1)
		if i == 0 {
			target = 12
		}
		raw = append(raw, 0xC0, byte(target))
	}
	for range 255 {
		raw = append(raw, 0xC0, byte(first+2*(chain-1)), 0, 1, 0, 1, 0, 0, 0, 0, 0, 0)
	}
	bench(b, raw, func(raw []byte) error {
		m, err := ParseDNS(raw, false)
		if len(m.Answers) != maxAnswers {
			b.Fatalf("%d answers, %v", len(m.Answers), err)
		}
		return err
	})
}
