package e2e

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A 204 withdraws a certificate wherever it lies, also if the file can't be read as an entry at that time.
func TestAWithdrawnCertificateDoesNotComeBackFromADamagedFile(t *testing.T) {
	t.Parallel()
	const name = "a.example.com"
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c := prepareCaddy(t)
	cache := c.folder + "/cache"
	s := site{url: backend.URL(), options: []string{"cache_dir " + cache, "negative_ttl 1s"}}
	c.start(s)
	c.handshakes(name)
	eventually(t, 20*time.Second, "it is on disk", func() bool { return len(entries(t, cache)) == 1 })
	c.stop()

	whole := make(map[string][]byte)
	for path := range entries(t, cache) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole[path] = text
		if err := os.WriteFile(path, text[:len(text)/2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	backend.AnswerOthers(testbackend.Status(http.StatusNoContent))
	c.start(s)
	c.refused(name)
	// Nothing is left, under this name or another, that a later start would take for the entry.
	eventually(t, 20*time.Second, "it is gone", func() bool {
		for path := range whole {
			if _, err := os.Stat(path); err == nil {
				return false
			}
		}
		return true
	})
	c.stop()
	backend.Close()
	c.start(s)
	c.refused(name)
}
