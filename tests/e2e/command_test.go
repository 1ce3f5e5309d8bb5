package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// `caddy cached-http`, as a script or a person at a terminal uses it.

// said is what a command has left.
type said struct {
	out, err string
	code     int
}

// cachedHTTP runs `caddy cached-http` beside Caddy, whose address is in its environment.
func (c *caddy) cachedHTTP(arguments ...string) said {
	c.t.Helper()
	return c.finish(c.prepareCommand(arguments...))
}

func (c *caddy) prepareCommand(arguments ...string) *exec.Cmd {
	command := c.exec(caddyBinary, append([]string{"cached-http"}, arguments...)...)
	command.Env = append(command.Env, "CADDY_ADMIN=unix/"+c.folder+"/admin.sock")
	return command
}

// finish runs a command to its end. What it prints is kept for the scan for secrets.
func (c *caddy) finish(command *exec.Cmd) said {
	c.t.Helper()
	var out, notes bytes.Buffer
	command.Stdout, command.Stderr = &out, &notes
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	c.commands++
	c.file(fmt.Sprintf("command-%d.log", c.commands), append(out.Bytes(), notes.Bytes()...))
	return said{out.String(), notes.String(), command.ProcessState.ExitCode()}
}

// expect wants an exit code, and texts on either stream.
func (s said) expect(t *testing.T, code int, texts ...string) said {
	t.Helper()
	if s.code != code {
		t.Errorf("code %d, want %d\n%s%s", s.code, code, s.out, s.err)
	}
	for _, text := range texts {
		if !strings.Contains(s.out+s.err, text) {
			t.Errorf("no %q in\n%s%s", text, s.out, s.err)
		}
	}
	return s
}

// document is the only line of an output with --json.
func (s said) document(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.out), into); err != nil || s.code != 0 || strings.Count(s.out, "\n") != 1 {
		t.Errorf("%v: %+v", err, s)
	}
}

// lines are those of an output, sorted: names come in no order.
func (s said) lines() []string {
	lines := strings.Split(strings.TrimSpace(s.out), "\n")
	slices.Sort(lines)
	return lines
}

// startCommanded starts a Caddy that knows a good name, one without a certificate and one that fails.
func startCommanded(t *testing.T) (*caddy, *testbackend.Server) {
	t.Helper()
	backend := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	backend.Answer("none.example.com", testbackend.Status(http.StatusNoContent))
	backend.Answer("down.example.com", testbackend.Status(http.StatusTeapot))
	c := prepareCaddy(t)
	password := plant("thooNg4wohxeeb5a")
	c.start(site{
		url:     strings.Replace(backend.URL(), "//", "//caddy:"+password+"@", 1),
		options: []string{"cache_dir " + c.folder + "/cache", "negative_ttl 1h"},
	})
	c.handshakes("good.example.com")
	c.refused("none.example.com")
	c.refused("down.example.com")
	return c, backend
}

func TestCommandShows(t *testing.T) {
	t.Parallel()
	c, backend := startCommanded(t)
	leaf, err := c.handshake("good.example.com")
	if err != nil {
		t.Fatal(err)
	}
	serial := fmt.Sprintf("%X", leaf.SerialNumber.Bytes())
	eventually(t, startLimit, "it is on disk", func() bool {
		return strings.Contains(c.cachedHTTP("inspect", "good.example.com").out, "memory and disk")
	})

	c.cachedHTTP("caches").expect(t, 0, backend.URL()+"\n", "\nstate          up; 1 name failing\n", " of 256 MiB\n", "in "+c.folder+"/cache\n",
		"\nnegatives      1 name without", "\nfirst end      ")
	var caches []struct{ ID, Backend string }
	c.cachedHTTP("caches", "--json").document(t, &caches)
	if len(caches) != 1 || caches[0].Backend != backend.URL() {
		t.Fatal(caches)
	}

	for state, want := range map[string]string{"": "good.", "fresh": "good.", "disk": "good.", "ending": "good.", "negative": "none.", "failing": "down."} {
		rows := c.cachedHTTP("names", "--state", state).expect(t, 0, want+"example.com").lines()
		if len(rows) != 2 || !strings.HasPrefix(rows[0], "STATE     TIME") {
			t.Errorf("%s: %q", state, rows)
		}
		var name struct{ Name string }
		if c.cachedHTTP("names", "--json", "--state", state, "--cache", caches[0].ID).document(t, &name); name.Name != want+"example.com" {
			t.Errorf("%s: %s", state, name.Name)
		}
	}
	c.cachedHTTP("names", "--prefix", "other").expect(t, 0, "No names.")

	c.cachedHTTP("inspect", "GOOD.example.com").expect(t, 0, "name           good.example.com\n", "cache          "+caches[0].ID,
		"\ncertificate    RSA 2048\nstate          fresh\n", "\nserial         "+serial+"\n")
	c.cachedHTTP("inspect", "down.example.com").expect(t, 0, "failing since", "last error     ", "418")
	c.cachedHTTP("inspect", "none.example.com").expect(t, 0, "negative until ")
	var facts struct {
		Name    string
		Entries []struct{ Serial string }
	}
	if c.cachedHTTP("inspect", "good.example.com", "--json").document(t, &facts); facts.Name != "good.example.com" || facts.Entries[0].Serial != serial {
		t.Error(facts)
	}
}

func TestCommandChanges(t *testing.T) {
	t.Parallel()
	c, backend := startCommanded(t)
	c.cachedHTTP("purge", "good.example.com", "none.example.com").expect(t, 0, "2 names purged\n")
	c.cachedHTTP("inspect", "good.example.com").expect(t, 3)
	c.handshakes("good.example.com")
	if count := backend.Count("good.example.com"); count != 2 {
		t.Errorf("%d requests", count)
	}
	if s := c.cachedHTTP("purge", "--json", "other.example.com").expect(t, 0); s.out != `{"purged":0}`+"\n" {
		t.Error(s)
	}

	refreshed := c.cachedHTTP("refresh", "good.example.com", "none.example.com", "down.example.com").expect(t, 4).lines()
	if len(refreshed) != 3 || !strings.HasPrefix(refreshed[0], "failed          down.example.com: ") ||
		!slices.Equal(refreshed[1:], []string{"found           good.example.com", "no_certificate  none.example.com"}) {
		t.Errorf("%q", refreshed)
	}
	var result struct{ Name, Outcome string }
	if c.cachedHTTP("refresh", "good.example.com", "--json").document(t, &result); result.Name != "good.example.com" || result.Outcome != "found" {
		t.Error(result)
	}

	c.cachedHTTP("purge", "--all").expect(t, 2, "--yes")
	c.cachedHTTP("inspect", "good.example.com").expect(t, 0)
	c.cachedHTTP("purge", "--all", "--yes").expect(t, 0, " purged\n")
	c.cachedHTTP("inspect", "good.example.com").expect(t, 3, `nothing is known of "good.example.com"`)
	c.cachedHTTP("names", "--state", "disk").expect(t, 0, "No names.")
}

func TestCommandExitCodes(t *testing.T) {
	t.Parallel()
	c, _ := startCommanded(t)
	for _, arguments := range [][]string{
		{"no-such"},
		{"names", "--no-such"},
		{"names", "--limit", "-1"},
		{"names", "--state", "good"},
		{"inspect"},
		{"inspect", "no name"},
		{"purge", "good.example.com", "no name"},
		{"refresh", "no name"},
		{"prefetch", "one", "two"},
	} {
		c.cachedHTTP(arguments...).expect(t, 2, "Error: ")
	}
	for _, arguments := range [][]string{{"caches"}, {"names"}, {"inspect", "good.example.com"}, {"purge", "--all", "--yes"}, {"refresh", "good.example.com"}, {"prefetch"}} {
		c.cachedHTTP(append(arguments, "--cache", "deadbeef")...).expect(t, 3, "Error: no such cache runs in this Caddy; these do:\n", "cache\n")
	}
	c.cachedHTTP("inspect", "good.example.com").expect(t, 0)
	c.cachedHTTP().expect(t, 0, "Available Commands:")

	c.stop()
	s := c.cachedHTTP("caches").expect(t, 1, "Error: no Caddy answers at unix/"+c.folder+"/admin.sock (", "start it")
	if strings.Count(s.err, "\n") != 1 {
		t.Error(s.err)
	}
}

func TestCommandFindsCaddy(t *testing.T) {
	t.Parallel()
	c, backend := startCommanded(t)
	c.cachedHTTP("caches", "--address", "unix/"+c.folder+"/admin.sock").expect(t, 0, backend.URL())
	c.cachedHTTP("caches", "--config", c.caddyfilePath()).expect(t, 0, backend.URL())
	c.cachedHTTP("caches", "--config", c.caddyfilePath(), "--adapter", "caddyfile").expect(t, 0, backend.URL())

	// Over TCP, Caddy looks at Host and Origin.
	c.stop()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	text := strings.Replace(site{url: backend.URL()}.caddyfile(c.folder, c.port), "admin unix/"+c.folder+"/admin.sock", "admin "+address, 1)
	config := c.file("tcp.Caddyfile", []byte(text))
	c.serve(config)
	c.cachedHTTP("caches", "--address", address).expect(t, 0, backend.URL())
	c.cachedHTTP("caches", "--config", config).expect(t, 0, backend.URL())
	c.cachedHTTP("caches").expect(t, 1, "no Caddy answers")
	c.cachedHTTP("prefetch", "--address", address).expect(t, 0, "0 names in ")
}

func TestCommandWithManyCachesOrNone(t *testing.T) {
	t.Parallel()
	one := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	other := startBackend(t, testbackend.Certificate(authority, testca.RSA2048, "s-maxage=3600"))
	c := startCaddy(t, site{url: one.URL(), sites: "\nhttps://other.example.com:PORT {\n\tbind 127.0.0.1\n\ttls {\n\t\tget_certificate cached_http " + other.URL() + "\n\t}\n}\n"})
	c.handshakes("one.example.com", "other.example.com")
	c.cachedHTTP("names").expect(t, 2, "there are 2 caches; choose one with --cache ID:\n", one.URL()+"\n", other.URL()+"\n")
	c.cachedHTTP("refresh", "one.example.com").expect(t, 2, "--cache ID")
	c.cachedHTTP("names", "--cache", other.URL()).expect(t, 0, "other.example.com")
	if s := c.cachedHTTP("inspect", "one.example.com").expect(t, 0, one.URL()); strings.Contains(s.out, other.URL()) {
		t.Error(s.out)
	}
	c.cachedHTTP("purge", "one.example.com", "other.example.com").expect(t, 0, "2 names purged")

	c.reload(site{getter: "http", url: one.URL()})
	eventually(t, startLimit, "no cache runs", func() bool { return c.cachedHTTP("caches").code == 1 })
	c.cachedHTTP("caches").expect(t, 1, "runs no cache", "get_certificate cached_http")
	c.cachedHTTP("names").expect(t, 1, "no cache is running")
}
