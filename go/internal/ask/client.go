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
	key      clientKey
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

// maxConcurrent is how many requests are under way: an answer is small, and needs no certificate to be made.
const maxConcurrent = 64

// clientKey tells clients apart. The URL may hold credentials.
type clientKey struct {
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
	key := clientKey{
		options.Ask, time.Duration(options.TTL), time.Duration(options.NegativeTTL), time.Duration(options.Timeout), digest,
	}
	pooled, _, err := clients.LoadOrNew(key, func() (caddy.Destructor, error) {
		return newClient(key, transport, options.Header)
	})
	if err != nil {
		return nil, err
	}
	return pooled.(*Client), nil
}

// Close gives the client back.
func (c *Client) Close() error {
	_, err := clients.Delete(c.key)
	return err
}

// Destruct closes what is idle. The pool calls it when the last one has given the client back.
func (c *Client) Destruct() error {
	c.http.CloseIdleConnections()
	return nil
}

func newClient(key clientKey, transport *http.Transport, header http.Header) (*Client, error) {
	endpoint, err := url.Parse(key.endpoint)
	if err != nil {
		return nil, errors.New("ask: the URL can't be parsed") // which may hold a password
	}
	return &Client{
		key:      key,
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
	found, isNew := c.answer(name)
	if found == nil {
		return errTooMany
	}
	if isNew {
		c.resolve(name, found)
	}
	<-found.done
	return found.err
}

// resolve gets a pending answer.
func (c *Client) resolve(name string, pending *answer) {
	// The wait for a slot is part of the time.
	ctx, cancel := context.WithTimeout(context.Background(), c.key.timeout)
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
		lifetime = c.key.ttl
	case errors.Is(err, ErrDenied):
		lifetime = c.key.negativeTTL
	}
	c.finish(pending, err, lifetime)
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
		if failed, isURL := errors.AsType[*url.Error](err); isURL {
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
