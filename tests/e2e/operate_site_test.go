package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// What is refused, and by whom.

const knownName = "known.example.com"

// startGuarded starts a Caddy that knows one name, with a handler behind these lines.
func startGuarded(t *testing.T, lines ...string) (*caddy, *operator) {
	t.Helper()
	backend := startBackend(t, testbackend.Certificate(authority, testca.P256, "s-maxage=3600"))
	port := freePort(t)
	c := startCaddy(t, site{url: backend.URL(), sites: operateSite(port, lines...)})
	c.handshakes(knownName)
	return c, c.handlerDoor(port)
}

// stillKnown wants nothing to have been purged.
func (c *caddy) stillKnown() {
	c.t.Helper()
	if names := c.adminDoor().names(""); len(names) != 1 || names[0] != knownName {
		c.t.Errorf("known: %v", names)
	}
}

const purgeKnown = `{"names": ["` + knownName + `"]}`

func TestOperateRefusesBadRequests(t *testing.T) {
	t.Parallel()
	c, handler := startGuarded(t, writable)
	for _, door := range []*operator{c.adminDoor(), handler} {
		for _, test := range []struct {
			method, path, body string
			status             int
		}{
			{"GET", "/names?sate=fresh", "", 400},
			{"GET", "/names?state=old", "", 400},
			{"GET", "/names?limit=0", "", 400},
			{"GET", "/names?limit=10001", "", 400},
			{"GET", "/names?cache=a&cache=b", "", 400},
			{"GET", "/names/no%20name", "", 400},
			{"GET", "/names/192.0.2.1", "", 400},
			{"GET", "/names/unknown.example.com", "", 404},
			{"GET", "/names?cache=00000000", "", 404},
			{"GET", "/nothing", "", 404},
			{"GET", "/purge", "", 405},
			{"POST", "/caches", "{}", 405},
			{"POST", "/purge", "", 400},
			{"POST", "/purge", "{}", 400},
			{"POST", "/purge", `{"names": ["` + knownName + `"], "all": true}`, 400},
			{"POST", "/purge", `{"names": ["` + knownName + `"], "dry_run": true}`, 400},
			{"POST", "/purge", `{"names": ["` + knownName + `", "no name"]}`, 400},
			{"POST", "/purge", `{"names": ["` + knownName + `", ""]}`, 400},
			{"POST", "/purge?all=true", purgeKnown, 400},
			{"POST", "/purge", `{"cache": "` + strings.Repeat("x", 16<<20) + `"}`, 413},
			{"POST", "/purge", `{"names": ["a.example"` + strings.Repeat(`,"a.example"`, 200_000) + `]}`, 413},
			{"POST", "/refresh", `{"all": true}`, 400},
			{"POST", "/refresh", `{"names": ["` + knownName + `", "no name"]}`, 400},
			{"POST", "/prefetch", strings.Repeat("x", 2000), 400},
			{"POST", "/prefetch?names=a.example", "", 400},
		} {
			status, text, header := door.ask(test.method, test.path, test.body)
			if status != test.status || !strings.HasPrefix(text, `{"error":"`) || header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s %s %.60s: %d %.300s", door.title, test.method, test.path, test.body, status, text)
			}
			if (status == http.StatusMethodNotAllowed) != (header.Get("Allow") != "") {
				t.Errorf("%s: %s %s: Allow: %q", door.title, test.method, test.path, header.Get("Allow"))
			}
		}
		c.stillKnown()
	}
}

func TestHandlerIsReadOnlyWithoutWrite(t *testing.T) {
	t.Parallel()
	c, door := startGuarded(t, "cached_http_api")
	if names := door.names(""); len(names) != 1 {
		t.Errorf("%v", names)
	}
	for path, body := range map[string]string{"/purge": purgeKnown, "/refresh": purgeKnown, "/prefetch": "other.example.com"} {
		status, text, _ := door.ask(http.MethodPost, path, body)
		if status != http.StatusForbidden || strings.TrimSpace(text) != `{"error":"read-only: add 'write' to cached_http_api"}` {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	c.stillKnown()
}

// What a page of another site can have a visitor's browser send changes nothing.
func TestHandlerRefusesOtherSites(t *testing.T) {
	t.Parallel()
	c, door := startGuarded(t, writable)
	own := door.base
	for _, test := range []struct {
		status int
		header map[string]string
	}{
		{403, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}},
		{403, map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"}},
		{403, map[string]string{"Sec-Fetch-Site": "cross-site"}},
		{403, map[string]string{"Origin": "https://evil.example"}},
		{403, map[string]string{"Origin": "http://127.0.0.1:1"}},
		{403, map[string]string{"Origin": "null"}},
		{415, map[string]string{"Content-Type": "text/plain"}},
		{415, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
		{200, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": own}}, // the last: it purges
	} {
		if test.status == 200 {
			c.stillKnown()
		}
		door.modify = func(request *http.Request) {
			for name, value := range test.header {
				request.Header.Set(name, value)
			}
		}
		if status, text, _ := door.ask(http.MethodPost, "/purge", purgeKnown); status != test.status {
			t.Errorf("%v: %d %s", test.header, status, text)
		}
	}
	if names := c.adminDoor().names(""); len(names) > 0 {
		t.Errorf("the site's own page can't purge: %v", names)
	}
}

// The guards of Caddy's own that stand beside the directive come before it, wherever they are written.
func TestGuardsComeBeforeTheHandler(t *testing.T) {
	t.Parallel()
	password := plant("uuL8eeKoo4ohqu6e")
	hasher := prepareCaddy(t)
	hash, err := hasher.exec(caddyBinary, "hash-password", "--plaintext", password).Output()
	if err != nil {
		t.Fatal(err)
	}
	c, door := startGuarded(t, writable,
		"basic_auth {", "\toperator "+strings.TrimSpace(string(hash)), "}")
	for _, given := range []string{"", "wrong", password} {
		door.modify = func(request *http.Request) {
			if given != "" {
				request.SetBasicAuth("operator", given)
			}
		}
		want := http.StatusUnauthorized
		if given == password {
			c.stillKnown()
			want = http.StatusOK
		}
		if status, text, _ := door.ask(http.MethodPost, "/purge", purgeKnown); status != want {
			t.Errorf("%d %s, want %d", status, text, want)
		}
	}

	for title, guard := range map[string]string{
		"respond": "respond @elsewhere 403", "error": "error @elsewhere 403", "abort": "abort @elsewhere",
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			guarded, locked := startGuarded(t, writable, "@elsewhere not remote_ip 192.0.2.0/24", guard)
			response, err := locked.open(t.Context(), http.MethodPost, "/purge", strings.NewReader(purgeKnown))
			if err == nil {
				_ = response.Body.Close()
			}
			if (err == nil) != (title != "abort") || (err == nil && response.StatusCode != http.StatusForbidden) {
				t.Errorf("%v %v", response, err)
			}
			guarded.stillKnown()
		})
	}
}

// The page for people is the handler's alone: browsers don't get into the admin API.
func TestHandlerServesThePage(t *testing.T) {
	t.Parallel()
	c, door := startGuarded(t, "cached_http_api")
	for path, contentType := range map[string]string{"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css"} {
		status, text, header := door.ask(http.MethodGet, path, "")
		if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), contentType) || text == "" {
			t.Errorf("%s: %d %v", path, status, header)
		}
	}
	for _, path := range []string{"/", "/page.js"} {
		if status, text, _ := c.adminDoor().ask(http.MethodGet, path, ""); status != http.StatusNotFound {
			t.Errorf("%s: %d %.100s", path, status, text)
		}
	}
}

// Under a prefix, beside another answer.
func TestHandlerUnderAPrefix(t *testing.T) {
	t.Parallel()
	c, door := startGuarded(t, "handle_path /certificates/* {", "\tcached_http_api", "}", `respond "something else"`)
	if status, text, _ := door.ask(http.MethodGet, "/caches", ""); status != http.StatusOK || text != "something else" {
		t.Errorf("%d %s", status, text)
	}
	door.base += "/certificates"
	if names := door.names(""); len(names) != 1 {
		t.Errorf("%v", names)
	}
	c.stillKnown()
}
