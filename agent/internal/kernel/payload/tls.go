package payload

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of a handshake as it is read.
const (
	maxRecords = 16
	maxHello   = 16 << 10
	maxList    = 512 // ciphers, extensions and the like
)

// ErrNotTLS is of what is no TLS handshake.
var ErrNotTLS = errors.New("no TLS handshake")

// TLS is what the first flight of one direction says.
type TLS struct {
	// Server: it is a ServerHello; else a ClientHello.
	Server bool
	// Version is the hello's own, Versions those of supported_versions: offered by
	// a client, or the one chosen by a server.
	Version  uint16
	Versions []uint16
	SNI      string
	ALPN     []string
	Ciphers  []uint16 // offered, or the one chosen
	// Extensions are their numbers in order; Groups, PointFormats and
	// SignatureAlgorithms are a client's.
	Extensions          []uint16
	Groups              []uint16
	PointFormats        []uint8
	SignatureAlgorithms []uint16
	// Subject and Issuer are of the server's certificate, where it is in clear (TLS
	// 1.2 and older) and was copied.
	Subject, Issuer string
	// Cut: the copy ends before the hello, or the certificate, does, or something of
	// them is longer than is read. HelloCut: the lists that fingerprints are made of
	// are not whole. Early: the copy ends where more of it would tell more.
	Cut, HelloCut, Early bool
}

// Newest is the version that a server chose, or the newest that a client offers.
func (t *TLS) Newest() uint16 {
	if t.Server {
		return t.chosen()
	}
	if offered := withoutGrease(t.Versions); len(offered) > 0 {
		return slices.Max(offered)
	}
	return t.Version
}

// ParseTLS reads the records that b begins with. A hello may be split over records.
func ParseTLS(b []byte) (TLS, error) {
	handshake, cut, open, err := handshakeBytes(b)
	if err != nil {
		return TLS{}, err
	}
	t := TLS{}
	s := cryptobyte.String(handshake)
	var kind uint8
	var length uint32
	if !s.ReadUint8(&kind) || kind != 1 && kind != 2 || !readUint24(&s, &length) || length > maxHello {
		return TLS{}, ErrNotTLS
	}
	t.Server = kind == 2
	body := s
	if int(length) <= len(s) {
		body = s[:length]
		s = s[length:]
	} else {
		t.Cut, t.HelloCut, t.Early, s = true, true, true, nil
	}
	if !t.hello(body) {
		return TLS{}, ErrNotTLS
	}
	if t.Server && t.chosen() < 0x0304 {
		t.certificate(s, cut, open)
	}
	return t, nil
}

// handshakeBytes puts the handshake together from its records. cut: b ends within one.
// open: nothing else follows them, so there may be more.
func handshakeBytes(b []byte) (handshake []byte, cut, open bool, err error) {
	s := cryptobyte.String(b)
	for range maxRecords {
		var kind uint8
		var version, length uint16
		if s.Empty() {
			open = true
			break
		}
		if !s.ReadUint8(&kind) || !s.ReadUint16(&version) || !s.ReadUint16(&length) {
			cut = true
			break
		}
		if kind != 22 || version>>8 != 3 || length == 0 || length > maxHello+256 {
			if len(handshake) == 0 {
				return nil, false, false, ErrNotTLS
			}
			break // something else follows the handshake
		}
		n := min(int(length), len(s))
		handshake, cut = append(handshake, s[:n]...), n < int(length)
		s = s[n:]
		if len(handshake) > 2*maxHello {
			break
		}
	}
	if len(handshake) < 4 {
		return nil, false, false, ErrNotTLS
	}
	return handshake, cut, open || cut, nil
}

func readUint24(s *cryptobyte.String, v *uint32) bool {
	return s.ReadUint24(v)
}

// hello reads a hello as far as it goes. It is false for what cannot be one.
func (t *TLS) hello(s cryptobyte.String) bool {
	var random, session cryptobyte.String
	if !s.ReadUint16(&t.Version) || t.Version>>8 != 3 {
		return false
	}
	if !s.ReadBytes((*[]byte)(&random), 32) || !s.ReadUint8LengthPrefixed(&session) || len(session) > 32 {
		return t.Cut
	}
	if t.Server {
		var cipher uint16
		var compression uint8
		if !s.ReadUint16(&cipher) || !s.ReadUint8(&compression) {
			return t.Cut
		}
		t.Ciphers = []uint16{cipher}
	} else {
		var ciphers, compressions cryptobyte.String
		if !prefixed16(&s, &ciphers, &t.Cut) {
			return t.Cut
		}
		t.Ciphers = t.list(ciphers)
		if !s.ReadUint8LengthPrefixed(&compressions) {
			return t.Cut
		}
	}
	if s.Empty() {
		return true // without extensions, or cut there
	}
	var extensions cryptobyte.String
	if !prefixed16(&s, &extensions, &t.Cut) && !t.Cut {
		return false
	}
	for !extensions.Empty() {
		if len(t.Extensions) == maxList {
			t.Cut, t.HelloCut = true, true
			break
		}
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return t.Cut
		}
		t.Extensions = append(t.Extensions, kind)
		t.extension(kind, data)
	}
	return true
}

// prefixed16 reads a list after its length; where a copy was cut, what there is.
func prefixed16(s, out *cryptobyte.String, cut *bool) bool {
	var n uint16
	if !s.ReadUint16(&n) {
		return false
	}
	if int(n) > len(*s) {
		if !*cut {
			return false
		}
		*out, *s = *s, nil
		return true
	}
	*out, *s = (*s)[:n], (*s)[n:]
	return true
}

// list reads numbers, as many as are kept.
func (t *TLS) list(s cryptobyte.String) (list []uint16) {
	var v uint16
	for len(list) < maxList && s.ReadUint16(&v) {
		list = append(list, v)
	}
	if len(s) > 1 {
		t.Cut, t.HelloCut = true, true
	}
	return list
}

// extension reads one; what is malformed in it is left out.
func (t *TLS) extension(kind uint16, data cryptobyte.String) {
	var list, item cryptobyte.String
	var one uint8
	switch kind {
	case 0: // server_name
		if !t.Server && data.ReadUint16LengthPrefixed(&list) && list.ReadUint8(&one) && one == 0 && list.ReadUint16LengthPrefixed(&item) {
			t.Cut = t.Cut || len(item) > maxName
			t.SNI = printable(item[:min(len(item), maxName)])
		}
	case 10: // supported_groups
		if data.ReadUint16LengthPrefixed(&list) {
			t.Groups = t.list(list)
		}
	case 11: // ec_point_formats
		if data.ReadUint8LengthPrefixed(&list) {
			t.PointFormats = slices.Clone([]uint8(list))
		}
	case 13: // signature_algorithms
		if data.ReadUint16LengthPrefixed(&list) {
			t.SignatureAlgorithms = t.list(list)
		}
	case 16: // alpn
		if data.ReadUint16LengthPrefixed(&list) {
			for len(t.ALPN) < maxAnswers && list.ReadUint8LengthPrefixed(&item) {
				t.ALPN = append(t.ALPN, printable(item))
			}
			t.Cut = t.Cut || len(t.ALPN) == maxAnswers && !list.Empty()
		}
	case 43: // supported_versions
		if t.Server {
			t.Versions = t.list(data)
		} else if data.ReadUint8LengthPrefixed(&list) {
			t.Versions = t.list(list)
		}
	}
}

// chosen is the version that a server chose.
func (t *TLS) chosen() uint16 {
	if len(t.Versions) > 0 {
		return t.Versions[0]
	}
	return t.Version
}

// certificate reads subject and issuer of the first certificate behind a hello.
func (t *TLS) certificate(s cryptobyte.String, cut, open bool) {
	var kind uint8
	var length, total, size uint32
	if !s.ReadUint8(&kind) {
		t.Cut, t.Early = t.Cut || cut, open && !t.HelloCut || t.Early
		return
	}
	if kind != 11 || !s.ReadUint24(&length) || !s.ReadUint24(&total) || !s.ReadUint24(&size) {
		t.Cut, t.Early = t.Cut || kind == 11, t.Early || kind == 11
		return
	}
	t.Early = t.Early || int(size) > len(s)
	t.Cut = t.Cut || int(size) > len(s)
	der := s[:min(int(size), len(s))]
	// The names stand at the front of a certificate: a copy that is cut behind them
	// still tells them, so lengths of what holds them are not insisted on.
	for range 2 {
		if der = inside(der); der == nil {
			return
		}
	}
	var skipped cryptobyte.String
	if !der.SkipOptionalASN1(cbasn1.Tag(0).Constructed().ContextSpecific()) || !der.SkipASN1(cbasn1.INTEGER) || !der.ReadASN1(&skipped, cbasn1.SEQUENCE) {
		return
	}
	var issuer, subject cryptobyte.String
	if !der.ReadASN1Element(&issuer, cbasn1.SEQUENCE) {
		return
	}
	t.Issuer = t.distinguishedName(issuer)
	if der.SkipASN1(cbasn1.SEQUENCE) && der.ReadASN1Element(&subject, cbasn1.SEQUENCE) {
		t.Subject = t.distinguishedName(subject)
	}
}

// inside steps into a sequence, whether or not all of it is there.
func inside(s cryptobyte.String) cryptobyte.String {
	if len(s) < 2 || s[0] != 0x30 {
		return nil
	}
	if s[1] < 0x80 {
		return s[2:]
	}
	n := int(s[1] & 0x7F)
	if n > 4 || len(s) < 2+n {
		return nil
	}
	return s[2+n:]
}

func (t *TLS) distinguishedName(der []byte) string {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
		return ""
	}
	if len(sequence) > maxAnswers {
		t.Cut = true
		return ""
	}
	name := printable([]byte(sequence.String()))
	t.Cut = t.Cut || len(name) > maxValue
	return name[:min(len(name), maxValue)]
}

// grease reports a number that clients throw in to keep servers tolerant.
func grease(v uint16) bool { return v&0x0F0F == 0x0A0A && v>>8 == v&0xFF }

func withoutGrease(list []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(list), grease)
}

// JA3 is the fingerprint of a client's hello as text, and its MD5.
func (t *TLS) JA3() (text, hash string) {
	decimal := func(list []uint16) string {
		parts := make([]string, 0, len(list))
		for _, v := range withoutGrease(list) {
			parts = append(parts, strconv.Itoa(int(v)))
		}
		return strings.Join(parts, "-")
	}
	formats := make([]string, len(t.PointFormats))
	for i, f := range t.PointFormats {
		formats[i] = strconv.Itoa(int(f))
	}
	text = fmt.Sprintf("%d,%s,%s,%s,%s", t.Version, decimal(t.Ciphers), decimal(t.Extensions), decimal(t.Groups), strings.Join(formats, "-"))
	sum := md5.Sum([]byte(text))
	return text, hex.EncodeToString(sum[:])
}

// JA3S is a server's.
func (t *TLS) JA3S() (text, hash string) {
	parts := make([]string, 0, len(t.Extensions))
	for _, v := range t.Extensions {
		parts = append(parts, strconv.Itoa(int(v)))
	}
	cipher := uint16(0)
	if len(t.Ciphers) > 0 {
		cipher = t.Ciphers[0]
	}
	text = fmt.Sprintf("%d,%d,%s", t.Version, cipher, strings.Join(parts, "-"))
	sum := md5.Sum([]byte(text))
	return text, hex.EncodeToString(sum[:])
}

// ja4Versions are a version's two characters.
var ja4Versions = map[uint16]string{0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}

// JA4 is the newer fingerprint of a client's hello over TCP: what it offers in
// sorted order, so that clients which shuffle their extensions keep one. It is ""
// where the hello is cut, for it would be another's.
func (t *TLS) JA4() string {
	if t.HelloCut || t.Server {
		return ""
	}
	code := ja4Versions[t.Newest()]
	if code == "" {
		code = "00"
	}
	domain := "i"
	if slices.Contains(t.Extensions, 0) {
		domain = "d"
	}
	ciphers, extensions := withoutGrease(t.Ciphers), withoutGrease(t.Extensions)
	return fmt.Sprintf("t%s%s%02d%02d%s_%s_%s", code, domain, min(len(ciphers), 99), min(len(extensions), 99), ja4ALPN(t.ALPN), ja4Hash(hexList(ciphers, true), ""),
		ja4Hash(hexList(slices.DeleteFunc(slices.Clone(extensions), func(v uint16) bool { return v == 0 || v == 16 }), true), hexList(withoutGrease(t.SignatureAlgorithms), false)))
}

// ja4ALPN is the first and last character of the first protocol.
func ja4ALPN(protocols []string) string {
	if len(protocols) == 0 || protocols[0] == "" {
		return "00"
	}
	first, last := protocols[0][0], protocols[0][len(protocols[0])-1]
	alphanumeric := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	if alphanumeric(first) && alphanumeric(last) {
		return string([]byte{first, last})
	}
	const digits = "0123456789abcdef"
	return string([]byte{digits[first>>4], digits[last&15]})
}

func hexList(list []uint16, sorted bool) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = fmt.Sprintf("%04x", v)
	}
	if sorted {
		slices.Sort(parts)
	}
	return strings.Join(parts, ",")
}

// ja4Hash is the first 12 digits of the SHA-256 of a list, with another behind it
// where there is one.
func ja4Hash(list, behind string) string {
	if list == "" {
		return "000000000000"
	}
	if behind != "" {
		list += "_" + behind
	}
	sum := sha256.Sum256([]byte(list))
	return hex.EncodeToString(sum[:6])
}
