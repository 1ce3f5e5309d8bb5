package operate_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cached-http/caddy-cached-http/go/internal/operate"
)

func TestASiteIsReadOnlyUnlessToldOtherwise(t *testing.T) {
	cache := newFake("11111111")
	site := operate.ForSite(serviceOver(cache), false)
	if status, text, _ := ask(site, "GET", "/caches", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	for path, body := range map[string]string{"/purge": `{"all": true}`, "/refresh": `{"names": ["a.example"]}`, "/prefetch": "a.example"} {
		status, text, _ := ask(site, "POST", path, body, "Content-Type", "application/json")
		if want := `{"error":"read-only: add 'write' to cached_http_api"}`; status != http.StatusForbidden || strings.TrimSpace(text) != want {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if cache.changes() > 0 {
		t.Error("something was done")
	}
}

// A method that nothing is asked by is the caller's mistake, whoever it is.
func TestWrongMethodsComeFirst(t *testing.T) {
	for _, allowsChanges := range []bool{false, true} {
		site := operate.ForSite(serviceOver(newFake("11111111")), allowsChanges)
		for _, test := range [][3]string{{"POST", "/caches", "GET"}, {"DELETE", "/names/a.example", "GET"}, {"PUT", "/purge", "POST"}, {"GET", "/purge", "POST"}} {
			if status, text, header := ask(site, test[0], test[1], ""); status != http.StatusMethodNotAllowed || header.Get("Allow") != test[2] {
				t.Errorf("%v: %d %s Allow: %s", test, status, text, header.Get("Allow"))
			}
		}
	}
}

// httptest's requests have the host example.com.
func TestASiteTakesNoChangesFromAnother(t *testing.T) {
	for _, test := range []struct {
		title   string
		status  int
		headers []string
	}{
		{"no browser", 200, nil},
		{"own page", 200, []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"}},
		{"own page, old browser", 200, []string{"Origin", "http://example.com"}},
		{"address bar", 200, []string{"Sec-Fetch-Site", "none"}},
		{"other site", 403, []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example"}},
		{"other site that hides its origin", 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{"sibling", 403, []string{"Sec-Fetch-Site", "same-site", "Origin", "http://other.example.com"}},
		{"other site, old browser", 403, []string{"Origin", "http://evil.example"}},
		{"other port, old browser", 403, []string{"Origin", "http://example.com:81"}},
		{"sandboxed page", 403, []string{"Origin", "null"}},
		{"form", 415, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"form that hides JSON in text", 415, []string{"Content-Type", "text/plain"}},
		{"no type", 415, []string{"Content-Type", ""}},
		{"charset", 200, []string{"Content-Type", "application/json; charset=utf-8"}},
	} {
		cache := newFake("11111111")
		site := operate.ForSite(serviceOver(cache), true)
		headers := append([]string{"Content-Type", "application/json"}, test.headers...)
		status, text, _ := ask(site, "POST", "/purge", `{"names": ["a.example"]}`, headers...)
		if status != test.status || (cache.changes() == 0) != (status != 200) {
			t.Errorf("%s: %d %s", test.title, status, text)
		}
	}
	for _, contentType := range []string{"application/json", "text/plain"} {
		want := map[string]int{"application/json": 415, "text/plain": 200}[contentType]
		site := operate.ForSite(serviceOver(newFake("11111111")), true)
		if status, text, _ := ask(site, "POST", "/prefetch", "a.example", "Content-Type", contentType); status != want {
			t.Errorf("%s: %d %s", contentType, status, text)
		}
	}
}
