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

// Requests that take long, and the configuration that ends meanwhile.

// manyNames is a list for prefetch.
func manyNames(count int) string {
	var list strings.Builder
	for i := range count {
		fmt.Fprintf(&list, "n%d.many.example.com\n", i)
	}
	return list.String()
}

// startMany starts a Caddy whose backend takes its time for many names, but not for the known one.
func startMany(t *testing.T, options, global []string) (*caddy, *testbackend.Server, site, []*operator) {
	t.Helper()
	many := authority.Issue(testca.Leaf{Names: []string{"*.many.example.com"}, Algorithm: testca.RSA2048})
	backend := startBackend(t, testbackend.After(50*time.Millisecond, testbackend.Text(many.PEM(), "s-maxage=3600")))
	backend.Answer(knownName, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	port := freePort(t)
	s := site{url: backend.URL(), options: options, global: global, sites: operateSite(port, writable)}
	c := startCaddy(t, s)
	c.handshakes(knownName)
	return c, backend, s, c.doors(port)
}

// background sends names and returns what comes back, once it has come. With open, the list never ends.
func (o *operator) background(list string, open bool) <-chan []outcome {
	o.t.Helper()
	body, writer := io.Pipe()
	done := make(chan []outcome, 1)
	go func() {
		_, _ = io.WriteString(writer, list)
		if !open {
			_ = writer.Close()
		}
	}()
	go func() {
		defer writer.Close()
		var lines []outcome
		response, err := o.open(context.Background(), http.MethodPost, "/prefetch", body)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(response.Body)
			_ = response.Body.Close()
			lines = outcomes(o.t, string(text))
		}
		if err != nil {
			lines = append(lines, outcome{Error: "the client's: " + err.Error()})
		}
		done <- lines
	}()
	return done
}

func within(t *testing.T, limit time.Duration, done <-chan []outcome) []outcome {
	t.Helper()
	select {
	case lines := <-done:
		return lines
	case <-time.After(limit):
		t.Fatalf("not after %v", limit)
		return nil
	}
}

// A prefetch ends with its configuration, holds up no reload, and can be sent again.
func TestReloadDuringAPrefetch(t *testing.T) {
	t.Parallel()
	few := "max_concurrent_fetches 64" // a prefetch gets eight of them: it would take 20 s
	c, backend, s, doors := startMany(t, []string{few}, nil)
	reload := func(ttl int) time.Duration {
		begin := time.Now()
		c.reload(site{url: s.url, sites: s.sites, options: []string{few, fmt.Sprintf("ttl %dh", ttl)}})
		return time.Since(begin)
	}
	usual := max(reload(1), reload(2), reload(3))
	list := manyNames(3000)
	backend.Answer("hangs.example.com", testbackend.Hang())
	for number, door := range doors {
		before := len(backend.Requests())
		slow := door.background(list, false)
		hanging := door.background("hangs.example.com\n", true)
		eventually(t, 10*time.Second, "it is under way", func() bool { return len(backend.Requests()) > before+100 })

		if took := reload(number + 4); took > usual+time.Second {
			t.Errorf("%s: the reload took %v, without a prefetch %v", door.title, took, usual)
		}
		for title, done := range map[string]<-chan []outcome{"slow": slow, "hanging": hanging} {
			lines := within(t, 2*time.Second, done)
			last := lines[len(lines)-1]
			if len(lines) > 3000 || !strings.Contains(last.Error, "reloaded") {
				t.Errorf("%s, %s: the last of %d lines: %+v", door.title, title, len(lines), last)
			}
			for _, line := range lines[:len(lines)-1] {
				if line.Outcome != "found" && line.Outcome != "fresh" {
					t.Fatalf("%s, %s: %+v", door.title, title, line)
				}
			}
		}
		c.handshakes(knownName, "n0.many.example.com")
		requests := len(backend.Requests())
		time.Sleep(200 * time.Millisecond)
		if more := len(backend.Requests()) - requests; more > 0 {
			t.Errorf("%s: %d requests after the end", door.title, more)
		}
	}
	if count := backend.Count(knownName); count != 1 {
		t.Errorf("the known name was asked for %d times", count)
	}
	for _, line := range doors[0].stream("/prefetch", manyNames(50)) {
		if line.Outcome != "fresh" {
			t.Errorf("it was not held from the times before: %+v", line)
		}
	}
}

// A reload that is refused ends nothing, and both doors stay open. (Caddy's admin API changes servers all the same.)
func TestRefusedReloadDuringAPrefetch(t *testing.T) {
	t.Parallel()
	c, backend, s, doors := startMany(t, nil, nil)
	refused := site{url: s.url, sites: s.sites, options: []string{"cache_dir " + c.file("no-folder", nil)}}
	for _, door := range doors {
		before := len(backend.Requests())
		list := strings.ReplaceAll(manyNames(2000), ".many", door.title+".many")
		done := door.background(list, false)
		eventually(t, 10*time.Second, "it is under way", func() bool { return len(backend.Requests()) > before+100 })
		c.write(refused)
		if _, err := c.run("reload", "--config", c.caddyfilePath(), "--address", "unix/"+c.folder+"/admin.sock"); err == nil {
			t.Fatal("the reload succeeded")
		}
		lines := within(t, 30*time.Second, done)
		if last := lines[len(lines)-1]; len(lines) != 2000 || last.Outcome != "found" {
			t.Errorf("%s: the last of %d lines: %+v", door.title, len(lines), last)
		}
		for _, open := range doors {
			open.prefetch(knownName+"\n", knownName+" fresh")
		}
	}
	c.handshakes(knownName)
}

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
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("%s: Caddy took %v to stop", doors[index].title, took)
		}
		within(t, time.Second, done)
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
		c := startCaddy(t, site{url: backend.URL(), options: []string{few},
			sites: operateSite(port, writable) + operateSite(other, "reverse_proxy "+strings.TrimSuffix(slow.URL(), "/certificates"))})
		go func() {
			if response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/certificates?server_name=held.example.com", other)); err == nil {
				_ = response.Body.Close()
			}
		}()
		done := c.doors(port)[index].background(manyNames(3000), false)
		eventually(t, 10*time.Second, "both are under way", func() bool { return len(backend.Requests()) > 100 && len(slow.Requests()) > index })
		_ = c.command.Process.Signal(syscall.SIGTERM)
		within(t, 800*time.Millisecond, done) // the proxy's request has a second
		asked := len(backend.Requests())
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
	s := site{url: backend.URL(), global: []string{"grace_period 1h"},
		sites: "\nhttps://ops.example.com:PORT {\n\tbind 127.0.0.1\n\ttls {\n\t\tget_certificate cached_http " + backend.URL() + "\n\t}\n\t" + writable + "\n}\n"}
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
	last := -1
	eventually(t, 20*time.Second, "it is stuck", func() bool {
		before := last
		last = len(backend.Requests())
		time.Sleep(300 * time.Millisecond)
		return last > 1000 && last == before
	})
	_ = c.command.Process.Signal(syscall.SIGTERM)
	time.Sleep(2 * time.Second)
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
	case <-time.After(time.Second):
		t.Error("the stream is open")
	}
	begin := time.Now()
	c.stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("Caddy took %v to stop", took)
	}
}

// As many names as a large operator has.
func TestPrefetchOfManyNames(t *testing.T) {
	t.Parallel()
	count := 3000
	if soak {
		count = 100_000
	}
	many := authority.Issue(testca.Leaf{Names: []string{"*.many.example.com"}, Algorithm: testca.RSA2048})
	backend := startBackend(t, testbackend.Text(many.PEM(), "s-maxage=36000"))
	port := freePort(t)
	c := startCaddy(t, site{url: backend.URL(), options: []string{"cache_dir cache"}, sites: operateSite(port, writable)})
	for index, door := range c.doors(port) {
		begin := time.Now()
		lines := within(t, 10*time.Minute, door.background(manyNames(count), false))
		outcomes := map[string]int{}
		for _, line := range lines {
			outcomes[line.Outcome]++
		}
		want := []string{"found", "fresh"}[index]
		if len(lines) != count || outcomes[want] != count {
			t.Errorf("%s: %d lines: %v", door.title, len(lines), outcomes)
		}
		t.Logf("%s: %d names, %s, took %v", door.title, count, want, time.Since(begin).Round(time.Millisecond))
	}
}
