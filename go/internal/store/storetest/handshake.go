package storetest

import (
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// Hello is that of a client that can use every certificate.
func Hello(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:        name,
		SupportedVersions: []uint16{0x1a1a, tls.VersionTLS13, tls.VersionTLS12},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		CipherSuites:      []uint16{0x1a1a, tls.TLS_AES_128_GCM_SHA256},
		Conn:              connection{},
	}
}

type connection struct{ net.Conn }

func (connection) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 443}
}

// Within fails the test when something takes longer than it ever should.
func Within[T any](tb testing.TB, channel <-chan T, what string) T {
	tb.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(30 * time.Second):
		tb.Fatalf("no %s within 30 s", what)
		panic("unreachable")
	}
}
