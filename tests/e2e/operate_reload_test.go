package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

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
		watch := startWatch()
		c.reload(site{url: s.url, sites: s.sites, options: []string{few, fmt.Sprintf("ttl %dh", ttl)}})
		return watch.took()
	}
	usual := max(reload(1), reload(2), reload(3))
	list := manyNames(3000)
	backend.Answer("hangs.example.com", testbackend.Hang())
	for number, door := range doors {
		before := len(backend.Requests())
		slow := door.background(list, false)
		hanging := door.background("hangs.example.com\n", true)
		eventually(t, 10*time.Second, "it is under way", func() bool { return len(backend.Requests()) > before+100 })

		if took := reload(number + 4); took > usual+4*time.Second {
			t.Errorf("%s: the reload took %v, without a prefetch %v", door.title, took, usual)
		}
		for title, done := range map[string]<-chan []outcome{"slow": slow, "hanging": hanging} {
			lines := within(t, 6*time.Second, done)
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
		requests := -1
		eventually(t, 5*time.Second, door.title+": the requests under way have ended", func() bool {
			before := requests
			requests = len(backend.Requests())
			if before != requests {
				time.Sleep(200 * time.Millisecond)
			}
			return before == requests
		})
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
