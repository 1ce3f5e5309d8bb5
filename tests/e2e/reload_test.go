package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Three reloads with changed settings while clients come: 0 refetches, 0 failed handshakes.
func TestReloadKeepsTheCache(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL()})
	names := make([]string, 10)
	for i := range names {
		names[i] = fmt.Sprintf("shop-%d.example.com", i)
	}
	c.handshakes(names...)

	clients := startClients(t, c, names)
	defer clients.stop() // also if a reload fails: nobody may use a test that is over
	for _, options := range [][]string{
		{"ttl 2h", "negative_ttl 5s", "max_memory 64MiB"},
		{"default_ttl 5m", "header X-Token other", "timeout 3s"},
		{"max_concurrent_fetches 8", "on_negative deny"},
	} {
		before := clients.handshakes.Load()
		c.reload(site{url: backend.URL(), options: options})
		eventually(t, 10*time.Second, "handshakes after the reload", func() bool { return clients.handshakes.Load() > before+20 })
	}
	clients.stop()
	t.Logf("%d handshakes over 3 reloads, %d failed, %d connections reset before one began, %d backend requests for %d names",
		clients.handshakes.Load(), clients.failures.Load(), clients.resets.Load(), len(backend.Requests()), len(names))
	if clients.failures.Load() > 0 || len(backend.Requests()) != len(names) {
		t.Errorf("%d failed, %d backend requests", clients.failures.Load(), len(backend.Requests()))
	}
}

// Caddy rejects a configuration when it is about to serve, some servers of it already listen: whom they have accepted is served.
func TestReloadThatFailsAtItsStart(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	c := startCaddy(t, site{url: backend.URL()})
	names := []string{"a.example.com", "b.example.com"}
	c.handshakes(names...)
	clients := startClients(t, c, names)
	defer clients.stop()
	taken := "http://" + backend.Address() + " {\n\tbind 127.0.0.1\n\trespond hi\n}\n"
	for n := range 25 {
		c.write(site{url: backend.URL(), options: []string{fmt.Sprintf("cache_dir %s/cache-%d", c.folder, n)}, sites: taken})
		output, err := c.run("reload", "--config", c.caddyfilePath(), "--address", "unix/"+c.folder+"/admin.sock")
		if err == nil || !strings.Contains(output, "address already in use") {
			t.Fatalf("%v: %s", err, lastLines(output, 3))
		}
	}
	clients.stop()
	t.Logf("%d handshakes, %d failed, %d reset before they began", clients.handshakes.Load(), clients.failures.Load(), clients.resets.Load())
	if clients.failures.Load() > 0 || c.countInLog("cache is closed") > 0 {
		t.Errorf("%d failed", clients.failures.Load())
	}
}

// clients make handshakes for some names, one after the other, until they are stopped.
type clients struct {
	handshakes, failures, resets atomic.Int64
	stop                         func()
}

func startClients(t *testing.T, c *caddy, names []string) *clients {
	t.Helper()
	all, ended := new(clients), make(chan struct{})
	var running sync.WaitGroup
	all.stop = sync.OnceFunc(func() {
		close(ended)
		running.Wait()
	})
	for first := range 4 {
		running.Go(func() {
			for i := first; ; i++ {
				select {
				case <-ended:
					return
				default:
				}
				all.handshakes.Add(1)
				_, err := c.handshake(names[i%len(names)])
				// A reload closes one listening socket and opens another (SO_REUSEPORT): Linux resets what waited at the
				// first, whatever the certificates come from. A browser tries again, and so do we.
				for range 3 {
					if !wasReset(err) {
						break
					}
					all.resets.Add(1)
					_, err = c.handshake(names[i%len(names)])
				}
				if err != nil && all.failures.Add(1) == 1 {
					t.Errorf("the first failure: %v", err)
				}
			}
		})
	}
	return all
}

// wasReset tells whether a connection was reset before the handshake.
func wasReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// A reload that is refused leaves the running one as it was.
func TestRefusedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	s := site{url: backend.URL()}
	c := startCaddy(t, s)
	c.handshakes("a.example.com")
	c.write(site{url: backend.URL(), options: []string{"cache_dir " + c.file("no-folder", nil)}})
	if _, err := c.run("reload", "--config", c.caddyfilePath(), "--address", "unix/"+c.folder+"/admin.sock"); err == nil {
		t.Error("the reload succeeded")
	}
	c.handshakes("a.example.com", "b.example.com")
	if count := backend.Count("a.example.com"); count != 1 {
		t.Errorf("%d requests", count)
	}
}

// The stock getter works in the same binary, and swapping the word there and back is the whole change.
func TestSwapTheWord(t *testing.T) {
	t.Parallel()
	const name = "a.example.com"
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	stock, cached := site{getter: "http", url: backend.URL()}, site{url: backend.URL()}

	c := startCaddy(t, stock)
	asked := func(want int) {
		t.Helper()
		before := backend.Count(name)
		c.handshakes(name, name)
		if count := backend.Count(name) - before; count != want {
			t.Errorf("two handshakes made %d requests, want %d", count, want)
		}
	}
	asked(2)
	c.reload(cached)
	asked(1)
	c.reload(stock)
	asked(2)

	// The same adapted configuration, but for the word.
	if got := strings.ReplaceAll(c.adapted(cached), `"via":"cached_http"`, `"via":"http"`); got != c.adapted(stock) {
		t.Errorf("the configuration differs in more than the word:\n%s\n%s", got, c.adapted(stock))
	}
}

// adapted is the site as a JSON document.
func (c *caddy) adapted(s site) string {
	c.t.Helper()
	c.write(s)
	output, err := c.run("adapt", "--config", c.caddyfilePath())
	if err != nil {
		c.t.Fatalf("adapt: %v\n%s", err, output)
	}
	// caddy prints log lines before the document
	document := output[strings.LastIndex("\n"+output, "\n{\"admin\""):]
	if !json.Valid([]byte(document)) {
		c.t.Fatalf("no JSON document in %s", output)
	}
	return document
}

// The backend is asked the same question by both getters.
func TestBackendSeesTheSameQuery(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "no-store"))
	withQuery := backend.URL() + "?tenant=a%26b&tenant=c"
	startCaddy(t, site{getter: "http", url: withQuery}).handshakes("a.example.com")
	startCaddy(t, site{url: withQuery}).handshakes("a.example.com")
	requests := backend.Requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests", len(requests))
	}
	stock, ours := requests[0].Query, requests[1].Query
	// What a client can use is that of its kind: the answer is for all of them.
	for _, parameter := range []string{"signature_schemes", "cipher_suites"} {
		for number := range strings.SplitSeq(ours.Get(parameter), ",") {
			if _, err := strconv.ParseUint(number, 16, 16); err != nil {
				t.Errorf("%s: %v", parameter, err)
			}
		}
		stock.Set(parameter, ours.Get(parameter))
	}
	if !reflect.DeepEqual(stock, ours) || requests[0].Path != requests[1].Path {
		t.Errorf("stock:\n%s\ncached_http:\n%s", show(stock), show(ours))
	}
	for _, parameter := range []string{"server_name", "local_ip"} {
		if ours.Get(parameter) == "" {
			t.Errorf("no %s", parameter)
		}
	}
}

func show(query url.Values) string { return strings.ReplaceAll(query.Encode(), "&", "\n  ") }
