package cachedhttp

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
func (entries *entries) certificate(entry native.EntryID) *tls.Certificate {
	entries.mutex.RLock()
	certificate, old := entries.young[entry], false
	if certificate == nil {
		certificate, old = entries.old[entry], true
	}
	entries.mutex.RUnlock()
	if certificate != nil && old {
		return entries.put(entry, certificate)
	}
	return certificate
}

// put keeps a certificate and returns the one to serve: another that was put first, if there is one.
func (entries *entries) put(entry native.EntryID, certificate *tls.Certificate) *tls.Certificate {
	entries.mutex.Lock()
	defer entries.mutex.Unlock()
	if first := entries.young[entry]; first != nil {
		return first
	}
	if first := entries.old[entry]; first != nil {
		certificate = first
		delete(entries.old, entry)
	}
	if len(entries.young) >= max(1, entries.limit/2) {
		entries.old, entries.young = entries.young, make(map[native.EntryID]*tls.Certificate)
	}
	entries.young[entry] = certificate
	return certificate
}

// drop forgets an entry that has left the engine's memory.
func (entries *entries) drop(entry native.EntryID) {
	entries.mutex.Lock()
	defer entries.mutex.Unlock()
	delete(entries.young, entry)
	delete(entries.old, entry)
}

// clear forgets all of them.
func (entries *entries) clear() {
	entries.mutex.Lock()
	defer entries.mutex.Unlock()
	entries.young, entries.old = make(map[native.EntryID]*tls.Certificate), nil
}
