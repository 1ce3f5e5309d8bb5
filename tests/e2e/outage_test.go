package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// The backend fails in every way it can: known names are served all along, past their lifetime too, the backend is
// asked seldom, and all are renewed soon after it is back.
func TestOutageIsBridged(t *testing.T) {
	t.Parallel()
	seconds := 6 // of outage
	if soak {
		seconds = 60
	}
	cut := func(_ http.ResponseWriter, _ *http.Request, _ string) { panic(http.ErrAbortHandler) }
	for title, failure := range map[string]testbackend.Answer{
		"status 500": testbackend.Status(http.StatusInternalServerError),
		"cut":        cut,
		"hanging":    testbackend.Hang(),
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			const lifetime = 2 // seconds
			backend := startBackend(t, testbackend.Certificate(authority, testca.P256, fmt.Sprint("s-maxage=", lifetime)))
			c := startCaddy(t, site{url: backend.URL(), options: []string{"timeout 3s"}})
			names := make([]string, 40)
			for i := range names {
				names[i] = fmt.Sprintf("shop-%d.example.com", i)
			}
			c.handshakes(names...)
			backend.AnswerOthers(failure)
			time.Sleep(lifetime * time.Second)
			before, served := len(backend.Requests()), 0
			for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
				for _, name := range names {
					if _, err := c.handshake(name); err != nil {
						t.Fatalf("%s after %d handshakes: %v", name, served, err)
					}
					served++
				}
				time.Sleep(50 * time.Millisecond)
			}
			asked, normal := len(backend.Requests())-before, len(names)*seconds/lifetime
			t.Logf("%s: %d handshakes in %d s, all served; %d requests, %d would be normal", title, served, seconds, asked, normal)
			if asked == 0 || asked > normal/5+len(names) {
				t.Errorf("%d requests", asked)
			}
			if title == "hanging" {
				c.refused("cold.example.com") // and doesn't hang with it
			}

			backend.AnswerOthers(testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
			back := len(backend.Requests())
			// One step of the back-off is 30 s at most; after so short an outage it is less.
			eventually(t, 30*time.Second, "all names are renewed", func() bool {
				c.handshakes(names...)
				return len(backend.Requests())-back >= len(names)
			})
		})
	}
}

// A restart while the backend is down: what is on disk is served, past its lifetime too.
func TestRestartDuringAnOutage(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=1"))
	c := prepareCaddy(t)
	s := site{url: backend.URL(), options: []string{"cache_dir " + c.folder + "/cache"}}
	c.start(s)
	// More than it takes to open the breaker, as do the scanners who come first.
	names := make([]string, 20)
	for i := range names {
		names[i] = fmt.Sprintf("known-%d.example.com", i)
	}
	c.handshakes(names...)
	c.stop()
	backend.Close()
	time.Sleep(1100 * time.Millisecond)
	c.start(s)
	for i := range 10 {
		c.refused(fmt.Sprintf("made-up-%d.example.com", i))
	}
	c.handshakes(slices.Concat(names, names)...)
	c.refused("made-up.example.com")
}

// A name that fails, hammered: few requests, each handshake fails at once and with the reason.
func TestFailingNameIsAskedSeldom(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusBadGateway))
	c := startCaddy(t, site{url: backend.URL()})
	begin, handshakes := time.Now(), 0
	for ; time.Since(begin) < 3500*time.Millisecond; handshakes++ {
		c.refused("a.example.com")
		time.Sleep(10 * time.Millisecond)
	}
	took, count := time.Since(begin), backend.Count("a.example.com")
	t.Logf("%d handshakes in %s: %d requests", handshakes, took.Round(time.Second), count)
	most := 1 // after one second, two, four and so on; up to a fifth less
	for end, wait := time.Duration(0), 800*time.Millisecond; end+wait < took; wait *= 2 {
		end += wait
		most++
	}
	if count < 2 || count > most {
		t.Errorf("%d requests, not 2 to %d", count, most)
	}
	if lines := c.notable("a.example.com", "502"); len(lines) < handshakes {
		t.Errorf("the reason stands in %d lines", len(lines))
	}
}

// Metrics on Caddy's own endpoint count on over a reload, and events reach an operator's handler.
func TestMetrics(t *testing.T) {
	t.Parallel()
	backend := startBackend(t, testbackend.Status(http.StatusNoContent))
	backend.Answer("a.example.com", testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
	c := startCaddy(t, site{url: backend.URL()})
	c.handshakes("a.example.com", "a.example.com")
	c.refused("unknown.example.com")
	c.reload(site{url: backend.URL(), options: []string{"negative_ttl 5m"}})
	c.handshakes("a.example.com")
	metrics := c.admin("/metrics")
	for _, line := range []string{
		`caddy_cached_http_lookups_total{backend="` + backend.URL() + `",result="hit"} 2`,
		`caddy_cached_http_lookups_total{backend="` + backend.URL() + `",result="miss"} 2`,
		`caddy_cached_http_fetches_total{backend="` + backend.URL() + `",outcome="found"} 1`,
		`caddy_cached_http_fetches_total{backend="` + backend.URL() + `",outcome="no_certificate"} 1`,
		`caddy_cached_http_fetch_duration_seconds_count{backend="` + backend.URL() + `"} 2`,
		`caddy_cached_http_breaker_open{backend="` + backend.URL() + `"} 0`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(metrics, "a.example.com") {
		t.Error("a metric is labelled with a name")
	}
	// At debug level Caddy itself logs each event that it emits.
	for _, event := range []string{"cached_http.fetched", "cached_http.no_certificate"} {
		eventually(t, 20*time.Second, event, func() bool { return c.countInLog(`"name":"`+event+`"`) == 1 })
	}
}

// admin gets a page of the admin API.
func (c *caddy) admin(path string) string {
	c.t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.folder+"/admin.sock")
		},
	}}
	response, err := client.Get("http://127.0.0.1" + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatal(response.Status, err)
	}
	return string(body)
}
