package ask

import (
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// answer is what the endpoint said of a name, once done is closed.
type answer struct {
	done    chan struct{}
	err     error // nil is yes
	expires time.Time
	domain  string // the name's registered one
}

const (
	// maxAnswers is how many names are remembered, about 200 bytes each.
	maxAnswers = 100_000
	// maxPending is how many names wait for an answer; each may hold a connection of a client.
	maxPending = 1024
	// maxPendingOfDomain is how many of them may be of one registered domain, where its owner decides how long they wait.
	maxPendingOfDomain = 32
	// errorTTL keeps a failing endpoint from being asked by each handshake. An error is no answer.
	errorTTL = time.Second
)

// answer returns nil if too many are pending.
func (c *Client) answer(name string) (found *answer, isNew bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	now := time.Now()
	if found := c.answers[name]; found != nil && (found.pending() || now.Before(found.expires)) {
		return found, false
	}
	domain := issuance.RegisteredDomain(name)
	if c.pending >= maxPending || c.pendingOf[domain] >= c.share {
		return nil, false
	}
	c.pending++
	c.pendingOf[domain]++
	c.makeRoom(now)
	found = &answer{done: make(chan struct{}), domain: domain}
	c.answers[name] = found
	return found, true
}

// finish ends the wait for an answer.
func (c *Client) finish(pending *answer, err error, lifetime time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.pending--
	if c.pendingOf[pending.domain]--; c.pendingOf[pending.domain] == 0 {
		delete(c.pendingOf, pending.domain)
	}
	pending.err, pending.expires = err, time.Now().Add(lifetime)
	close(pending.done)
}

// makeRoom drops a few answers, expired ones first, when there are too many. Which they are is up to the map's order:
// random.
func (c *Client) makeRoom(now time.Time) {
	if len(c.answers) < maxAnswers {
		return
	}
	looked := 0
	for name, answer := range c.answers {
		if !answer.pending() && (looked >= 8 || now.After(answer.expires)) {
			delete(c.answers, name)
			return
		}
		looked++
	}
}

// pending is asked with the mutex held, under which done is closed.
func (a *answer) pending() bool {
	return a.expires.IsZero()
}
