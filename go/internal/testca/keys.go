package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"sync"
)

// Algorithm is the kind of a key.
type Algorithm int

// The kinds of keys that certificates have.
const (
	P256 Algorithm = iota
	P384
	P521
	RSA2048
	Ed25519
)

// Algorithms are all of them.
var Algorithms = []Algorithm{RSA2048, P256, P384, P521, Ed25519}

// String is the algorithm's usual name.
func (a Algorithm) String() string {
	return [...]string{"P-256", "P-384", "P-521", "RSA-2048", "Ed25519"}[a]
}

// NewKey makes a private key that no other certificate has.
func NewKey(algorithm Algorithm) crypto.Signer {
	if algorithm == RSA2048 {
		return must(rsa.GenerateKey(rand.Reader, 2048))
	}
	return newKey(algorithm)
}

// An RSA key takes a tenth of a second to make; a few serve all names.
var rsaKeys = struct {
	sync.Mutex
	keys []*rsa.PrivateKey
	next int
}{keys: make([]*rsa.PrivateKey, 4)}

func newKey(algorithm Algorithm) crypto.Signer {
	switch algorithm {
	case P384:
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case P521:
		return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	case RSA2048:
		return nextRSAKey()
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	default:
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	}
}

func nextRSAKey() *rsa.PrivateKey {
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	slot := &rsaKeys.keys[rsaKeys.next%len(rsaKeys.keys)]
	rsaKeys.next++
	if *slot == nil {
		*slot = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	return *slot
}

// PKCS8 writes any key as PRIVATE KEY.
func PKCS8(key crypto.Signer) []byte {
	return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
}

// PKCS1 writes an RSA key as RSA PRIVATE KEY.
func PKCS1(key crypto.Signer) []byte {
	return block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey)))
}

// SEC1 writes an ECDSA key as EC PRIVATE KEY.
func SEC1(key crypto.Signer) []byte {
	return block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))))
}

// ECParameters writes what openssl puts before a P-256 key.
func ECParameters() []byte {
	return block("EC PARAMETERS", must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7})))
}

// Encrypted writes a key as ENCRYPTED PRIVATE KEY. What stands in it is noise: nobody has a passphrase to try.
func Encrypted() []byte {
	noise := make([]byte, 200)
	_, _ = rand.Read(noise)
	return block("ENCRYPTED PRIVATE KEY", noise)
}

func block(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

// must panics on what cannot fail with the arguments given here.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
