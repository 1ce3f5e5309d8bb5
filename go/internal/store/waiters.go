package store

import (
	"sync"
)

// waiters are the handshakes that wait for a fetch, each by a token of its own.
type waiters struct {
	mutex   sync.Mutex
	last    uint64
	waiting map[uint64]chan fetchResult
}

func newWaiters() *waiters {
	return &waiters{waiting: make(map[uint64]chan fetchResult)}
}

// register makes a token. It comes before the lookup that uses it, so that no answer can be too early; the
// channel has room for the answer, so that the pump never waits for a handshake.
func (w *waiters) register() (token uint64, done <-chan fetchResult) {
	channel := make(chan fetchResult, 1)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.last++
	w.waiting[w.last] = channel
	return w.last, channel
}

func (w *waiters) forget(token uint64) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.waiting, token)
}

// wake tells the handshakes that still wait.
func (w *waiters) wake(tokens []uint64, result fetchResult) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, token := range tokens {
		if channel, waits := w.waiting[token]; waits {
			channel <- result
			delete(w.waiting, token)
		}
	}
}
