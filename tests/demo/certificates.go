package main

import (
	"os"
	"path/filepath"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// writeAuthority leaves the authority's certificate where curl can be told to trust it.
func (d *demo) writeAuthority(path string) error {
	return os.WriteFile(path, d.authority.RootPEM(), 0o644)
}

// writeBundle writes what a backend answers with: the chain of a name and its key, as bundles/NAME.pem.
func (d *demo) writeBundle(name string, algorithm testca.Algorithm) error {
	bundle := d.authority.Issue(testca.Leaf{Names: []string{name}, Algorithm: algorithm})
	return os.WriteFile(filepath.Join(d.path("bundles"), name+".pem"), bundle.PEM(), 0o600)
}
