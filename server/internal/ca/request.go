package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"

	"github.com/assay-audit/assay/server/internal/assay"
)

// MaxRequest bounds a certificate request in bytes; one for P-256 has a few hundred.
const MaxRequest = 4 << 10

// MaxCertificate bounds a certificate that is sent to us, in bytes.
const MaxCertificate = 4 << 10

// ErrExpired says that a certificate would be believed but for its age.
var ErrExpired = errors.New("certificate has expired")

// RequestKey returns the P-256 key that a PKCS #10 request in DER proves to
// hold, and its SubjectPublicKeyInfo. What else the request asks for is
// ignored. It is Invalid if the request is anything else.
func RequestKey(der []byte) (key *ecdsa.PublicKey, spki []byte, err error) {
	if len(der) > MaxRequest {
		return nil, nil, assay.Errorf(assay.Invalid, "the certificate request has %d bytes, at most %d", len(der), MaxRequest)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil, &assay.Error{Kind: assay.Invalid, Msg: "the certificate request cannot be read", Err: err}
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, nil, assay.Errorf(assay.Invalid, "the certificate request's key is not P-256")
	}
	if request.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, nil, assay.Errorf(assay.Invalid, "the certificate request is not signed by ECDSA with SHA-256")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, nil, &assay.Error{Kind: assay.Invalid, Msg: "the certificate request's signature is wrong", Err: err}
	}
	spki, err = x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, nil, &assay.Error{Kind: assay.Invalid, Msg: "the certificate request's key cannot be used", Err: err}
	}
	return key, spki, nil
}

// VerifyRenewal believes a certificate that may be renewed at its agent's word:
// one of ours, valid now or expired no longer than assay.RenewalGrace ago.
func (a *Authority) VerifyRenewal(leaf *x509.Certificate) (assay.AgentID, error) {
	now := a.now()
	id, err := a.VerifyAgent(leaf, now)
	if !errors.Is(err, ErrExpired) || now.Before(leaf.NotAfter) || now.After(leaf.NotAfter.Add(assay.RenewalGrace)) {
		return id, err
	}
	return a.VerifyAgent(leaf, leaf.NotAfter)
}

func expiry(err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return errors.Join(ErrExpired, err)
	}
	return err
}

func verifyMessage(err error) string {
	if errors.Is(expiry(err), ErrExpired) {
		return "the certificate has expired or is not yet valid"
	}
	return "the certificate is not of this authority, or not for agents"
}
