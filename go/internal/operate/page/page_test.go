package page

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(handler http.Handler, method, path string, header http.Header) *http.Response {
	request := httptest.NewRequest(method, path, nil)
	request.Header = header
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Result()
}

// Each file comes with its type, and with headers that let the page do no more than it has to.
func TestHeaders(t *testing.T) {
	handler := Handler(true)
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8",
	} {
		response := get(handler, http.MethodGet, path, nil)
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != kind {
			t.Errorf("%s: status %d, %s", path, response.StatusCode, response.Header.Get("Content-Type"))
		}
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-cache",
		} {
			if got := response.Header.Get(name); got != value {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
		given := response.Header.Get("Content-Security-Policy")
		for _, directive := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
			"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
		} {
			if !strings.Contains(given+";", directive+";") {
				t.Errorf("%s: %q lacks %s", path, given, directive)
			}
		}
		if strings.Contains(given, "unsafe") {
			t.Errorf("%s: %q", path, given)
		}
		again := get(handler, http.MethodGet, path, http.Header{"If-None-Match": {response.Header.Get("ETag")}})
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: status %d for what is known already", path, again.StatusCode)
		}
	}
}

// Nothing but the page is served, and by GET alone.
func TestOtherRequests(t *testing.T) {
	handler := Handler(false)
	for path, wanted := range map[string]bool{
		"/": true, "/page.js": true, "/page.css": true, "/index.html": false, "/page.go": false, "/names": false,
		"/page.js/": false, "//page.js": false, "/../page.go": false, "": false,
	} {
		if Serves(path) != wanted {
			t.Errorf("%q: served is %t", path, !wanted)
		}
	}
	if response := get(handler, http.MethodGet, "/names", nil); response.StatusCode != http.StatusNotFound {
		t.Errorf("status %d for another path", response.StatusCode)
	}
	response := get(handler, http.MethodPost, "/", nil)
	if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("status %d for POST", response.StatusCode)
	}
}

// Below a path prefix only relative URLs work, and nothing may be loaded from elsewhere. Text never becomes markup.
func TestSourcesKeepTheRules(t *testing.T) {
	for rule, pattern := range map[string]*regexp.Regexp{
		"an absolute URL":  regexp.MustCompile(`(?:href|src)="(?:/|https?:)|(?:from|fetch\(|url\()\s*['"` + "`" + `(](?:/|https?:)`),
		"text as markup":   regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b`),
		"an inline script": regexp.MustCompile(`<script>|<style>|\son[a-z]+="|\sstyle="`),
	} {
		for _, path := range append(names(t), "index.html") {
			if place := pattern.Find(read(path)); place != nil {
				t.Errorf("%s: %s: %s", path, rule, place)
			}
		}
	}
}

func names(t *testing.T) (names []string) {
	t.Helper()
	for path := range assets {
		names = append(names, strings.TrimPrefix(path, "/"))
	}
	if len(names) < 3 {
		t.Fatal("files are missing")
	}
	return names
}
