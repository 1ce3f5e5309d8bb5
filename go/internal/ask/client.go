// Package ask asks an endpoint whether Caddy may get a certificate for a name, and keeps the answers.
package ask

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// Client asks once per name and lifetime, however many wait. Safe for concurrent use.
type Client struct {
	settings settings
	endpoint *url.URL
	header   http.Header
	http     *http.Client
	slots    chan struct{} // bounds the requests under way

	mutex   sync.Mutex
	answers map[string]*answer
	pending int // of the answers
}

// ErrDenied is the endpoint's no.
var ErrDenied = errors.New("ask says no")

var errTooMany = errors.New("too many names wait for ask")

// maxConcurrent is as many requests as the managers make.
const maxConcurrent = config.DefaultMaxConcurrentFetches

// settings tells clients apart. The URL may hold credentials.
type settings struct {
	endpoint                  string
	ttl, negativeTTL, timeout time.Duration
	client                    [sha256.Size]byte
}

// clients outlive a reload with what they remember.
var clients = caddy.NewUsagePool()

// Open finds the client for the options, or makes it. Close gives it back.
func Open(options *config.Permission) (*Client, error) {
	transport, digest, err := options.Transport()
	if err != nil {
		return nil, err
	}
	settings := settings{
		options.Ask, time.Duration(options.TTL), time.Duration(options.NegativeTTL), time.Duration(options.Timeout), digest,
	}
	pooled, _, err := clients.LoadOrNew(settings, func() (caddy.Destructor, error) {
		return newClient(settings, transport, options.Header)
	})
	if err != nil {
		return nil, err
	}
	return pooled.(*Client), nil
}

// Close gives the client back.
func (c *Client) Close() error {
	_, err := clients.Delete(c.settings)
	return err
}

// Destruct closes what is idle. The pool calls it when the last one has given the client back.
func (c *Client) Destruct() error {
	c.http.CloseIdleConnections()
	return nil
}

func newClient(settings settings, transport *http.Transport, header http.Header) (*Client, error) {
	endpoint, err := url.Parse(settings.endpoint)
	if err != nil {
		return nil, errors.New("ask: the URL can't be parsed") // which may hold a password
	}
	return &Client{
		settings: settings,
		endpoint: endpoint,
		header:   canonical(header),
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		slots:   make(chan struct{}, maxConcurrent),
		answers: make(map[string]*answer),
	}, nil
}

// canonical has the names as net/http wants them.
func canonical(header http.Header) http.Header {
	result := make(http.Header)
	for name, values := range header {
		for _, value := range values {
			result.Add(name, value)
		}
	}
	return result
}

// Allowed returns nil for yes, ErrDenied for no, and any other error if the endpoint has failed. It returns the answer
// that is kept, or waits for the one request that gets it. It takes no context: certmagic gives one handshake's error to
// all that wait for the name.
func (c *Client) Allowed(name string) error {
	answer, isNew := c.answer(name)
	if answer == nil {
		return errTooMany
	}
	if isNew {
		c.resolve(name, answer)
	}
	<-answer.done
	return answer.err
}

// resolve gets a pending answer.
func (c *Client) resolve(name string, answer *answer) {
	// The wait for a slot is part of the time.
	ctx, cancel := context.WithTimeout(context.Background(), c.settings.timeout)
	defer cancel()
	var err error
	select {
	case c.slots <- struct{}{}:
		err = c.request(ctx, name)
		<-c.slots
	case <-ctx.Done():
		err = errTooMany
	}
	lifetime := errorTTL
	switch {
	case err == nil:
		lifetime = c.settings.ttl
	case errors.Is(err, ErrDenied):
		lifetime = c.settings.negativeTTL
	}
	c.finish(answer, err, lifetime)
}

// request returns nil for yes. Errors name the host and never the URL, which may hold credentials.
func (c *Client) request(ctx context.Context, name string) error {
	address := *c.endpoint
	query := address.Query()
	query.Set("domain", name)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return errors.New("ask: the URL can't be used")
	}
	request.Header = c.header.Clone()
	request.Host = c.header.Get("Host") // or the URL's
	response, err := c.http.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL
		}
		return fmt.Errorf("ask %s: %w", c.endpoint.Host, err)
	}
	_ = response.Body.Close()
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
	case status >= 400 && status < 500:
		return ErrDenied
	}
	return fmt.Errorf("ask %s: answered %s; 2xx is yes, 4xx is no", c.endpoint.Host, response.Status)
}
