package operate_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/operate"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// fakeCache notes what it is asked and answers as set.
type fakeCache struct {
	texts               sync.Map // that were shared
	isDistributed       bool
	id, backend, folder string
	share               int
	known               map[string]store.NameFacts
	page                store.NamesPage
	purgeError          error
	purgeHangs          chan struct{} // until it is closed
	namesError          error
	syncError           error
	work                func(ctx context.Context, name string) store.RefreshOutcome // of refresh and prefetch

	mutex     sync.Mutex
	queries   []store.NamesQuery
	purged    []string
	purgedAll int
	asked     []string

	underWay, mostUnderWay atomic.Int64
}

func newFake(id string) *fakeCache {
	return &fakeCache{id: id, backend: "https://backend.example/" + id, share: 4, known: map[string]store.NameFacts{}}
}

func (c *fakeCache) ID() string                            { return c.id }
func (c *fakeCache) Backend() string                       { return c.backend }
func (c *fakeCache) CacheDir() string                      { return c.folder }
func (c *fakeCache) IsDistributed() bool                   { return c.isDistributed }
func (c *fakeCache) PrefetchShare() int                    { return c.share }
func (c *fakeCache) Sync(context.Context, time.Time) error { return c.syncError }

func (c *fakeCache) ShareText(_ context.Context, about, text string) error {
	c.texts.Store(about, text)
	return nil
}

func (c *fakeCache) SharedText(_ context.Context, about string) (string, error) {
	text, _ := c.texts.Load(about)
	known, _ := text.(string)
	return known, nil
}

func (c *fakeCache) Limits() store.Limits {
	return store.Limits{MaxMemory: 1, MaxNegativeMemory: 2, MaxDisk: 3, MaxConcurrentFetches: 4}
}

func (c *fakeCache) Counters() (native.Counters, error) {
	return native.Counters{Entries: 5, EntryBytes: 6, Negatives: 7, FailingNames: 8, BreakerIsOpen: true, DiskEntries: 9, DiskBytes: 10}, nil
}

func (c *fakeCache) Names(_ context.Context, query store.NamesQuery) (store.NamesPage, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.queries = append(c.queries, query)
	return c.page, c.namesError
}

func (c *fakeCache) Inspect(_ context.Context, name string) (store.NameFacts, error) {
	if isNone(name) {
		return store.NameFacts{}, &native.Error{Status: native.StatusInvalidName, Message: name + ": not a name"}
	}
	if facts, known := c.known[name]; known {
		return facts, nil
	}
	return store.NameFacts{}, store.ErrUnknownName
}

func (c *fakeCache) Purge(_ context.Context, names []string) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.purged = append(c.purged, names...)
	return len(names), c.purgeError
}

func (c *fakeCache) PurgeAll(context.Context) (int, error) {
	if c.purgeHangs != nil {
		<-c.purgeHangs
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.purgedAll++
	return 100, c.purgeError
}

func (c *fakeCache) Refresh(ctx context.Context, name string) store.RefreshResult {
	return c.ask(ctx, name)
}

func (c *fakeCache) Prefetch(ctx context.Context, name string) store.RefreshResult {
	if isNone(name) {
		return store.RefreshResult{Name: name, Outcome: store.OutcomeFailed, Reason: "not a name"}
	}
	return c.ask(ctx, name)
}

func isNone(name string) bool { return strings.ContainsAny(name, " /") }

func (c *fakeCache) ask(ctx context.Context, name string) store.RefreshResult {
	now := c.underWay.Add(1)
	defer c.underWay.Add(-1)
	for most := c.mostUnderWay.Load(); now > most && !c.mostUnderWay.CompareAndSwap(most, now); most = c.mostUnderWay.Load() {
	}
	c.mutex.Lock()
	c.asked = append(c.asked, name)
	c.mutex.Unlock()
	outcome := store.OutcomeFound
	if c.work != nil {
		outcome = c.work(ctx, name)
	}
	return store.RefreshResult{Name: name, Outcome: outcome}
}

// changes tells what was done to it.
func (c *fakeCache) changes() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return len(c.purged) + c.purgedAll + len(c.asked)
}

func serviceOver(caches ...*fakeCache) *operate.Service {
	return operate.New(func() []operate.Cache {
		list := make([]operate.Cache, len(caches))
		for i, cache := range caches {
			list[i] = cache
		}
		return list
	}, context.Background)
}

// serve starts a real server, which streams need. A panic in it fails the test.
func serve(t *testing.T, handler http.Handler, changes ...func(*httptest.Server)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	var panicked atomic.Bool
	server.Config.ErrorLog = log.New(writerFunc(func(text []byte) {
		if bytes.Contains(text, []byte("panic")) {
			panicked.Store(true)
		}
	}), "", 0)
	for _, change := range changes {
		change(server)
	}
	if server.EnableHTTP2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.Close()
		if panicked.Load() {
			t.Error("the server panicked")
		}
	})
	return server
}

type writerFunc func(text []byte)

func (w writerFunc) Write(text []byte) (int, error) {
	w(text)
	return len(text), nil
}

// ask makes one request without a network.
func ask(handler http.Handler, method, path, body string, headers ...string) (status int, text string, header http.Header) {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	answer := recorder.Result()
	content, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(content), answer.Header
}
