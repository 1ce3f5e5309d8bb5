package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// writeAuthority leaves the authority's certificate where curl can be told to trust it.
func (d *demo) writeAuthority(path string) error {
	return os.WriteFile(path, d.authority.RootPEM(), 0o644) //nolint:gosec // it is public
}

// writeBundle writes what a backend answers with: the chain of a name and its key, as bundles/NAME.pem. It returns the
// certificate's serial.
func (d *demo) writeBundle(name string, algorithm testca.Algorithm) (serial string, err error) {
	bundle := d.authority.Issue(testca.Leaf{Names: []string{name}, Algorithm: algorithm})
	leaf, err := x509.ParseCertificate(bundle.Chain[0])
	if err != nil {
		return "", err
	}
	return serialOf(leaf), os.WriteFile(filepath.Join(d.path("bundles"), name+".pem"), bundle.PEM(), 0o600)
}

// serialOf is the beginning of the serial that openssl and `caddy cached-http inspect` print: enough to tell two apart.
func serialOf(leaf *x509.Certificate) string {
	return fmt.Sprintf("%X", leaf.SerialNumber.Bytes())[:8]
}
