// Package testca mints the certificates of every test, and of the demo.
package testca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"
)

// Authority is a root and an intermediate that sign leafs. It remembers every key it has made, so that a test can
// look for them where they must not be. Safe for concurrent use.
type Authority struct {
	root, intermediate       *x509.Certificate
	rootKey, intermediateKey crypto.Signer

	mutex  sync.Mutex
	minted []crypto.Signer
}

// Leaf says what a certificate is to be like; only Names must be given.
type Leaf struct {
	Names               []string // host names or IP addresses
	Algorithm           Algorithm
	NotBefore, NotAfter time.Time // an hour ago and in 30 days, if zero
}

// Bundle is a certificate with its chain and key.
type Bundle struct {
	Chain [][]byte // DER, leaf first, without the root
	Key   crypto.Signer
}

// NewAuthority makes an authority with new keys.
func NewAuthority() *Authority {
	a := &Authority{rootKey: newKey(P256), intermediateKey: newKey(P256)}
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root := template("Test Root")
	a.root = sign(root, root, a.rootKey.Public(), a.rootKey)
	a.intermediate = sign(template("Test Intermediate"), a.root, a.intermediateKey.Public(), a.rootKey)
	return a
}

// Issue makes a certificate with a key of its own.
func (a *Authority) Issue(leaf Leaf) Bundle {
	key := newKey(leaf.Algorithm)
	a.mutex.Lock()
	a.minted = append(a.minted, key)
	a.mutex.Unlock()

	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().AddDate(0, 0, 30)
	}
	for _, name := range leaf.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	certificate := sign(template, a.intermediate, key.Public(), a.intermediateKey)
	return Bundle{Chain: [][]byte{certificate.Raw, a.intermediate.Raw}, Key: key}
}

// Roots is what a client trusts that trusts this authority.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// RootPEM is the root as PEM text.
func (a *Authority) RootPEM() []byte {
	return block("CERTIFICATE", a.root.Raw)
}

// Secrets lists pieces of the text of every private key made so far, each long enough to be no coincidence.
func (a *Authority) Secrets() []string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	var pieces []string
	for _, key := range a.minted {
		forms := [][]byte{must(x509.MarshalPKCS8PrivateKey(key))}
		switch key := key.(type) {
		case *rsa.PrivateKey:
			forms = append(forms, x509.MarshalPKCS1PrivateKey(key))
		case *ecdsa.PrivateKey:
			forms = append(forms, must(x509.MarshalECPrivateKey(key)))
		}
		for _, der := range forms {
			for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(der)), 64) {
				if len(line) >= 40 {
					pieces = append(pieces, string(line))
				}
			}
		}
	}
	slices.Sort(pieces)
	return slices.Compact(pieces)
}

// CertificatesPEM is the chain as PEM text.
func (b Bundle) CertificatesPEM() []byte {
	var text bytes.Buffer
	for _, der := range b.Chain {
		text.Write(block("CERTIFICATE", der))
	}
	return text.Bytes()
}

// PEM is what a backend sends: the chain, then the key.
func (b Bundle) PEM() []byte {
	return append(b.CertificatesPEM(), PKCS8(b.Key)...)
}

// TLS is the bundle as Go's TLS takes it.
func (b Bundle) TLS() tls.Certificate {
	return tls.Certificate{Certificate: b.Chain, PrivateKey: b.Key}
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, public, key))))
}

func serial() *big.Int {
	return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)))
}
