package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// share_names: apex, www and all of a wildcard cost one request; without it, one each.
func TestSharedNames(t *testing.T) {
	t.Parallel()
	names := []string{"shared.example.com", "www.shared.example.com", "any.shared.example.com"}
	bundle := authority.Issue(testca.Leaf{Names: []string{names[0], "*." + names[0]}}).PEM()
	backend := startBackend(t, testbackend.Text(bundle, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL(), options: []string{"share_names on"}})
	c.handshakes(names...)
	if requests := len(backend.Requests()); requests != 1 {
		t.Errorf("%d requests for names of one certificate", requests)
	}
	// Purged for one of them, it is gone for all.
	c.cachedHTTP("purge", names[1]).expect(t, 0)
	time.Sleep(20 * time.Millisecond) // what was asked for in the moment of a purge is not shared, and the clock is a coarse one
	c.handshakes(names...)
	if requests := len(backend.Requests()); requests != 2 {
		t.Errorf("%d requests after a purge", requests)
	}

	c.reload(site{url: backend.URL()})
	backend.Answer("new.shared.example.com", testbackend.Status(http.StatusNoContent))
	if _, err := c.handshake("new.shared.example.com", tls13); err == nil {
		t.Error("without it, another name's certificate is served")
	}
	c.expectNoACME()
}
