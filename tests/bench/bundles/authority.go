// Package bundles makes certificates for as many names as a benchmark asks for: a chain of leaf and shared
// intermediate, and a private key, as PEM.
package bundles

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Kind is the type of the leaf's key, and of the intermediate's.
type Kind string

// The kinds that the targets name.
const (
	RSA2048   Kind = "rsa"
	ECDSAP256 Kind = "ecdsa"
)

// Name is the n-th name. All have the same length, which the ECDSA issuer relies on.
func Name(n int) string {
	return fmt.Sprintf("n%07d.bench.test", n)
}

// authority is the intermediate that all leaves of one kind share; it signs them and stands in their chains.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	pem         []byte
}

// newAuthority makes an intermediate of the key's type. Its own issuer is made up: nobody here checks it.
func newAuthority(kind Kind) (*authority, error) {
	key, err := newKey(kind)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Organization: []string{"Benchmark"}, CommonName: "Benchmark Intermediate " + string(kind)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(5, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	root := *template
	root.Subject.CommonName = "Benchmark Root"
	root.SubjectKeyId = []byte("benchmark root key 1")
	der, err := x509.CreateCertificate(rand.Reader, template, &root, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

func newKey(kind Kind) (crypto.Signer, error) {
	switch kind {
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return nil, fmt.Errorf("no kind of key %q: use %s or %s", kind, RSA2048, ECDSAP256)
	}
}

// leafTemplate has what certificates of public authorities have, so that sizes are like theirs, but for an OCSP
// server: Caddy would ask it.
func leafTemplate(name string, serial *big.Int) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(0, 0, 90),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IssuingCertificateURL: []string{"http://issuer.bench.test/intermediate.der"},
		CRLDistributionPoints: []string{"http://issuer.bench.test/revoked.crl"},
	}
}

// bundle is the PEM text that a backend answers: leaf, intermediate, key in PKCS#8.
func (a *authority) bundle(leaf []byte, key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})
	text = append(text, a.pem...)
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}
