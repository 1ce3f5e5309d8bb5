package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What else is in the handler's site, and who else reaches it.

// The handler answers what it has something for. The rest is for what stands beside it, or nothing.
func TestHandlerLeavesOtherPathsAlone(t *testing.T) {
	t.Parallel()
	c, door := startGuarded(t, "cached_http_api", "metrics /metrics", `respond /health "fine"`, "file_server /files/*")
	for path, want := range map[string]string{
		"/metrics": "cached_http_", "/health": "fine", "/caches": `"backend"`, "/": "<title>",
		"/nothing": `{"error":"there is nothing at this path`, "/names/": `{"error":"there is nothing`,
	} {
		status, text, _ := door.ask(http.MethodGet, path, "")
		if (status == http.StatusOK) == strings.Contains(want, "error") || !strings.Contains(text, want) {
			t.Errorf("%s: %d %.200s", path, status, text)
		}
	}
	if status, text, _ := door.ask(http.MethodGet, "/files/absent", ""); status != http.StatusNotFound || text != "" {
		t.Errorf("the file server's: %d %s", status, text)
	}
	c.stillKnown()
}

// The page's own URLs are relative: without the slash they would lead astray.
func TestHandlerAtAPrefixWithoutItsSlash(t *testing.T) {
	t.Parallel()
	_, door := startGuarded(t, "handle_path /ops* {", "\tcached_http_api", "}")
	door.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for path, want := range map[string]string{"/ops": "./ops/", "/ops?a=b": "./ops/?a=b", "//elsewhere.example/ops": "", "/ops/": "", "/ops/page.js": ""} {
		if status, _, header := door.ask(http.MethodGet, path, ""); header.Get("Location") != want || (status == http.StatusPermanentRedirect) != (want != "") {
			t.Errorf("%s: %d to %q", path, status, header.Get("Location"))
		}
	}
}

// A page may have its own host name resolve to 127.0.0.1, and is then of the same origin. The site's address keeps it out.
func TestHandlerOnLoopbackKeepsReboundNamesOut(t *testing.T) {
	t.Parallel()
	c, door := startGuarded(t, writable)
	host := "evil.test" + door.base[strings.LastIndex(door.base, ":"):]
	door.modify = func(request *http.Request) {
		request.Host = host
		request.Header.Set("Origin", "http://"+host)
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for path, body := range map[string]string{"/purge": purgeKnown, "/prefetch": "other.example.com"} {
		if _, text, _ := door.ask(http.MethodPost, path, body); text != "" {
			t.Errorf("%s: %s", path, text)
		}
	}
	for _, path := range []string{"/", "/caches", "/names", "/names/" + knownName} {
		if _, text, _ := door.ask(http.MethodGet, path, ""); text != "" {
			t.Errorf("%s: %s", path, text)
		}
	}
	c.stillKnown()
}

// A limit of the site's own is told as what it is. (Caddy itself answers what says its length before.)
func TestHandlerBehindASmallerLimit(t *testing.T) {
	t.Parallel()
	c, door := startGuarded(t, writable, "request_body {", "\tmax_size 1KB", "}")
	send := func(path, body string) (status int, text string) {
		response, err := door.open(t.Context(), http.MethodPost, path, io.MultiReader(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return response.StatusCode, string(content)
	}
	status, text := send("/purge", fmt.Sprintf(`{"names": [%q%s]}`, knownName, strings.Repeat(`, "a.example.com"`, 100)))
	if status != http.StatusRequestEntityTooLarge || !strings.Contains(text, "larger than 1000 bytes") || strings.Contains(text, "HTTP") {
		t.Errorf("%d %s", status, text)
	}
	c.stillKnown()
	_, text = send("/prefetch", strings.Repeat(knownName+"\n", 100))
	lines := outcomes(t, text)
	if last := lines[len(lines)-1]; len(lines) < 50 || !strings.Contains(last.Error, "larger than 1000 bytes") || strings.Contains(last.Error, "HTTP") {
		t.Errorf("%d lines, last %+v", len(lines), last)
	}
}
