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
	// building has the entries whose certificates are being built: how often, and whether they were dropped meanwhile.
	// What was dropped must not be put back.
	building map[native.EntryID]*build
	closed   bool
}

type build struct {
	builders int
	dropped  bool
}

func newEntries(limit int) *entries {
	return &entries{
		limit:    limit,
		young:    make(map[native.EntryID]*tls.Certificate),
		building: make(map[native.EntryID]*build),
	}
}

// certificate returns the entry's certificate, or nil.
func (e *entries) certificate(entry native.EntryID) *tls.Certificate {
	e.mutex.RLock()
	certificate, isOld := e.young[entry], false
	if certificate == nil {
		certificate, isOld = e.old[entry], true
	}
	e.mutex.RUnlock()
	if certificate != nil && isOld {
		e.rejuvenate(entry)
	}
	return certificate
}

// rejuvenate moves an entry to the young generation, unless it was dropped just now.
func (e *entries) rejuvenate(entry native.EntryID) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if certificate := e.old[entry]; certificate != nil {
		delete(e.old, entry)
		e.add(entry, certificate)
	}
}

// begin is called before a certificate is built, and put after.
func (e *entries) begin(entry native.EntryID) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.building[entry] == nil {
		e.building[entry] = new(build)
	}
	e.building[entry].builders++
}

// put keeps a certificate, nil if none could be built, and returns the one to serve: another that was put first, if
// there is one.
func (e *entries) put(entry native.EntryID, certificate *tls.Certificate) *tls.Certificate {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	build := e.building[entry]
	if build.builders--; build.builders == 0 {
		delete(e.building, entry)
	}
	if certificate == nil || build.dropped || e.closed {
		return certificate
	}
	if first := e.young[entry]; first != nil {
		return first
	}
	if first := e.old[entry]; first != nil {
		certificate = first
		delete(e.old, entry)
	}
	e.add(entry, certificate)
	return certificate
}

func (e *entries) add(entry native.EntryID, certificate *tls.Certificate) {
	if len(e.young) >= max(1, e.limit/2) {
		e.old, e.young = e.young, make(map[native.EntryID]*tls.Certificate)
	}
	e.young[entry] = certificate
}

// drop forgets an entry that has left the engine's memory.
func (e *entries) drop(entry native.EntryID) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	delete(e.young, entry)
	delete(e.old, entry)
	if build := e.building[entry]; build != nil {
		build.dropped = true
	}
}

// close forgets all of them, for good.
func (e *entries) close() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.closed = true
	e.young, e.old = make(map[native.EntryID]*tls.Certificate), nil
}
