package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// A configuration that can't be meant is refused by `caddy validate` and `caddy adapt`, with file and line.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:1/certificates"
	for title, test := range map[string]struct {
		s     site
		at    string // the text whose line is named
		names string // what the message speaks of
	}{
		"unknown":             {site{url: url, options: []string{"ttl 1h", "tll 1h"}}, "tll", "tll"},
		"repeated":            {site{url: url, options: []string{"timeout 5s", "timeout 6s"}}, "timeout 6s", "timeout"},
		"negative duration":   {site{url: url, options: []string{"ttl -1s"}}, "ttl", "ttl"},
		"negative size":       {site{url: url, options: []string{"max_memory -1MiB"}}, "max_memory", "max_memory"},
		"negative count":      {site{url: url, options: []string{"max_concurrent_fetches -3"}}, "max_conc", "max_concurrent_fetches"},
		"contradictory":       {site{url: url, options: []string{"ttl 1h", "default_ttl 2h"}}, "", "default_ttl"},
		"no duration":         {site{url: url, options: []string{"negative_ttl soon"}}, "negative_ttl", "negative_ttl"},
		"no value":            {site{url: url, options: []string{"timeout"}}, "timeout", ""},
		"one value too many":  {site{url: url, options: []string{"timeout 1s 2s"}}, "timeout", ""},
		"not one of":          {site{url: url, options: []string{"on_negative maybe"}}, "on_negative", "deny"},
		"header without name": {site{url: url, options: []string{"header"}}, "header", ""},
		"certificate alone":   {site{url: url, options: []string{"client_certificate a.pem"}}, "client_certificate", ""},
		"no URL":              {site{}, "cached_http", ""},
		"two URLs":            {site{url: url + " " + url}, "cached_http", ""},
		"another scheme":      {site{url: "ftp://127.0.0.1/certificates"}, "ftp://", "http"},
		"no scheme":           {site{url: "app.internal/certificates"}, "app.internal", "http"},
		"no host":             {site{url: "https:///certificates"}, "https:///", "host"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			c := prepareCaddy(t)
			c.write(test.s)
			for _, command := range []string{"adapt", "validate"} {
				output, err := c.run(command, "--config", c.caddyfilePath())
				if err == nil {
					t.Errorf("caddy %s takes it", command)
				}
				place := "Caddyfile:"
				if test.at != "" {
					place += fmt.Sprint(lineOf(test.s.caddyfile(c.folder, c.port), test.at))
				}
				for _, wanted := range []string{place, test.names} {
					if !strings.Contains(output, wanted) {
						t.Errorf("caddy %s does not name %q: %s", command, wanted, lastLines(output, 1))
					}
				}
			}
		})
	}
}

// What is fine in a Caddyfile but not on this machine keeps Caddy from starting, with the reason: files that can't be
// read, and a cache_dir that others could read or replace.
func TestUnusableFiles(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	const wantedMode = "0700"
	for title, test := range map[string]struct {
		option  string
		prepare func(c *caddy, path string)
		says    string
	}{
		"open to others": {"cache_dir", func(_ *caddy, path string) {
			must(os.Mkdir(path, 0o700))
			must(os.Chmod(path, 0o777)) //nolint:gosec // that is the case
		}, wantedMode},
		"readable by others": {"cache_dir", func(_ *caddy, path string) {
			must(os.Mkdir(path, 0o700))
			must(os.Chmod(path, 0o755)) //nolint:gosec // that is the case
		}, wantedMode},
		"symlink": {"cache_dir", func(_ *caddy, path string) {
			must(os.Mkdir(path+"-real", 0o700))
			must(os.Symlink(path+"-real", path))
		}, "symlink|symbolic link"},
		"a file":        {"cache_dir", func(_ *caddy, path string) { must(os.WriteFile(path, nil, 0o600)) }, "directory|folder"},
		"no CA file":    {"trusted_ca", func(*caddy, string) {}, "no such file"},
		"no PEM for CA": {"trusted_ca", func(_ *caddy, path string) { must(os.WriteFile(path, []byte("hello"), 0o600)) }, "PEM|certificate"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			c := prepareCaddy(t)
			path := c.folder + "/thing"
			test.prepare(c, path)
			said := c.startFails(site{url: "https://127.0.0.1:1/", options: []string{test.option + " " + path}})
			reason := lastLines(said, 1)
			if !containsAny(reason, []string{path, test.option}) {
				t.Errorf("neither the file nor the option is named: %s", reason)
			}
			if !containsAny(strings.ToLower(reason), strings.Split(strings.ToLower(test.says), "|")) {
				t.Errorf("no %s in: %s", test.says, reason)
			}
		})
	}
}

// Validating changes nothing on disk, and root may do it for the user that runs the server: what belongs to that one is
// none of root's business.
func TestValidateTouchesNothing(t *testing.T) {
	t.Parallel()
	c := prepareCaddy(t)
	path := c.folder + "/cache"
	s := site{url: "http://127.0.0.1:1/", options: []string{"cache_dir " + path}}
	validate := func(s site) string {
		t.Helper()
		c.write(s)
		output, err := c.run("validate", "--config", c.caddyfilePath())
		if err != nil {
			t.Errorf("%v: %s", err, lastLines(output, 1))
		}
		return output
	}
	validate(s)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("validating has made %s: %v", path, err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder that belongs to somebody else")
	}
	const nobody = 65534
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if output := validate(s); strings.Contains(output, "chown") {
		t.Errorf("advice that would break production: %s", output)
	}
	if files, err := os.ReadDir(path); err != nil || len(files) > 0 {
		t.Errorf("validating has made %v, %v", files, err)
	}
}

// A server that runs as root with somebody else's folder serves from memory, writes nothing there, and says why.
func TestForeignFolderIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder that belongs to somebody else")
	}
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=600"))
	c := prepareCaddy(t)
	path := c.folder + "/cache"
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	c.start(site{url: backend.URL(), options: []string{"cache_dir " + path}})
	c.handshakes("a.example.com", "a.example.com")
	eventually(t, 20*time.Second, "the log says so", func() bool { return len(c.notable("owned by uid 65534", path)) > 0 })
	if files, err := os.ReadDir(path); err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func containsAny(text string, wanted []string) bool {
	for _, w := range wanted {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
