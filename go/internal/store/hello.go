package store

import (
	"crypto/tls"
	"net"
	"net/url"
	"slices"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// helloFlags tells which kinds of certificate the client can use. It allocates nothing: every handshake asks.
func helloFlags(hello *tls.ClientHelloInfo) native.HelloFlags {
	if !supportsECDSA(hello) {
		return 0
	}
	var flags native.HelloFlags
	for _, scheme := range hello.SignatureSchemes {
		switch scheme {
		case tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512:
			flags |= native.HelloECDSA
		case tls.Ed25519:
			flags |= native.HelloEd25519
		}
	}
	return flags
}

// supportsECDSA: TLS 1.3 suites go with every certificate. Before it, suite and curve must fit too
// (RFC 8422 2.2 and 5.1; an Ed25519 certificate goes with the same suites).
func supportsECDSA(hello *tls.ClientHelloInfo) bool {
	if slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
		return true
	}
	if len(hello.SupportedCurves) > 0 && !slices.Contains(hello.SupportedCurves, tls.CurveP256) {
		return false
	}
	return slices.ContainsFunc(hello.CipherSuites, isECDSASuite)
}

func isECDSASuite(suite uint16) bool {
	switch suite {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:
		return true
	}
	return false
}

// helloQuery is what the backend is told of the handshake, beside the server name and what a client of its kind can use:
// the address that it came to, as Caddy's http manager sends it.
func helloQuery(hello *tls.ClientHelloInfo) string {
	if hello.Conn == nil {
		return ""
	}
	localIP, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	if err != nil || localIP == "" {
		return ""
	}
	return url.Values{"local_ip": {localIP}}.Encode()
}
