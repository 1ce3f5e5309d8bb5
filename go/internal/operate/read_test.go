package operate_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/operate"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

func TestListsCaches(t *testing.T) {
	second, first := newFake("22222222"), newFake("11111111")
	first.folder = "/var/lib/one"
	status, text, header := ask(serviceOver(second, first), "GET", "/caches", "")
	const sizes = `"entries":5,"entry_bytes":6,"negatives":7,"failing_names":8,"breaker_open":true,"disk_entries":9,"disk_bytes":10,` +
		`"limits":{"max_memory":1,"max_negative_memory":2,"max_disk":3,"max_concurrent_fetches":4}}`
	want := `[{"id":"11111111","backend":"https://backend.example/11111111","cache_dir":"/var/lib/one",` + sizes +
		`,{"id":"22222222","backend":"https://backend.example/22222222",` + sizes + "]\n"
	if status != http.StatusOK || text != want {
		t.Errorf("%d %s", status, text)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", header)
	}
	if status, text, _ := ask(serviceOver(), "GET", "/caches", ""); status != http.StatusOK || text != "[]\n" {
		t.Errorf("without a cache: %d %s", status, text)
	}
}

func TestListsNames(t *testing.T) {
	cache := newFake("11111111")
	ends := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cache.page = store.NamesPage{Cursor: "next", Names: []store.NameSummary{{Name: "a.example", State: store.StateFresh, NotAfter: &ends}}}
	service := serviceOver(cache)
	status, text, _ := ask(service, "GET", "/names", "")
	if want := `{"names":[{"name":"a.example","state":"fresh","not_after":"2026-01-02T03:04:05Z"}],"cursor":"next"}` + "\n"; status != http.StatusOK || text != want {
		t.Errorf("%d %s", status, text)
	}
	cache.page = store.NamesPage{}
	if _, text, _ := ask(service, "GET", "/names?state=stale&prefix=shop&limit=10000&cursor=next&cache=11111111", ""); text != "{\"names\":[]}\n" {
		t.Errorf("an empty page: %s", text)
	}
	want := []store.NamesQuery{{Limit: 100}, {Prefix: "shop", State: store.StateStale, Limit: 10_000, Cursor: "next"}}
	if !slices.Equal(cache.queries, want) {
		t.Errorf("asked for %v", cache.queries)
	}
	for _, state := range []string{"fresh", "stale", "expired", "negative", "failing", "disk", "ending"} {
		if status, text, _ := ask(service, "GET", "/names?state="+state, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", state, status, text)
		}
	}
}

func TestTellsOfACursorOfNowhere(t *testing.T) {
	cache := newFake("11111111")
	cache.namesError = &native.Error{Status: native.StatusInvalidArgument, Message: "the cursor is none that a page has given"}
	status, text, _ := ask(serviceOver(cache), "GET", "/names?cursor=nowhere", "")
	if status != http.StatusBadRequest || !strings.Contains(text, "that a page has given; begin without one") {
		t.Errorf("%d %s", status, text)
	}
}

func TestInspectsAName(t *testing.T) {
	cache := newFake("11111111")
	cache.known["a.example"] = store.NameFacts{Name: "a.example", Entries: []store.EntryFacts{}, LastError: "refused"}
	status, text, _ := ask(serviceOver(cache), "GET", "/names/a.example", "")
	want := `{"name":"a.example","entries":[],"last_error":"refused","cache":"11111111","backend":"https://backend.example/11111111"}` + "\n"
	if status != http.StatusOK || text != want {
		t.Errorf("%d %s", status, text)
	}
	if status, text, _ = ask(serviceOver(cache), "GET", "/names/b.example", ""); status != http.StatusNotFound || !strings.Contains(text, "b.example") {
		t.Errorf("%d %s", status, text)
	}
}

// Without cache= it must be clear which one is meant; the answer lists those there are.
func TestChoosesACache(t *testing.T) {
	one, two, twin := newFake("11111111"), newFake("22222222"), newFake("33333333")
	twin.backend, twin.folder = two.backend, "/var/lib/twin"
	query := newFake("55555555")
	query.backend = "http://query.example/x?sha256=16367aacb67a4a01" // of "second"
	service := serviceOver(one, two, twin, query)
	for _, test := range []struct {
		parameter, complaint string
		status               int
	}{
		{"", "there are 4 caches; choose one with cache=ID", http.StatusBadRequest},
		{"?cache=22222222", "", http.StatusOK},
		{"?cache=" + one.backend, "", http.StatusOK},
		{"?cache=" + two.backend, "2 caches have this backend; choose one with cache=ID", http.StatusBadRequest},
		{"?cache=" + url.QueryEscape("http://user@query.example/x?second"), "", http.StatusOK},
		{"?cache=44444444", "no cache has this ID or backend; choose one with cache=ID", http.StatusNotFound},
		{"?cache=https://user:secret@backend.example/", "no cache has this ID or backend; choose one with cache=ID", http.StatusNotFound},
	} {
		status, text, _ := ask(service, "GET", "/names"+test.parameter, "")
		if status != test.status || strings.Contains(text, "secret") {
			t.Errorf("%s: %d %s", test.parameter, status, text)
		}
		if test.complaint == "" {
			continue
		}
		start := `{"error":"` + test.complaint + `","caches":[{"id":"`
		if !strings.HasPrefix(text, start) || !strings.Contains(text, `"cache_dir":"/var/lib/twin"`) {
			t.Errorf("%s: %s", test.parameter, text)
		}
	}
	for _, path := range []string{"/names", "/names/a.example"} {
		if status, text, _ := ask(serviceOver(), "GET", path, ""); status != http.StatusServiceUnavailable || !strings.Contains(text, "no cache is running") {
			t.Errorf("%d %s", status, text)
		}
	}
}

// What is misspelt or makes no sense is refused, not overlooked.
func TestRefusesBadQuestions(t *testing.T) {
	service := serviceOver(newFake("11111111"))
	for _, test := range []struct {
		method, path, complaint string
		status                  int
	}{
		{"GET", "/caches?cache=1", "there are none here", 400},
		{"GET", "/names?stat=fresh", "the parameters are cache, prefix, state, limit, cursor", 400},
		{"GET", "/names?state=old", "the states are fresh, stale, expired, negative, failing, disk, ending", 400},
		{"GET", "//caches", "nothing at this path", 404},
		{"GET", "/x/../caches", "nothing at this path", 404},
		{"GET", "/names?limit=0", "from 1 to 10000", 400},
		{"GET", "/names?state=ending&prefix=a", "order of time", 400},
		{"GET", "/names?state=ending&cursor=a", "limit=10000", 400},
		{"GET", "/names?state=" + strings.Repeat("x", 5000), "the states are", 400},
		{"GET", "/names?limit=10001", "from 1 to 10000", 400},
		{"GET", "/names?limit=many", "from 1 to 10000", 400},
		{"GET", "/names?prefix=a&prefix=b", "2 times", 400},
		{"GET", "/names?prefix=%zz", "can't be parsed", 400},
		{"GET", "/names/not%20a%20name", "not a name", 400},
		{"GET", "/names/a%2Fb.example", "a/b.example", 400},
		{"GET", "/names/a.example?limit=1", "the parameters are cache", 400},
		{"GET", "/name", "caches, names, names/NAME, purge, refresh and prefetch", 404},
		{"GET", "/names/", "there is nothing", 404},
		{"POST", "/caches", "GET", 405},
		{"DELETE", "/names/a.example", "GET", 405},
		{"GET", "/purge", "POST", 405},
		{"PUT", "/refresh", "POST", 405},
		{"HEAD", "/prefetch", "POST", 405},
	} {
		status, text, header := ask(service, test.method, test.path, "")
		if status != test.status || !strings.HasPrefix(text, `{"error":"`) || !strings.Contains(text, test.complaint) {
			t.Errorf("%s %s: %d %s", test.method, test.path, status, text)
		}
		if test.status == 405 && header.Get("Allow") != test.complaint {
			t.Errorf("%s %s: Allow: %q", test.method, test.path, header.Get("Allow"))
		}
	}
	if status, _, _ := ask(service, "HEAD", "/caches", ""); status != http.StatusOK {
		t.Errorf("HEAD: %d", status)
	}
}

func TestNothingIsServedBeforeAConfigurationRuns(t *testing.T) {
	service := operate.New(func() []operate.Cache { return nil }, func() context.Context { return nil })
	if status, text, _ := ask(service, "GET", "/caches", ""); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, text)
	}
}
