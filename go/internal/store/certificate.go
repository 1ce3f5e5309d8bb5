package store

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// buildCertificate opens an entry and makes the certificate that handshakes get. Go parses the leaf here: its
// parser is stricter than the engine's, and nothing that it rejects may be served. A panic in it is a
// rejection too, since the bytes come from outside.
func buildCertificate(engine Engine, entry native.EntryID) (certificate *tls.Certificate, err error) {
	key, chain, err := engine.OpenEntry(entry)
	if err != nil {
		return nil, err
	}
	var signer *signer
	defer func() {
		if problem := recover(); problem != nil {
			certificate, err = nil, fmt.Errorf("panic while reading its certificate: %v", problem)
		}
		if signer == nil {
			_ = key.Close()
		}
	}()
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("Go rejects its certificate: %w", err)
	}
	signer, err = newSigner(leaf.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{
		Certificate:                  chain,
		PrivateKey:                   signer,
		SupportedSignatureAlgorithms: signer.schemes,
		// With it, neither Go nor certmagic parses anything in a handshake.
		Leaf: leaf,
	}, nil
}
