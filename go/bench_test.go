package cachedhttp

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// The Go side's share of a handshake, through the native engine and back:
//
//	go test -run '^$' -bench . -benchmem

// BenchmarkHit asks for a name that is known. The target is 250 ns without an allocation.
func BenchmarkHit(b *testing.B) {
	for _, names := range []int{1, 1000} {
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			getter, hellos := warmNames(b, testca.P256, names)
			b.ReportAllocs()
			for turn := 0; b.Loop(); turn++ {
				if _, err := getter.GetCertificate(context.Background(), hellos[turn%names]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSign makes the signature of a TLS 1.3 handshake with the engine's keys and with Go's: hot, again and
// again, and cold, as for a name whose last signature the processor's caches have forgotten.
func BenchmarkSign(b *testing.B) {
	for _, kind := range []testca.Algorithm{testca.P256, testca.RSA2048} {
		getter, hellos := warmNames(b, kind, 1)
		certificate, err := getter.GetCertificate(context.Background(), hellos[0])
		if err != nil {
			b.Fatal(err)
		}
		for _, side := range []struct {
			name   string
			signer crypto.Signer
		}{
			{"engine", certificate.PrivateKey.(crypto.Signer)},
			{"Go", testca.NewKey(kind)},
		} {
			b.Run(kind.String()+"/hot/"+side.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					signHandshake(b, kind, side.signer)
				}
			})
			b.Run(kind.String()+"/cold/"+side.name, func(b *testing.B) {
				var took time.Duration
				for b.Loop() {
					emptyCaches()
					start := time.Now()
					signHandshake(b, kind, side.signer)
					took += time.Since(start)
				}
				b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/signature")
			})
		}
	}
}

// handshakeMessage is as long as what is signed in TLS 1.3 (RFC 8446 4.4.3) with SHA-256.
var handshakeMessage = make([]byte, 64+33+1+32)

func signHandshake(b *testing.B, kind testca.Algorithm, signer crypto.Signer) {
	var options crypto.SignerOpts = crypto.SHA256
	if kind == testca.RSA2048 {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	// As crypto/tls does: the message itself if the signer takes it.
	if _, err := crypto.SignMessage(signer, rand.Reader, handshakeMessage, options); err != nil {
		b.Fatal(err)
	}
}

var cacheFiller = make([]byte, 32<<20)

// emptyCaches touches more memory than the caches near a core hold.
func emptyCaches() {
	for place := 0; place < len(cacheFiller); place += 64 {
		cacheFiller[place]++
	}
}

// warmNames is a getter that knows so many names, each asked for twice, and their hellos.
func warmNames(b *testing.B, kind testca.Algorithm, number int) (*CertGetter, []*tls.ClientHelloInfo) {
	b.Helper()
	backend := testbackend.New(b)
	getter := openGetter(b, backend, "")
	hellos := make([]*tls.ClientHelloInfo, number)
	for index := range hellos {
		name := fmt.Sprintf("name%d.example", index)
		backend.Keep(name, backend.Bundle(kind, name), "s-maxage=600")
		hellos[index] = storetest.Hello(name)
		for range 2 {
			if certificate, err := getter.GetCertificate(context.Background(), hellos[index]); certificate == nil {
				b.Fatal(err)
			}
		}
	}
	return getter, hellos
}
