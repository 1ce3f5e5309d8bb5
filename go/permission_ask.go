package cachedhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// asker asks an endpoint whether names are allowed, once per name and lifetime however many wait. Safe for concurrent
// use.
type asker struct {
	endpoint         *url.URL
	client           *http.Client
	timeout          time.Duration
	ttl, negativeTTL time.Duration
	slots            chan struct{} // bounds the requests under way

	mutex   sync.Mutex
	answers map[string]*askAnswer
	pending int // of the answers
}

// askAnswer is what the endpoint said of a name, once done is closed.
type askAnswer struct {
	done    chan struct{}
	err     error // nil is yes
	expires time.Time
}

const (
	// maxAskAnswers is how many names are remembered, about 200 bytes each.
	maxAskAnswers = 100_000
	// maxConcurrentAsks is as many requests as the managers make.
	maxConcurrentAsks = defaultMaxConcurrentFetches
	// maxPendingAsks is how many names wait for an answer; each may hold a connection of a client.
	maxPendingAsks = 1024
	// errorTTL keeps a failing endpoint from being asked by each handshake. An error is no answer.
	errorTTL = time.Second
)

// askers outlive a reload with what they remember.
var askers = caddy.NewUsagePool()

// askerKey tells askers apart. The URL may hold credentials.
type askerKey struct {
	endpoint                  string
	ttl, negativeTTL, timeout caddy.Duration
}

func (permission *Permission) askerKey() askerKey {
	return askerKey{permission.Ask, permission.TTL, permission.NegativeTTL, permission.Timeout}
}

// leaseAsker finds the asker for the permission's settings, or makes it.
func leaseAsker(permission *Permission) (*asker, error) {
	pooled, _, err := askers.LoadOrNew(permission.askerKey(), func() (caddy.Destructor, error) { return newAsker(permission) })
	if err != nil {
		return nil, err
	}
	return pooled.(*asker), nil
}

// Destruct closes what is idle. The pool calls it when the last permission has let go.
func (asker *asker) Destruct() error {
	asker.client.CloseIdleConnections()
	return nil
}

func newAsker(permission *Permission) (*asker, error) {
	endpoint, err := url.Parse(permission.Ask)
	if err != nil {
		return nil, errors.New("ask: the URL can't be parsed") // which may hold a password
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	return &asker{
		endpoint: endpoint,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout:     time.Duration(permission.Timeout),
		ttl:         time.Duration(permission.TTL),
		negativeTTL: time.Duration(permission.NegativeTTL),
		slots:       make(chan struct{}, maxConcurrentAsks),
		answers:     make(map[string]*askAnswer),
	}, nil
}

var errTooManyAsks = errors.New("too many names wait for ask")

// allowed returns the answer that is kept, or waits for the one request that gets it, for as long as that may take.
// The handshake's own context is not looked at: certmagic gives one handshake's error to all that wait for the name.
func (asker *asker) allowed(name string) error {
	answer, isNew := asker.answer(name)
	if answer == nil {
		return fmt.Errorf("cached_http: %q: %w", cappedName(name), errTooManyAsks)
	}
	if isNew {
		asker.settle(name, answer)
	}
	<-answer.done
	return answer.err
}

// answer returns nil if too many are pending.
func (asker *asker) answer(name string) (answer *askAnswer, isNew bool) {
	asker.mutex.Lock()
	defer asker.mutex.Unlock()
	now := time.Now()
	if answer := asker.answers[name]; answer != nil && (answer.pending() || now.Before(answer.expires)) {
		return answer, false
	}
	if asker.pending >= maxPendingAsks {
		return nil, false
	}
	asker.pending++
	asker.makeRoom(now)
	answer = &askAnswer{done: make(chan struct{})}
	asker.answers[name] = answer
	return answer, true
}

// makeRoom drops a few answers, expired ones first, when there are too many. Which they are is up to the map's order:
// random.
func (asker *asker) makeRoom(now time.Time) {
	if len(asker.answers) < maxAskAnswers {
		return
	}
	looked := 0
	for name, answer := range asker.answers {
		if !answer.pending() && (looked >= 8 || now.After(answer.expires)) {
			delete(asker.answers, name)
			return
		}
		looked++
	}
}

func (asker *asker) settle(name string, answer *askAnswer) {
	// The wait for a slot is part of the time.
	ctx, cancel := context.WithTimeout(context.Background(), asker.timeout)
	defer cancel()
	var yes bool
	var err error
	select {
	case asker.slots <- struct{}{}:
		yes, err = asker.ask(ctx, name)
		<-asker.slots
	case <-ctx.Done():
		err = errTooManyAsks
	}
	lifetime := asker.ttl
	switch {
	case err != nil:
		answer.err = fmt.Errorf("cached_http: %q: %w", cappedName(name), err)
		lifetime = errorTTL
	case !yes:
		answer.err = fmt.Errorf("cached_http: %q: %w: ask says no", cappedName(name), caddytls.ErrPermissionDenied)
		lifetime = asker.negativeTTL
	}
	asker.mutex.Lock()
	defer asker.mutex.Unlock()
	asker.pending--
	answer.expires = time.Now().Add(lifetime)
	close(answer.done)
}

// ask makes the request. Errors name the host and never the URL, which may hold credentials.
func (asker *asker) ask(ctx context.Context, name string) (yes bool, err error) {
	address := *asker.endpoint
	query := address.Query()
	query.Set("domain", name)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return false, errors.New("ask: the URL can't be used")
	}
	response, err := asker.client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL
		}
		return false, fmt.Errorf("ask %s: %w", asker.endpoint.Host, err)
	}
	_ = response.Body.Close()
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return true, nil
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
	case status >= 400 && status < 500:
		return false, nil
	}
	return false, fmt.Errorf("ask %s: answered %s; 2xx is yes, 4xx is no", asker.endpoint.Host, response.Status)
}

// pending is asked with the mutex held, under which done is closed.
func (answer *askAnswer) pending() bool {
	return answer.expires.IsZero()
}
