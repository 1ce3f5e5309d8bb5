package cachedhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// asker asks an endpoint whether names are allowed, once per name and lifetime however many wait. Safe for concurrent
// use.
type asker struct {
	endpoint         *url.URL
	client           *http.Client
	ttl, negativeTTL time.Duration
	slots            chan struct{} // bounds the requests under way

	mutex   sync.Mutex
	answers map[string]*askAnswer
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
)

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
			Timeout:       time.Duration(permission.Timeout),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		ttl:         time.Duration(permission.TTL),
		negativeTTL: time.Duration(permission.NegativeTTL),
		slots:       make(chan struct{}, maxConcurrentAsks),
		answers:     make(map[string]*askAnswer),
	}, nil
}

// allowed returns the answer that is kept, or waits for the one request that gets it.
func (asker *asker) allowed(ctx context.Context, name string) error {
	answer, isNew := asker.answer(name)
	if isNew {
		// The request goes on if this handshake gives up: others may wait for it.
		go asker.settle(name, answer)
	}
	select {
	case <-answer.done:
		return answer.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (asker *asker) answer(name string) (answer *askAnswer, isNew bool) {
	asker.mutex.Lock()
	defer asker.mutex.Unlock()
	now := time.Now()
	if answer := asker.answers[name]; answer != nil && (answer.pending() || now.Before(answer.expires)) {
		return answer, false
	}
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
	asker.slots <- struct{}{}
	yes, err := asker.ask(name)
	<-asker.slots
	lifetime := asker.ttl
	switch {
	case err != nil:
		answer.err = fmt.Errorf("cached_http: %q: %w", cappedName(name), err)
		lifetime = 0 // an error is no answer
	case !yes:
		answer.err = fmt.Errorf("cached_http: %q: %w: ask says no", cappedName(name), caddytls.ErrPermissionDenied)
		lifetime = asker.negativeTTL
	}
	asker.mutex.Lock()
	defer asker.mutex.Unlock()
	answer.expires = time.Now().Add(lifetime)
	close(answer.done)
}

// ask makes the request. Errors name the host and never the URL, which may hold credentials.
func (asker *asker) ask(name string) (yes bool, err error) {
	address := *asker.endpoint
	query := address.Query()
	query.Set("domain", name)
	address.RawQuery = query.Encode()
	response, err := asker.client.Get(address.String())
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
