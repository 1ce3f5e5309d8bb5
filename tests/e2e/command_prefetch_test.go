package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// startForPrefetch starts a Caddy whose backend takes a while for each of many names.
func startForPrefetch(t *testing.T, delay time.Duration) (*caddy, *testbackend.Server) {
	t.Helper()
	shops := authority.Issue(testca.Leaf{Names: []string{"*.shops.example.com"}, Algorithm: testca.RSA2048})
	backend := startBackend(t, testbackend.After(delay, testbackend.Text(shops.PEM(), "s-maxage=3600")))
	backend.Answer("down.shops.example.com", testbackend.Status(418))
	return startCaddy(t, site{url: backend.URL()}), backend
}

// shops is a list of names.
func shops(count int) string {
	var list strings.Builder
	for i := range count {
		fmt.Fprintf(&list, "n%d.shops.example.com\n", i)
	}
	return list.String()
}

func TestCommandPrefetches(t *testing.T) {
	t.Parallel()
	c, backend := startForPrefetch(t, 0)
	prefetch := func(list string, arguments ...string) said {
		command := c.prepareCommand(append([]string{"prefetch"}, arguments...)...)
		command.Stdin = strings.NewReader(list)
		return c.finish(command)
	}
	prefetch(shops(2000)).expect(t, 0, "2,000 names in ", ": 2,000 found\n")
	if s := c.cachedHTTP("names", "--all", "--json").expect(t, 0); len(s.lines()) != 2000 {
		t.Errorf("%d names", len(s.lines()))
	}
	c.handshakes("n0.shops.example.com", "n1999.shops.example.com")
	if count := len(backend.Requests()); count != 2000 {
		t.Errorf("%d requests", count)
	}

	// Once more, a name that fails and one that is none among them, from a file.
	path := c.file("names.txt", []byte("# shops\r\n\r\n"+shops(2000)+"down.shops.example.com\nno name\n"))
	s := c.cachedHTTP("prefetch", path).expect(t, 4, "2,002 names in ", ": 2,000 held already, 2 failed\n",
		"failed          down.shops.example.com: ", "failed          no name: ")
	if len(s.lines()) != 3 || len(backend.Requests()) != 2001 {
		t.Errorf("%d requests: %s", len(backend.Requests()), s.out)
	}
	if s := prefetch("n0.shops.example.com\n", "-", "--json").expect(t, 0, "held already"); s.out != `{"name":"n0.shops.example.com","outcome":"fresh"}`+"\n" {
		t.Error(s.out)
	}
}

// Ctrl-C in the middle ends the command at once, and Caddy asks for no more names.
func TestCommandPrefetchInterrupted(t *testing.T) {
	t.Parallel()
	c, backend := startForPrefetch(t, 50*time.Millisecond)
	command := c.prepareCommand("prefetch")
	list, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = list.Write([]byte(shops(100_000))) }() // and no end: a producer that still runs
	eventually(t, startLimit, "names are asked for", func() bool { return len(backend.Requests()) > 500 })
	begun := time.Now()
	_ = command.Process.Signal(os.Interrupt)
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 130 || time.Since(begun) > 10*time.Second || !strings.HasPrefix(out.String(), "Interrupted: ") {
		t.Errorf("code %d after %s: %s", code, time.Since(begun), out.String())
	}
	asked := -1
	eventually(t, 20*time.Second, "the requests under way have ended", func() bool {
		before := asked
		asked = len(backend.Requests())
		if before != asked {
			time.Sleep(time.Second)
		}
		return before == asked
	})
	if asked > 50_000 {
		t.Errorf("%d names asked for", asked)
	}
	c.cachedHTTP("names").expect(t, 0, ".shops.example.com") // those found stay
}

// A reload ends a prefetch, with an error that says so.
func TestCommandPrefetchEndsWithAReload(t *testing.T) {
	t.Parallel()
	c, backend := startForPrefetch(t, 50*time.Millisecond)
	command := c.prepareCommand("prefetch")
	command.Stdin = strings.NewReader(shops(100_000))
	done := make(chan said, 1)
	go func() { done <- c.finish(command) }()
	eventually(t, startLimit, "names are asked for", func() bool { return len(backend.Requests()) > 500 })
	c.reload(site{url: backend.URL(), options: []string{"ttl 1h"}})
	select {
	case s := <-done:
		s.expect(t, 1, " found", "Error: the configuration was reloaded")
	case <-time.After(startLimit):
		t.Fatal("it goes on")
	}
}

// A person at a terminal sees how far it is.
func TestCommandPrefetchOnATerminal(t *testing.T) {
	t.Parallel()
	script := tool(t, "script")
	c, _ := startForPrefetch(t, 20*time.Millisecond)
	path := c.file("names.txt", []byte(shops(10_000)+"down.shops.example.com\n"))
	command := c.exec(script, "-q", "-e", "-c", "stty rows 24 cols 80; '"+caddyBinary+"' cached-http prefetch --config Caddyfile '"+path+"'", "/dev/null")
	command.Env = append(command.Env, "TERM=xterm", "SHELL=/bin/sh")
	s := c.finish(command).expect(t, 4, " of 10,001 names [", "/s", " left\r\n", "failed          down.shops.example.com: ", ": 10,000 found, 1 failed\r\n")
	if frames := strings.Count(s.out, " of 10,001 names ["); frames < 2 {
		t.Errorf("%d frames: %q", frames, s.out)
	}
}
