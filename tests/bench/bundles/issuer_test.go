package bundles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

// A bundle must pass every check that a strict reader makes, or the variants would not be served the same.
func TestBundlesAreSound(t *testing.T) {
	for _, kind := range []Kind{RSA2048, ECDSAP256} {
		issuer, err := NewIssuer(kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 999_999} {
			bundle, err := issuer.Bundle(n)
			if err != nil {
				t.Fatal(err)
			}
			certificate, err := tls.X509KeyPair(bundle, bundle)
			if err != nil {
				t.Fatalf("%s %d: %v", kind, n, err)
			}
			leaf := certificate.Leaf
			if err := leaf.VerifyHostname(Name(n)); err != nil || leaf.Subject.CommonName != Name(n) {
				t.Errorf("%s %d: for %q, %v", kind, n, leaf.Subject.CommonName, err)
			}
			if len(certificate.Certificate) != 2 || leaf.SerialNumber.Cmp(serial(n)) != 0 {
				t.Errorf("%s %d: %d certificates, serial %v", kind, n, len(certificate.Certificate), leaf.SerialNumber)
			}
			roots := x509.NewCertPool()
			roots.AddCert(issuer.authority.certificate)
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: Name(n)}); err != nil {
				t.Errorf("%s %d: %v", kind, n, err)
			}
			if _, rest := pem.Decode(bundle); len(rest) == len(bundle) {
				t.Errorf("%s %d: not PEM", kind, n)
			}
		}
	}
}

func TestEachMakesEveryNameOnce(t *testing.T) {
	issuer, err := NewIssuer(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	made := make(chan int, 100)
	if err := issuer.Each(50, 100, func(n int, _ []byte) error { made <- n; return nil }); err != nil {
		t.Fatal(err)
	}
	close(made)
	seen := map[int]bool{}
	for n := range made {
		seen[n] = true
	}
	if len(seen) != 100 || !seen[50] || !seen[149] {
		t.Errorf("%d names", len(seen))
	}
}

func BenchmarkECDSABundle(b *testing.B) {
	issuer, err := NewIssuer(ECDSAP256)
	if err != nil {
		b.Fatal(err)
	}
	for n := range b.N {
		if _, err := issuer.Bundle(n % 1_000_000); err != nil {
			b.Fatal(err)
		}
	}
}
