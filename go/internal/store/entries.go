package store

import (
	"crypto/tls"
	"sync"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// maxHotEntries is how many certificates are held ready to serve, about 10 KiB each beside their native keys;
// it is also certmagic's own default.
const maxHotEntries = 10_000

// entries holds certificates that are ready to serve, by the entry they were built from: the names under
// traffic. It is bounded by two generations: when the young one is full it becomes the old one, and what was
// not asked for while it was old is dropped. A read takes a shared lock and allocates nothing.
//
// Dropping a certificate needs no care: a handshake that still has it keeps its key open.
type entries struct {
	mutex sync.RWMutex
	limit int
	young map[native.EntryID]*tls.Certificate
	old   map[native.EntryID]*tls.Certificate
}

func newEntries(limit int) *entries {
	return &entries{limit: limit, young: make(map[native.EntryID]*tls.Certificate)}
}

// certificate returns the entry's certificate, or nil.
func (e *entries) certificate(entry native.EntryID) *tls.Certificate {
	e.mutex.RLock()
	certificate, old := e.young[entry], false
	if certificate == nil {
		certificate, old = e.old[entry], true
	}
	e.mutex.RUnlock()
	if certificate != nil && old {
		return e.put(entry, certificate)
	}
	return certificate
}

// put keeps a certificate and returns the one to serve: another that was put first, if there is one.
func (e *entries) put(entry native.EntryID, certificate *tls.Certificate) *tls.Certificate {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if first := e.young[entry]; first != nil {
		return first
	}
	if first := e.old[entry]; first != nil {
		certificate = first
		delete(e.old, entry)
	}
	if len(e.young) >= max(1, e.limit/2) {
		e.old, e.young = e.young, make(map[native.EntryID]*tls.Certificate)
	}
	e.young[entry] = certificate
	return certificate
}

// drop forgets an entry that has left the engine's memory.
func (e *entries) drop(entry native.EntryID) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	delete(e.young, entry)
	delete(e.old, entry)
}

// clear forgets all of them.
func (e *entries) clear() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.young, e.old = make(map[native.EntryID]*tls.Certificate), nil
}
