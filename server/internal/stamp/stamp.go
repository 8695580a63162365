// Package stamp owns RFC 3161 time-stamps of checkpoints: asking an authority,
// and verifying what it said. It keeps nothing and reads no database.
package stamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"

	"github.com/assay-audit/assay/proto/evidence"
)

// MaxToken bounds a token, and the answer that holds it, in bytes.
const MaxToken = 64 << 10

// ErrInvalid is wrapped by all that is wrong with a token.
var ErrInvalid = errors.New("invalid time-stamp")

// Authority is a time-stamping authority.
type Authority struct {
	URL string
	// Roots are those of its certificates.
	Roots *x509.CertPool
}

// NewAuthority takes the roots from PEM.
func NewAuthority(url string, roots []byte) (*Authority, error) {
	a := &Authority{URL: url, Roots: x509.NewCertPool()}
	if !a.Roots.AppendCertsFromPEM(roots) {
		return nil, errors.New("the file with the roots of the time-stamping authority holds no certificate in PEM")
	}
	return a, nil
}

// Token is a verified time-stamp.
type Token struct {
	Raw []byte // DER
	At  time.Time
}

// Ask has a checkpoint's text stamped.
func (a *Authority) Ask(ctx context.Context, client *http.Client, c evidence.Checkpoint) (Token, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return Token{}, fmt.Errorf("drawing nonce: %w", err)
	}
	request, err := timestamp.CreateRequest(bytes.NewReader([]byte(c.Text())), &timestamp.RequestOptions{Hash: crypto.SHA256, Certificates: true, Nonce: nonce})
	if err != nil {
		return Token{}, fmt.Errorf("making time-stamp request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(request))
	if err != nil {
		return Token{}, fmt.Errorf("asking %s: %w", a.URL, err)
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	res, err := client.Do(req)
	if err != nil {
		return Token{}, fmt.Errorf("asking %s: %w", a.URL, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, MaxToken+1))
	if err != nil {
		return Token{}, fmt.Errorf("asking %s: %w", a.URL, err)
	}
	if res.StatusCode != http.StatusOK || len(answer) > MaxToken {
		return Token{}, fmt.Errorf("asking %s: %s, %d bytes", a.URL, res.Status, len(answer))
	}
	stamped, err := parse(answer, timestamp.ParseResponse)
	if err != nil {
		return Token{}, fmt.Errorf("asking %s: %w", a.URL, err)
	}
	if stamped.Nonce == nil || stamped.Nonce.Cmp(nonce) != 0 {
		return Token{}, fmt.Errorf("asking %s: %w: the answer is to another question", a.URL, ErrInvalid)
	}
	at, err := a.Verify(c, stamped.RawToken)
	return Token{Raw: stamped.RawToken, At: at}, err
}

// Verify verifies that the authority stamped the checkpoint's text, and returns
// when. Its certificate must have been valid then.
func (a *Authority) Verify(c evidence.Checkpoint, token []byte) (time.Time, error) {
	return verify(c, token, func(signed *pkcs7.PKCS7, at time.Time) error {
		options := x509.VerifyOptions{Roots: a.Roots, Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}
		for _, certificate := range signed.Certificates {
			options.Intermediates.AddCert(certificate)
		}
		return signed.VerifyWithOpts(options)
	})
}

// VerifyAlone verifies that a token is of the checkpoint's text and signed by
// the certificate in it, and returns the time that it states. Whose certificate
// that is is for who knows the authority's roots.
func VerifyAlone(c evidence.Checkpoint, token []byte) (time.Time, error) {
	return verify(c, token, func(signed *pkcs7.PKCS7, _ time.Time) error { return signed.Verify() })
}

func verify(c evidence.Checkpoint, token []byte, signer func(signed *pkcs7.PKCS7, at time.Time) error) (time.Time, error) {
	if len(token) > MaxToken {
		return time.Time{}, fmt.Errorf("%w: %d bytes", ErrInvalid, len(token))
	}
	stamped, err := parse(token, timestamp.Parse)
	if err != nil {
		return time.Time{}, err
	}
	if want := sha256.Sum256([]byte(c.Text())); stamped.HashAlgorithm != crypto.SHA256 || !bytes.Equal(stamped.HashedMessage, want[:]) {
		return time.Time{}, fmt.Errorf("%w: it is of something else", ErrInvalid)
	}
	if err := verifySigner(token, stamped.Time, signer); err != nil {
		return time.Time{}, err
	}
	return stamped.Time.UTC(), nil
}

func verifySigner(token []byte, at time.Time, signer func(signed *pkcs7.PKCS7, at time.Time) error) (err error) {
	defer recovered(&err)
	signed, err := parseSigned(token)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(signed.Certificates) == 0 || len(signed.Signers) != 1 {
		return fmt.Errorf("%w: it has %d certificates and %d signers", ErrInvalid, len(signed.Certificates), len(signed.Signers))
	}
	if err := signer(signed, at); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// parsing is held around the library's parsers: pkcs7 counts the depth at which it
// encodes in a variable of its own, which two at once would race for.
var parsing sync.Mutex

func parseSigned(token []byte) (*pkcs7.PKCS7, error) {
	parsing.Lock()
	defer parsing.Unlock()
	return pkcs7.Parse(token)
}

// parse keeps what a parser of others' bytes may do from becoming ours.
func parse(raw []byte, with func([]byte) (*timestamp.Timestamp, error)) (t *timestamp.Timestamp, err error) {
	defer recovered(&err)
	parsing.Lock()
	defer parsing.Unlock()
	if t, err = with(raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return t, nil
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: it cannot be parsed: %v", ErrInvalid, r)
	}
}
