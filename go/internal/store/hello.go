package store

import (
	"crypto/tls"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

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

// maxListedIDs is how many suites or schemes are passed on: a hello has room for 30,000, no client needs 256.
const maxListedIDs = 256

// helloQuery is what the backend is told of the handshake, beside the server name: the parameters that Caddy's
// http manager sends, GREASE values included.
func helloQuery(hello *tls.ClientHelloInfo) string {
	query := url.Values{
		"signature_schemes": {hexadecimalList(hello.SignatureSchemes)},
		"cipher_suites":     {hexadecimalList(hello.CipherSuites)},
	}
	if hello.Conn != nil {
		if localIP, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String()); err == nil && localIP != "" {
			query.Set("local_ip", localIP)
		}
	}
	return query.Encode()
}

func hexadecimalList[ID ~uint16](ids []ID) string {
	texts := make([]string, 0, min(len(ids), maxListedIDs))
	for _, id := range ids[:cap(texts)] {
		texts = append(texts, strconv.FormatUint(uint64(id), 16))
	}
	return strings.Join(texts, ",")
}
