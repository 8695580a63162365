package event_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"math/big"
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/drivertest"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// piece is a copy of a part of what a side of flow 77 sends.
func piece(t *testing.T, inbound, hint uint8, offset int, data []byte) *kernel.Record {
	t.Helper()
	b := ends(inbound, 50000, 53)(body().U64(77, 88, uint64(offset), uint64(len(data)))).U8(4, 6, inbound, hint).Bytes(data)
	return decode(t, by(kernel.ClassPayload, kernel.KindPayloadCopied, b))
}

// told is what events say, without where they are from.
func told(t *testing.T, events []*telemetryv1.Event) (out []map[string]any) {
	t.Helper()
	for i, ev := range events {
		if ev.GetPosition().GetOrdinal() > uint32(i) {
			t.Errorf("event %d has the ordinal %d", i, ev.GetPosition().GetOrdinal())
		}
		out = append(out, plain(t, ev))
	}
	return out
}

func framed(messages ...[]byte) (out []byte) {
	for _, m := range messages {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(m))), m...)
	}
	return out
}

// sent are what one side may send.
func sent(t *testing.T) map[string]struct {
	hint uint8
	data []byte
	want int
} {
	request := []byte("POST /login HTTP/1.1\r\nHost: intranet.example\r\nUser-Agent: evil/1.0\r\n\r\n")
	return map[string]struct {
		hint uint8
		data []byte
		want int
	}{
		"questions": {1, framed(question(t, false), question(t, false)), 2}, "request": {2, request, 1}, "hello": {3, hello(), 1},
	}
}

// TestSplitAnywhere: what is sent in two pieces, wherever it is split, or byte by byte,
// is told as it is when sent at once.
func TestSplitAnywhere(t *testing.T) {
	t.Parallel()
	for name, s := range sent(t) {
		whole := told(t, fresh().Events(piece(t, 0, s.hint, 0, s.data)))
		if len(whole) != s.want {
			t.Fatalf("%s: %d events, want %d", name, len(whole), s.want)
		}
		for n := 1; n < len(s.data); n++ {
			m := fresh()
			events := slices.Concat(m.Events(piece(t, 0, s.hint, 0, s.data[:n])), m.Events(piece(t, 0, s.hint, n, s.data[n:])))
			if diff := cmp.Diff(whole, told(t, events)); diff != "" {
				t.Fatalf("%s split at %d:\n%s", name, n, diff)
			}
		}
		m, events := fresh(), []*telemetryv1.Event(nil)
		for i := range s.data {
			events = append(events, m.Events(piece(t, 0, s.hint, i, s.data[i:i+1]))...)
		}
		if diff := cmp.Diff(whole, told(t, events)); diff != "" {
			t.Errorf("%s byte by byte:\n%s", name, diff)
		}
	}
}

// TestNeverWhole: what is never sent whole is told as cut, once nothing more can come:
// the other side answers, the flow ends, a copy is missing, or no more is copied.
func TestNeverWhole(t *testing.T) {
	t.Parallel()
	head := []byte("GET /long HTTP/1.1\r\nHost: a.example\r\nX: ")
	filler := bytes.Repeat([]byte("x"), 2048-len(head))
	ended := decode(t, by(kernel.ClassNetwork, kernel.KindFlowEnded, flowBody(0, 0)))
	for name, next := range map[string]*kernel.Record{
		"answered": piece(t, 1, 2, 0, []byte("HTTP/1.1 200 OK\r\n\r\n")), "ended": ended,
		"missing": piece(t, 0, 2, len(head)+1, []byte("y\r\n\r\n")), "no more": piece(t, 0, 2, len(head), filler),
	} {
		m := fresh()
		if early := m.Events(piece(t, 0, 2, 0, head)); len(early) != 0 {
			t.Errorf("%s: told before it is whole: %v", name, early)
		}
		requests := requestsOf(m.Events(next))
		if len(requests) != 1 || requests[0].GetUrl() != "http://a.example/long" || !requests[0].GetCut() {
			t.Errorf("%s: %v", name, requests)
		}
		if again := requestsOf(slices.Concat(m.Events(piece(t, 0, 2, 2048, head)), m.Events(ended))); len(again) != 0 {
			t.Errorf("%s: told again: %v", name, again)
		}
	}
}

func requestsOf(events []*telemetryv1.Event) (out []*telemetryv1.HttpEvent) {
	for _, ev := range events {
		if body := ev.GetHttp(); body.GetAction() == "HTTP_REQUEST" {
			out = append(out, body)
		}
	}
	return out
}

// serverFlight is what a server of TLS 1.2 sends first, with its certificate.
func serverFlight(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	go func() {
		_ = tls.Client(a, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake() // until the pipe closes
	}()
	server := &sender{Conn: b}
	if err := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}).Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	return server.first
}

// sender keeps what is written first.
type sender struct {
	net.Conn
	first []byte
}

func (s *sender) Write(b []byte) (int, error) {
	if s.first == nil {
		s.first = bytes.Clone(b)
	}
	return s.Conn.Write(b)
}

// TestCertificateInAnotherPiece: wherever a server's first flight is split, its hello
// is told once, with the certificate.
func TestCertificateInAnotherPiece(t *testing.T) {
	t.Parallel()
	flight := serverFlight(t)
	for n := 1; n < len(flight); n++ {
		m := fresh()
		events := slices.Concat(m.Events(piece(t, 1, 3, 0, flight[:n])), m.Events(piece(t, 1, 3, n, flight[n:])))
		if len(events) != 1 || events[0].GetSsl().GetSubjectName() != "CN=www.example.com" || events[0].GetSsl().GetJa3() == "" {
			t.Fatalf("split at %d of %d: %v", n, len(flight), events)
		}
	}
}

// TestEndBeforeCopies: an end may be read before the copies of its flow, and its number
// may be another flow's after.
func TestEndBeforeCopies(t *testing.T) {
	t.Parallel()
	m, head := fresh(), []byte("GET /a HTTP/1.1\r\nHost: a")
	m.Events(decode(t, by(kernel.ClassNetwork, kernel.KindFlowEnded, flowBody(0, 0))))
	if requests := requestsOf(m.Events(piece(t, 0, 2, 0, head))); len(requests) != 1 {
		t.Errorf("after the end: %v", requests)
	}
	m.Events(decode(t, by(kernel.ClassNetwork, kernel.KindFlowConnected, flowBody(0, 0))))
	events := slices.Concat(m.Events(piece(t, 0, 2, 0, head)), m.Events(piece(t, 0, 2, len(head), []byte("\r\n\r\n"))))
	if requests := requestsOf(events); len(requests) != 1 || requests[0].GetCut() {
		t.Errorf("of the next flow: %v", requests)
	}
}

// TestForgottenFlows: what is held of a flow is told when too many others come.
func TestForgottenFlows(t *testing.T) {
	t.Parallel()
	m, head := fresh(), []byte("GET /a HTTP/1.1\r\nHost: a")
	start := func(flow uint64) []*telemetryv1.Event {
		b := ends(0, 50000, 80)(body().U64(flow, 88, 0, uint64(len(head)))).U8(4, 6, 0, 2).Bytes(head)
		r := decode(t, drivertest.Record{Class: kernel.ClassPayload, Kind: kernel.KindPayloadCopied, Time: at, PID: 100, Body: b})
		return m.Events(r)
	}
	for flow := range uint64(4096) {
		if events := start(flow + 1); len(events) != 0 {
			t.Fatalf("flow %d: %v", flow, events)
		}
	}
	if requests := requestsOf(start(5000)); len(requests) != 1 || !requests[0].GetCut() {
		t.Errorf("forgotten was %v", requests)
	}
}
