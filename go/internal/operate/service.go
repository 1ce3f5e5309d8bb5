// Package operate is what an operator can ask of the caches over HTTP: what they hold, and to purge, refresh and
// prefetch names. Caddy's admin API and a site's handler, both in the root package, are doors to it.
package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// Cache is a *store.Store. Tests have one of their own.
type Cache interface {
	ID() string
	Backend() string
	CacheDir() string
	IsDistributed() bool
	Limits() store.Limits
	Counters() (native.Counters, error)
	Names(ctx context.Context, query store.NamesQuery) (store.NamesPage, error)
	Inspect(ctx context.Context, name string) (store.NameFacts, error)
	Purge(ctx context.Context, names []string) (purged int, err error)
	PurgeAll(ctx context.Context) (purged int, err error)
	Refresh(ctx context.Context, name string) store.RefreshResult
	Prefetch(ctx context.Context, name string) store.RefreshResult
	PrefetchShare() int
	Sync(ctx context.Context, since time.Time) error
	ShareText(ctx context.Context, about, text string) error
	SharedText(ctx context.Context, about string) (string, error)
}

// Running are the caches of the configuration that runs.
func Running() []Cache {
	stores := store.RunningStores()
	caches := make([]Cache, len(stores))
	for i, running := range stores {
		caches[i] = running
	}
	return caches
}

// Service answers requests.
type Service struct {
	caches        func() []Cache
	configuration func() context.Context
	orders        func() *issuance.Orders      // nil if none are guarded
	guard         func(*http.Request) *problem // nil lets everything in
	routes        *http.ServeMux
}

// New returns the service over these caches. A request ends with the context that configuration returns at its
// beginning, that of the configuration that runs; nil says that none does yet.
func New(caches func() []Cache, configuration func() context.Context) *Service {
	s := &Service{caches: caches, configuration: configuration, orders: issuance.Running, routes: http.NewServeMux()}
	for _, route := range []struct {
		method, pattern string
		answer          answer
	}{
		{http.MethodGet, "/caches", s.listCaches},
		{http.MethodGet, "/names", s.listNames},
		{http.MethodGet, "/names/{name}", s.inspect},
		{http.MethodPost, "/purge", s.purge},
		{http.MethodPost, "/refresh", s.refresh},
		{http.MethodPost, "/prefetch", s.prefetch},
	} {
		s.routes.Handle(route.pattern, s.route(route.method, route.answer))
	}
	return s
}

// Serves tells whether there is something at the request's path. A path that would have to be cleaned is none: the
// redirect to the clean one would leave the prefix that was stripped before.
func (s *Service) Serves(request *http.Request) bool {
	_, pattern := s.routes.Handler(request)
	return pattern != "" && path.Clean(request.URL.Path) == request.URL.Path
}

// ServeHTTP answers any request.
func (s *Service) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	if s.Serves(request) {
		s.routes.ServeHTTP(response, request)
	} else {
		setHeaders(response)
		writeProblem(response, errNoSuchPath)
	}
}

// answer writes an answer, or returns an error if it has written nothing.
type answer func(response http.ResponseWriter, request *http.Request) error

// route serves a path to requests of one method.
func (s *Service) route(method string, answer answer) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		setHeaders(response)
		isHead := request.Method == http.MethodHead && method == http.MethodGet
		if request.Method != method && !isHead {
			response.Header().Set("Allow", method)
			writeProblem(response, wrongMethod(request.URL.Path, method))
			return
		}
		if s.guard != nil {
			if refusal := s.guard(request); refusal != nil {
				writeProblem(response, refusal)
				return
			}
		}
		s.serve(response, request, answer)
	})
}

func setHeaders(response http.ResponseWriter) {
	response.Header().Set("Cache-Control", "no-store")
	response.Header().Set("X-Content-Type-Options", "nosniff")
}

// serve ends the request's context with the configuration, too, so that nothing of the one before is kept busy by a
// request that goes on; nor by a client that takes nothing of its answer.
func (s *Service) serve(response http.ResponseWriter, request *http.Request, answer answer) {
	configuration := s.configuration()
	if configuration == nil {
		writeProblem(response, errLoading)
		return
	}
	ctx, cancel := context.WithCancelCause(request.Context())
	defer cancel(nil)
	defer context.AfterFunc(configuration, func() {
		_ = http.NewResponseController(response).SetWriteDeadline(time.Now().Add(lastWords))
		cancel(errReloaded)
	})()
	err := answer(response, request.WithContext(ctx))
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errReloaded):
		writeProblem(response, errReloaded)
	case err != nil:
		writeProblem(response, problemOf(err))
	}
}

// writeJSON writes one document.
func writeJSON(response http.ResponseWriter, status int, document any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it is no HTML, and URLs have &
	if err := encoder.Encode(document); err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	_, err := response.Write(text.Bytes())
	abortOn(err)
}
