package cachedhttp

import (
	"crypto/tls"
	"sync"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// fetched is how a fetch ended. certificate is set if the pump has built it, which it alone can for an answer
// that is not kept.
type fetched struct {
	answer      native.Answer
	certificate *tls.Certificate
}

// waiters are the handshakes that wait for a fetch, each by a token of its own.
type waiters struct {
	mutex   sync.Mutex
	last    uint64
	waiting map[uint64]chan fetched
}

func newWaiters() *waiters {
	return &waiters{waiting: make(map[uint64]chan fetched)}
}

// register makes a token. It comes before the lookup that uses it, so that no answer can be too early; the
// channel has room for the answer, so that the pump never waits for a handshake.
func (waiters *waiters) register() (token uint64, done <-chan fetched) {
	channel := make(chan fetched, 1)
	waiters.mutex.Lock()
	defer waiters.mutex.Unlock()
	waiters.last++
	waiters.waiting[waiters.last] = channel
	return waiters.last, channel
}

func (waiters *waiters) forget(token uint64) {
	waiters.mutex.Lock()
	defer waiters.mutex.Unlock()
	delete(waiters.waiting, token)
}

// wake tells the handshakes that still wait.
func (waiters *waiters) wake(tokens []uint64, result fetched) {
	waiters.mutex.Lock()
	defer waiters.mutex.Unlock()
	for _, token := range tokens {
		if channel, waits := waiters.waiting[token]; waits {
			channel <- result
			delete(waiters.waiting, token)
		}
	}
}
