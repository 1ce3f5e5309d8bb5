package page

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/operate"
	page "github.com/cached-http/caddy-cached-http/go/internal/operate/page"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// fake is the page and its service over made-up caches, for what a real one does not show on demand: a million names,
// hostile texts, faults.
type fake struct {
	URL     string
	handler http.Handler // the page and the service
	service http.Handler

	mutex    sync.Mutex
	fault    http.HandlerFunc // answers instead of the service
	requests []string         // to the service: method, path and query
}

// startFake serves the page and these caches until the test ends.
func startFake(t *testing.T, write bool, caches ...*fakeCache) *fake {
	f := &fake{}
	var running []operate.Cache
	for _, cache := range caches {
		cache.fake = f
		running = append(running, cache)
	}
	f.service = operate.ForSite(operate.New(func() []operate.Cache { return running }, t.Context), write)
	front := page.Handler(write)
	f.handler = http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if page.Serves(request.URL.Path) {
			front.ServeHTTP(response, request)
			return
		}
		var fault http.HandlerFunc
		f.change(func() {
			f.requests = append(f.requests, request.Method+" "+request.URL.RequestURI())
			fault = f.fault
		})
		if fault != nil {
			fault(response, request)
			return
		}
		f.service.ServeHTTP(response, request)
	})
	server := httptest.NewServer(f.handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f.URL = server.URL + "/"
	return f
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

func problem(response http.ResponseWriter, status int, text string) {
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	_ = json.NewEncoder(response).Encode(map[string]string{"error": text})
}

// fakeCache is an operate.Cache with made-up counters and names, these in order.
type fakeCache struct {
	id, backend, cacheDir string
	counters              native.Counters
	names                 []store.NameFacts

	fake *fake
}

func (c *fakeCache) ID() string          { return c.id }
func (c *fakeCache) Backend() string     { return c.backend }
func (c *fakeCache) CacheDir() string    { return c.cacheDir }
func (c *fakeCache) IsDistributed() bool { return false }

func (c *fakeCache) ShareText(context.Context, string, string) error { return nil }

func (c *fakeCache) SharedText(context.Context, string) (string, error) { return "", nil }
func (c *fakeCache) PrefetchShare() int                                 { return 1 }

func (c *fakeCache) Sync(context.Context, time.Time) error { return nil }

func (c *fakeCache) Limits() store.Limits {
	return store.Limits{MaxMemory: 256 << 20, MaxNegativeMemory: 16 << 20, MaxDisk: 4 << 30, MaxConcurrentFetches: 512}
}

func (c *fakeCache) Counters() (counters native.Counters, err error) {
	c.fake.change(func() { counters = c.counters })
	return counters, nil
}

func (c *fakeCache) Names(_ context.Context, query store.NamesQuery) (names store.NamesPage, err error) {
	c.fake.change(func() { names = c.page(query) })
	return names, nil
}

func (c *fakeCache) Inspect(_ context.Context, name string) (facts store.NameFacts, err error) {
	err = cmp.Or(store.CheckName(name), error(store.ErrUnknownName))
	c.fake.change(func() {
		if index, known := c.find(name); known {
			facts, err = c.names[index], nil
		}
	})
	return facts, err
}

func (c *fakeCache) Purge(_ context.Context, names []string) (purged int, err error) {
	c.fake.change(func() {
		before := len(c.names)
		c.names = slices.DeleteFunc(c.names, func(facts store.NameFacts) bool { return slices.Contains(names, facts.Name) })
		purged = before - len(c.names)
	})
	return purged, nil
}

func (*fakeCache) PurgeAll(context.Context) (purged int, err error) {
	panic("the page never asks for that")
}

func (c *fakeCache) Refresh(ctx context.Context, name string) store.RefreshResult {
	if facts, err := c.Inspect(ctx, name); err == nil && facts.LastError != "" {
		return store.RefreshResult{Name: name, Outcome: store.OutcomeFailed, Reason: facts.LastError}
	}
	return store.RefreshResult{Name: name, Outcome: store.OutcomeFound}
}

func (*fakeCache) Prefetch(context.Context, string) store.RefreshResult {
	panic("the page never asks for that")
}

func (c *fakeCache) find(name string) (int, bool) {
	return slices.BinarySearchFunc(c.names, name, func(facts store.NameFacts, name string) int { return cmp.Compare(facts.Name, name) })
}
