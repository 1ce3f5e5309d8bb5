// Package testorigin is a certificate backend for tests: a real HTTP server with a certificate authority of
// its own.
package testorigin

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Origin answers with what a test says, and counts.
type Origin struct {
	*httptest.Server
	tb        testing.TB
	authority *x509.Certificate
	key       crypto.Signer

	mutex    sync.Mutex
	answers  map[string]http.HandlerFunc
	requests map[string][]*http.Request
}

// New starts an origin that knows no name: it answers 204. It ends with the test.
func New(tb testing.TB) *Origin {
	tb.Helper()
	origin := &Origin{
		tb:       tb,
		answers:  make(map[string]http.HandlerFunc),
		requests: make(map[string][]*http.Request),
	}
	origin.key = Key(tb, "P-256")
	origin.authority = origin.sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "test authority"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}, origin.key.Public())
	origin.Server = httptest.NewServer(http.HandlerFunc(origin.serve))
	tb.Cleanup(origin.Close)
	return origin
}

func (origin *Origin) serve(response http.ResponseWriter, request *http.Request) {
	name := request.URL.Query().Get("server_name")
	origin.mutex.Lock()
	origin.requests[name] = append(origin.requests[name], request)
	answer := origin.answers[name]
	origin.mutex.Unlock()
	if answer == nil {
		response.WriteHeader(http.StatusNoContent)
		return
	}
	answer(response, request)
}

// Answer says how requests for a name are answered from now on.
func (origin *Origin) Answer(name string, answer http.HandlerFunc) {
	origin.mutex.Lock()
	defer origin.mutex.Unlock()
	origin.answers[name] = answer
}

// Keep answers requests for a name with a bundle and, unless it is empty, this Cache-Control.
func (origin *Origin) Keep(name string, bundle []byte, cacheControl string) {
	origin.Answer(name, func(response http.ResponseWriter, _ *http.Request) {
		if cacheControl != "" {
			response.Header().Set("Cache-Control", cacheControl)
		}
		_, _ = response.Write(bundle)
	})
}

// Requests returns those that came for a name.
func (origin *Origin) Requests(name string) []*http.Request {
	origin.mutex.Lock()
	defer origin.mutex.Unlock()
	return origin.requests[name]
}

// Roots is what a client has to trust.
func (origin *Origin) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(origin.authority)
	return pool
}

// Bundle makes a certificate for the names, and a PEM text of it, the authority and the key. Kinds are those of
// Key.
func (origin *Origin) Bundle(kind string, names ...string) []byte {
	origin.tb.Helper()
	key := Key(origin.tb, kind)
	leaf := origin.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		DNSNames:    names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public())
	return origin.PEM(key, leaf, origin.authority)
}

// PEM joins certificates and a key.
func (origin *Origin) PEM(key crypto.Signer, certificates ...*x509.Certificate) []byte {
	origin.tb.Helper()
	var text bytes.Buffer
	for _, certificate := range certificates {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		origin.tb.Fatal(err)
	}
	_ = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return text.Bytes()
}

func (origin *Origin) sign(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	origin.tb.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(30 * 24 * time.Hour)
	parent := origin.authority
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, origin.key)
	if err != nil {
		origin.tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		origin.tb.Fatal(err)
	}
	return certificate
}

// Kinds are the kinds of key that certificates may have.
var Kinds = []string{"RSA-2048", "P-256", "P-384", "P-521", "Ed25519"}

// Key makes a private key of one of the Kinds.
func Key(tb testing.TB, kind string) crypto.Signer {
	tb.Helper()
	key, err := func() (crypto.Signer, error) {
		switch kind {
		case "RSA-2048":
			return rsa.GenerateKey(rand.Reader, 2048)
		case "P-256":
			return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case "P-384":
			return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case "P-521":
			return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		case "Ed25519":
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		}
		return nil, fmt.Errorf("no kind of key: %s", kind)
	}()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
