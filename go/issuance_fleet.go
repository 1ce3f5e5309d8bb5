package cachedhttp

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// orderFleet carries notes of failed orders between the nodes of a fleet, sealed by the cache that the name's site shares
// with them. Without one, nothing is done.
type orderFleet struct {
	orders *issuance.Orders
	tlsApp *caddytls.TLS
}

func (p *Permission) fleet() orderFleet { return orderFleet{p.orders, p.tlsApp} }

const (
	// learnTimeout is what an order waits for the fleet's storage; it takes seconds itself.
	learnTimeout = time.Second
	// tellTimeout is what nobody waits for.
	tellTimeout = 10 * time.Second
)

// learn takes over what other nodes have found out of a name, before an order is made.
func (f orderFleet) learn(name string) {
	f.learnWithin(name, learnTimeout)
}

// relearn looks now and then, in the background, whether another node was told that the name is mended.
func (f orderFleet) relearn(name string) {
	if f.storeOf(name) != nil && f.orders.IsToRelearn(name) {
		go f.learnWithin(name, tellTimeout)
	}
}

func (f orderFleet) learnWithin(name string, limit time.Duration) {
	shared := f.storeOf(name)
	if shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, subject := range append([]string{issuance.SubjectOfAll}, issuance.Subjects(name)...) {
		if text, err := shared.SharedText(ctx, subject); err == nil && text != "" {
			f.orders.Learn(name, subject, text)
		}
	}
}

// tell leaves notes on a name. What the storage does not take is told nobody: each node then finds out by itself.
func (f orderFleet) tell(name string, notes map[string]string) {
	shared := f.storeOf(name)
	if shared == nil || len(notes) == 0 {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
		defer cancel()
		for subject, text := range notes {
			_ = shared.ShareText(ctx, subject, text)
		}
	}()
}

// storeOf is that of the first manager of the name that shares one.
func (f orderFleet) storeOf(name string) *store.Store {
	for _, manager := range managersOf(f.tlsApp, name) {
		if getter, isOurs := manager.(*CertGetter); isOurs && getter.lease != nil && getter.lease.IsDistributed() {
			return getter.lease.Store
		}
	}
	return nil
}
