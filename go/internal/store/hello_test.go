package store

import (
	"crypto/tls"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

func TestHelloFlags(t *testing.T) {
	both := native.HelloECDSA | native.HelloEd25519
	tls13 := []uint16{tls.VersionTLS13, tls.VersionTLS12}
	tls12 := []uint16{tls.VersionTLS12}
	ecdsaSuite := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	rsaSuite := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	schemes := []tls.SignatureScheme{tls.PSSWithSHA256, tls.ECDSAWithP384AndSHA384, tls.Ed25519}
	for _, test := range []struct {
		name  string
		hello tls.ClientHelloInfo
		want  native.HelloFlags
	}{
		{"nothing", tls.ClientHelloInfo{}, 0},
		{"1.3", tls.ClientHelloInfo{SupportedVersions: tls13, SignatureSchemes: schemes}, both},
		{"1.3, RSA only", tls.ClientHelloInfo{SupportedVersions: tls13, SignatureSchemes: schemes[:1], CipherSuites: ecdsaSuite}, 0},
		{"1.3 without Ed25519", tls.ClientHelloInfo{SupportedVersions: tls13, SignatureSchemes: schemes[:2]}, native.HelloECDSA},
		{"1.2", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: ecdsaSuite, SupportedCurves: []tls.CurveID{tls.X25519, tls.CurveP256}}, both},
		{"1.2, no curve named", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: ecdsaSuite}, both},
		{"1.2, other curve", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: ecdsaSuite, SupportedCurves: []tls.CurveID{tls.X25519}}, 0},
		{"1.2, RSA suites", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: rsaSuite}, 0},
		{"1.2, no schemes", tls.ClientHelloInfo{SupportedVersions: tls12, CipherSuites: ecdsaSuite}, 0},
	} {
		if flags := helloFlags(&test.hello); flags != test.want {
			t.Errorf("%s: %b", test.name, flags)
		}
	}
}
