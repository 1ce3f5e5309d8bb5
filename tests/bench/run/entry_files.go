package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// writeEntries fills a cache_dir as cached_http would have left it, faster than a million handshakes would. The
// format is that of rust/core/src/disk_format.rs; whether it still is shows when the first name is served from
// its file, which the start row checks.
func (b *bench) writeEntries(url string, files int) (string, error) {
	directory, err := os.MkdirTemp(b.folder, "cache-")
	if err != nil {
		return "", err
	}
	entries := filepath.Join(directory, "entries", sha256Hex(url)[:16])
	for shard := range 256 {
		if err := os.MkdirAll(filepath.Join(entries, fmt.Sprintf("%02x", shard)), 0o700); err != nil {
			return "", err
		}
	}
	if err := os.Mkdir(filepath.Join(directory, "tmp"), 0o700); err != nil {
		return "", err
	}
	issuer, err := bundles.NewIssuer(bundles.ECDSAP256)
	if err != nil {
		return "", err
	}
	fetched, lifetime := time.Now(), 24*time.Hour
	err = issuer.Each(0, files, func(n int, bundle []byte) error {
		name := bundles.Name(n)
		body := fmt.Sprintf("backend: %s\nserver-name: %s\nclient: ecdsa\nfetched-at: %d\nlifetime: %d\nmust-revalidate: no\nnot-after: %d\n\n%s",
			url, name, fetched.UnixMilli(), lifetime.Milliseconds(), fetched.Add(lifetime).UnixMilli(), bundle)
		text := fmt.Sprintf("caddy-cached-http entry, format 1\nchecksum: %s\n%s", sha256Hex(body), body)
		file := sha256Hex(url + "\n" + name + "\necdsa")
		return os.WriteFile(filepath.Join(entries, file[:2], file+".pem"), []byte(text), 0o600)
	})
	return directory, err
}

func sha256Hex(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}
