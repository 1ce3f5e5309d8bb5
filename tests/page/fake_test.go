package page

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	page "github.com/cached-http/caddy-cached-http/go/internal/operate/page"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// fake is the service and the page with made-up caches, for what a real one does not show on demand: a million names,
// hostile texts, faults.
type fake struct {
	URL     string
	handler http.Handler

	mutex    sync.Mutex
	caches   []*fakeCache
	fault    http.HandlerFunc // answers instead of the service
	requests []string         // to the service: method, path and query
}

// fakeCache is one row of GET /caches, and its names in order.
type fakeCache struct {
	ID                  string       `json:"id"`
	Backend             string       `json:"backend"`
	CacheDir            string       `json:"cache_dir,omitempty"`
	Entries             uint64       `json:"entries"`
	EntryBytes          uint64       `json:"entry_bytes"`
	Negatives           uint64       `json:"negatives"`
	FailingNames        uint64       `json:"failing_names"`
	BreakerOpen         bool         `json:"breaker_open"`
	DiskEntries         uint64       `json:"disk_entries"`
	DiskBytes           uint64       `json:"disk_bytes"`
	FirstCertificateEnd time.Time    `json:"first_certificate_end,omitzero"`
	FirstBridgeEnd      time.Time    `json:"first_bridge_end,omitzero"`
	Limits              store.Limits `json:"limits"`

	names []store.NameFacts
}

// startFake serves the page and these caches until the test ends.
func startFake(t *testing.T, write bool, caches ...*fakeCache) *fake {
	f := &fake{caches: caches}
	front := page.Handler(write)
	service := http.NewServeMux()
	service.HandleFunc("GET /caches", f.answerCaches)
	service.HandleFunc("GET /names", f.answerNames)
	service.HandleFunc("GET /names/{name}", f.answerFacts)
	service.HandleFunc("POST /purge", f.purge)
	service.HandleFunc("POST /refresh", f.refresh)
	f.handler = http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if page.Serves(request.URL.Path) {
			front.ServeHTTP(response, request)
			return
		}
		fault := f.note(request)
		if fault != nil {
			fault(response, request)
			return
		}
		service.ServeHTTP(response, request)
	})
	server := httptest.NewServer(f.handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f.URL = server.URL + "/"
	return f
}

func (f *fake) note(request *http.Request) http.HandlerFunc {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.requests = append(f.requests, request.Method+" "+request.URL.RequestURI())
	return f.fault
}

// change changes something under the lock.
func (f *fake) change(change func()) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	change()
}

// asked counts requests that begin like this.
func (f *fake) asked(prefix string) (count int) {
	f.change(func() {
		for _, request := range f.requests {
			if strings.HasPrefix(request, prefix) {
				count++
			}
		}
	})
	return count
}

func (f *fake) answerCaches(response http.ResponseWriter, _ *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	answer(response, http.StatusOK, f.caches)
}

func (f *fake) answerNames(response http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	query := request.URL.Query()
	cache := f.cache(response, query.Get("cache"))
	if cache == nil {
		return
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	answer(response, http.StatusOK, cache.page(store.NameState(query.Get("state")), query.Get("prefix"), limit, query.Get("cursor")))
}

func (f *fake) answerFacts(response http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	cache := f.cache(response, request.URL.Query().Get("cache"))
	if cache == nil {
		return
	}
	index, known := cache.find(request.PathValue("name"))
	switch {
	case strings.ContainsAny(request.PathValue("name"), " !"):
		problem(response, http.StatusBadRequest, strconv.Quote(request.PathValue("name"))+": is no server name")
	case !known:
		problem(response, http.StatusNotFound, "nothing is known of it")
	default:
		answer(response, http.StatusOK, struct {
			store.NameFacts
			Cache   string `json:"cache"`
			Backend string `json:"backend"`
		}{cache.names[index], cache.ID, cache.Backend})
	}
}

type change struct {
	Names []string `json:"names"`
	Cache string   `json:"cache"`
}

func (f *fake) purge(response http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	wanted, cache := f.changed(response, request)
	if cache == nil {
		return
	}
	before := len(cache.names)
	cache.names = slices.DeleteFunc(cache.names, func(facts store.NameFacts) bool { return slices.Contains(wanted, facts.Name) })
	answer(response, http.StatusOK, map[string]int{"purged": before - len(cache.names)})
}

func (f *fake) refresh(response http.ResponseWriter, request *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	wanted, cache := f.changed(response, request)
	if cache == nil {
		return
	}
	response.Header().Set("Content-Type", "application/x-ndjson")
	for _, name := range wanted {
		result := store.RefreshResult{Name: name, Outcome: store.OutcomeFound}
		if index, known := cache.find(name); known && cache.names[index].LastError != "" {
			result = store.RefreshResult{Name: name, Outcome: store.OutcomeFailed, Reason: cache.names[index].LastError}
		}
		_ = json.NewEncoder(response).Encode(result)
	}
}

func (f *fake) changed(response http.ResponseWriter, request *http.Request) ([]string, *fakeCache) {
	var wanted change
	if request.Header.Get("Content-Type") != "application/json" || json.NewDecoder(request.Body).Decode(&wanted) != nil {
		problem(response, http.StatusBadRequest, "this is no JSON")
		return nil, nil
	}
	return wanted.Names, f.cache(response, wanted.Cache)
}

func (f *fake) cache(response http.ResponseWriter, id string) *fakeCache {
	for _, cache := range f.caches {
		if cache.ID == id {
			return cache
		}
	}
	problem(response, http.StatusNotFound, "there is no cache "+url.QueryEscape(id))
	return nil
}

func answer(response http.ResponseWriter, status int, document any) {
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	_ = json.NewEncoder(response).Encode(document)
}

func problem(response http.ResponseWriter, status int, text string) {
	answer(response, status, map[string]string{"error": text})
}
