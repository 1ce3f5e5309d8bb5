// Package ask asks whether Caddy may get a certificate for a name, and keeps the answers: an endpoint, or the DNS whether
// the name points here.
package ask

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// Client asks once per name and lifetime, however many wait. Safe for concurrent use.
type Client struct {
	key      clientKey
	question question
	slots    chan struct{} // bounds the questions under way
	share    int           // of the pending answers, for each registered domain

	mutex     sync.Mutex
	answers   map[string]*answer
	pending   int            // of the answers
	pendingOf map[string]int // of each registered domain
}

// question returns nil for yes, ErrDenied or an error that wraps it for no, and any other error if there is no answer.
type question interface {
	ask(ctx context.Context, name string) error
	close()
}

// ErrDenied is a no.
var ErrDenied = errors.New("ask says no")

var errTooMany = errors.New("too many names, or too many of its domain, wait for an answer")

// maxConcurrent is how many requests to the endpoint are under way: an answer is small, and needs no certificate to be made.
const maxConcurrent = 64

// clientKey tells clients apart. The URL may hold credentials.
type clientKey struct {
	asked                     string // the URL, or the addresses
	ttl, negativeTTL, timeout time.Duration
	identity                  [sha256.Size]byte
}

// clients outlive a reload with what they remember.
var clients = caddy.NewUsagePool()

func openPooled(
	options *config.Permission, asked string, identity [sha256.Size]byte, concurrent, share int, create func() (question, error),
) (*Client, error) {
	key := clientKey{
		asked, time.Duration(options.TTL), time.Duration(options.NegativeTTL), time.Duration(options.Timeout), identity,
	}
	pooled, _, err := clients.LoadOrNew(key, func() (caddy.Destructor, error) {
		question, err := create()
		if err != nil {
			return nil, err
		}
		return newClient(key, question, concurrent, share), nil
	})
	if err != nil {
		return nil, err
	}
	return pooled.(*Client), nil
}

func newClient(key clientKey, question question, concurrent, share int) *Client {
	return &Client{
		key: key, question: question, slots: make(chan struct{}, concurrent), share: share,
		answers: make(map[string]*answer), pendingOf: make(map[string]int),
	}
}

// Close gives the client back.
func (c *Client) Close() error {
	_, err := clients.Delete(c.key)
	return err
}

// Destruct closes what is idle. The pool calls it when the last one has given the client back.
func (c *Client) Destruct() error {
	c.question.close()
	return nil
}

// Allowed returns nil for yes, ErrDenied for no, and any other error if there is no answer. It returns the answer
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
	err := c.askInTurn(ctx, name)
	lifetime := errorTTL
	switch {
	case err == nil:
		lifetime = c.key.ttl
	case errors.Is(err, ErrDenied):
		lifetime = c.key.negativeTTL
	}
	c.finish(pending, err, lifetime)
}

// askInTurn waits for a slot, and asks. A panic is no answer: others wait for one.
func (c *Client) askInTurn(ctx context.Context, name string) (err error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return errTooMany
	}
	defer func() { <-c.slots }()
	defer recovered(&err)
	return c.question.ask(ctx, name)
}

// recovered is deferred, and makes an error of a panic.
func recovered(err *error) {
	if problem := recover(); problem != nil {
		*err = fmt.Errorf("panic while asking (a bug, please report it): %v", problem)
	}
}
