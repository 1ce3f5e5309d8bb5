package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// Requests that take long, and the end of the process.

// Caddy waits for requests when it is told to stop, by default for ever: not for these.
func TestStopDuringAPrefetch(t *testing.T) {
	t.Parallel()
	for index := range 2 {
		c, backend, _, doors := startMany(t, nil, []string{"grace_period 1h"})
		backend.Answer("hangs.example.com", testbackend.Hang())
		done := doors[index].background("hangs.example.com\n", true)
		eventually(t, 10*time.Second, "it is under way", func() bool { return backend.Count("hangs.example.com") > 0 })
		begin := time.Now()
		c.stop()
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("%s: Caddy took %v to stop", doors[index].title, took)
		}
		within(t, 10*time.Second, done)
	}
}

// While other requests hold up the end, nothing more is asked for.
func TestNothingIsAskedForWhileCaddyStops(t *testing.T) {
	t.Parallel()
	slow := startBackend(t, testbackend.Hang())
	few := "max_concurrent_fetches 64"
	for index := range 2 {
		many := authority.Issue(testca.Leaf{Names: []string{"*.many.example.com"}, Algorithm: testca.RSA2048})
		backend := startBackend(t, testbackend.After(50*time.Millisecond, testbackend.Text(many.PEM(), "s-maxage=3600")))
		port, other := freePort(t), freePort(t)
		c := startCaddy(t, site{
			url: backend.URL(), options: []string{few}, global: []string{"grace_period 1h"},
			sites: operateSite(port, writable) + operateSite(other, "reverse_proxy "+strings.TrimSuffix(slow.URL(), "/certificates")),
		})
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		held, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/certificates?server_name=held.example.com", other), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if response, err := http.DefaultClient.Do(held); err == nil {
				_ = response.Body.Close()
			}
		}()
		done := c.doors(port)[index].background(manyNames(3000), false)
		eventually(t, 10*time.Second, "both are under way", func() bool { return len(backend.Requests()) > 100 && len(slow.Requests()) > index })
		_ = c.command.Process.Signal(syscall.SIGTERM)
		within(t, 10*time.Second, done) // the proxy's request has an hour
		asked := len(backend.Requests())
		select {
		case <-c.exited:
			t.Error("nothing holds up the end")
		case <-time.After(200 * time.Millisecond):
		}
		leave()
		c.stop()
		if more := len(backend.Requests()) - asked; more > 8 { // those that were under way
			t.Errorf("%d more were asked for", more)
		}
	}
}

// Over HTTP/3 a client that takes nothing of its answer is not waited for either: its stream is reset, and can't be taken
// for a whole answer. (For its connection, which clients are to close, Caddy waits as long as the grace period.)
func TestADeafClientIsCutOff(t *testing.T) {
	t.Parallel()
	many := authority.Issue(testca.Leaf{Names: []string{"*.many.example.com"}, Algorithm: testca.RSA2048})
	backend := startBackend(t, testbackend.Text(many.PEM(), "s-maxage=3600"))
	s := site{
		url: backend.URL(), global: []string{"grace_period 1h"},
		sites: "\nhttps://ops.example.com:PORT {\n\tbind 127.0.0.1\n\tlog\n\ttls {\n\t\tget_certificate cached_http " + backend.URL() + "\n\t}\n\t" + writable + "\n}\n",
	}
	backend.Answer("ops.example.com", testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	c := startCaddy(t, s)
	transport := &http3.Transport{
		TLSClientConfig: clientConfig("ops.example.com"),
		Dial: func(ctx context.Context, _ string, config *tls.Config, settings *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, c.address(), config, settings)
		},
	}
	defer transport.Close()
	request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("https://ops.example.com:%d/prefetch", c.port), strings.NewReader(manyNames(60_000)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "text/plain")
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	last, same := -1, 0
	eventually(t, startLimit, "it is stuck", func() bool {
		before := last
		last = len(backend.Requests())
		if same++; last != before || last <= 1000 {
			same = 0
		}
		time.Sleep(100 * time.Millisecond)
		return same > 5
	})
	_ = c.command.Process.Signal(syscall.SIGTERM)
	eventually(t, 20*time.Second, "it waits for the client", func() bool { return c.countInLog("/prefetch") > 0 }) // in the access log
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(response.Body)
		read <- err
	}()
	select {
	case err := <-read:
		if err == nil {
			t.Error("the answer ended as if it were whole")
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream is open")
	}
	begin := time.Now()
	c.stop()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("Caddy took %v to stop", took)
	}
}
