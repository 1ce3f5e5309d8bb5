package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// What purge, refresh and prefetch are for, each through both doors.

const writable = "cached_http_api {\n\t\twrite\n\t}"

// A key has leaked: the purge takes its certificate away from handshakes, memory and disk, and the new one comes.
func TestPurgeOfALeakedKey(t *testing.T) {
	t.Parallel()
	const name = "leaked.example.com"
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	c := prepareCaddy(t)
	port := freePort(t)
	cache := c.folder + "/cache"
	s := site{url: backend.URL(), options: []string{"cache_dir " + cache}, sites: operateSite(port, writable)}
	c.start(s)
	for _, door := range c.doors(port) {
		leaked := authority.Issue(testca.Leaf{Names: []string{name}})
		backend.Answer(name, testbackend.Text(leaked.PEM(), "s-maxage=86400"))
		door.refresh(`{"names": ["leaked.example.com"]}`, name+" found")
		c.serves(name, leaked)
		eventually(t, 20*time.Second, "it is on disk", func() bool { return c.isOnDisk(leaked) })

		replaced := authority.Issue(testca.Leaf{Names: []string{name}})
		backend.Answer(name, testbackend.Text(replaced.PEM(), "s-maxage=86400"))
		c.serves(name, leaked) // nobody has said anything yet
		door.purge(`{"names": ["leaked.example.com"]}`, 1)
		if c.isOnDisk(leaked) {
			t.Errorf("%s: the leaked certificate is on disk after the purge", door.title)
		}
		c.serves(name, replaced)
		eventually(t, 20*time.Second, "the new one is on disk", func() bool { return c.isOnDisk(replaced) })
	}
	c.stop()
	c.start(s)
	count := backend.Count(name)
	c.handshakes(name)
	if backend.Count(name) != count {
		t.Error("it was fetched again")
	}
}

// What a fetch under way brings after a purge is served to who waits for it, and to nobody else.
func TestPurgeDuringAFetch(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	port := freePort(t)
	c := startCaddy(t, site{url: backend.URL(), sites: operateSite(port, writable)})
	for _, door := range c.doors(port) {
		name := door.title + ".example.com"
		before := authority.Issue(testca.Leaf{Names: []string{name}})
		release := make(chan struct{})
		backend.Answer(name, func(response http.ResponseWriter, request *http.Request, name string) {
			<-release
			testbackend.Text(before.PEM(), "s-maxage=86400")(response, request, name)
		})
		waited := make(chan error, 1)
		go func() {
			leaf, err := c.handshake(name)
			if err == nil && !bytes.Equal(leaf.Raw, before.Chain[0]) {
				err = fmt.Errorf("another certificate than the one it waited for")
			}
			waited <- err
		}()
		eventually(t, 20*time.Second, "the fetch is under way", func() bool { return backend.Count(name) == 1 })
		if status, text, _ := door.ask(http.MethodPost, "/purge", fmt.Sprintf(`{"names": [%q]}`, name)); status != http.StatusOK {
			t.Errorf("%s: %d %s", door.title, status, text)
		}
		after := authority.Issue(testca.Leaf{Names: []string{name}})
		backend.Answer(name, testbackend.Text(after.PEM(), "s-maxage=86400"))
		close(release)
		if err := <-waited; err != nil {
			t.Errorf("%s: %v", door.title, err)
		}
		c.serves(name, after)
	}
}

// While the backend hangs over a refresh, what is held goes on being served, at once.
func TestRefreshServesTheOld(t *testing.T) {
	t.Parallel()
	const name = "a.example.com"
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	port := freePort(t)
	c := startCaddy(t, site{url: backend.URL(), options: []string{"timeout 20s"}, sites: operateSite(port, writable)})
	c.handshakes(name)
	for _, door := range c.doors(port) {
		release := make(chan struct{})
		backend.Answer(name, func(response http.ResponseWriter, _ *http.Request, _ string) {
			<-release
			response.WriteHeader(http.StatusInternalServerError)
		})
		before := backend.Count(name)
		answered := make(chan []outcome, 1)
		go func() { answered <- door.stream("/refresh", `{"names": ["a.example.com"]}`) }()
		eventually(t, 10*time.Second, "the refresh is under way", func() bool { return backend.Count(name) > before })
		watch := startWatch()
		c.handshakes(name, name, name)
		if took := watch.took(); took > 5*time.Second {
			t.Errorf("%s: three handshakes took %v", door.title, took)
		}
		select {
		case lines := <-answered:
			t.Fatalf("%s: it did not wait: %+v", door.title, lines)
		default:
		}
		close(release)
		door.expect(<-answered, []string{name + " failed"})
		c.handshakes(name)
		backend.Answer(name, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
		door.refresh(`{"names": ["a.example.com"]}`, name+" found")
	}
}

// Names that were prefetched need no backend.
func TestPrefetchedNamesOutliveTheBackend(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	port := freePort(t)
	c := startCaddy(t, site{url: backend.URL(), sites: operateSite(port, writable)})
	var names []string
	for _, door := range c.doors(port) {
		own := []string{"a." + door.title + ".example.com", "b." + door.title + ".example.com"}
		door.prefetch(strings.Join(own, "\n"), own[0]+" found", own[1]+" found")
		names = append(names, own...)
	}
	backend.Close()
	c.handshakes(names...)
	c.refused("other.example.com")
}

// With several caches it must be said which one is meant, but for a purge, which is for all.
func TestOperateSeveralCaches(t *testing.T) {
	t.Parallel()
	one := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	two := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	port := freePort(t)
	other := "\nother.example.com:PORT {\n\tbind 127.0.0.1\n\ttls {\n\t\tget_certificate cached_http " + two.URL() + "\n\t}\n}\n"
	c := startCaddy(t, site{url: one.URL(), sites: other + operateSite(port, writable)})
	for _, door := range c.doors(port) {
		for backend, name := range map[*testbackend.Server]string{one: "a.example.com", two: "other.example.com"} {
			door.expect(door.stream("/prefetch?cache="+backend.URL(), name), []string{name + " found"})
			if names := door.names("cache=" + backend.URL()); len(names) != 1 || names[0] != name {
				t.Errorf("%s: %v", door.title, names)
			}
		}
		for _, request := range [][3]string{
			{http.MethodGet, "/names", ""},
			{http.MethodGet, "/names/a.example.com", ""},
			{http.MethodPost, "/refresh", `{"names": ["a.example.com"]}`},
			{http.MethodPost, "/prefetch", "a.example.com"},
		} {
			status, text, _ := door.ask(request[0], request[1], request[2])
			if status != http.StatusBadRequest || !strings.Contains(text, "there are 2 caches; choose one with cache=ID") || !strings.Contains(text, `"caches":[{"id":`) {
				t.Errorf("%s: %s: %d %s", door.title, request[1], status, text)
			}
		}
		if status, text, _ := door.ask(http.MethodGet, "/names?cache=00000000", ""); status != http.StatusNotFound || !strings.Contains(text, two.URL()) {
			t.Errorf("%s: %d %s", door.title, status, text)
		}
		door.purge(`{"names": ["a.example.com", "other.example.com"]}`, 2)
	}
}

// serves wants the next handshake to show this certificate.
func (c *caddy) serves(name string, bundle testca.Bundle) {
	c.t.Helper()
	leaf, err := c.handshake(name)
	if err != nil {
		c.t.Errorf("%s: %v", name, err)
	} else if !bytes.Equal(leaf.Raw, bundle.Chain[0]) {
		c.t.Errorf("%s: another certificate", name)
	}
}

// isOnDisk tells whether a certificate is, in its cache_dir.
func (c *caddy) isOnDisk(bundle testca.Bundle) bool {
	for _, blocks := range entries(c.t, c.folder+"/cache") {
		for _, block := range blocks {
			if bytes.Equal(block.Bytes, bundle.Chain[0]) {
				return true
			}
		}
	}
	return false
}
