package cachedhttp

import (
	"crypto/sha256"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// Caddy events, for handlers that an operator configures. Their data are server_name and origin; failed has the
// reason too.
const (
	eventFetched = "cached_http.fetched" // a certificate came from the backend, or is still the right one
	eventFailed  = "cached_http.failed"  // the backend gave no usable answer
	eventDenied  = "cached_http.denied"  // the backend has no certificate for the name
)

// notice is one Caddy event to emit.
type notice struct {
	event string
	data  map[string]any
}

// maxNotices wait for handlers; beyond them events are lost, since the pump waits for nobody.
const maxNotices = 1024

// noticeOf tells which Caddy event stands for the end of a fetch. What the disk knew is no news.
func noticeOf(finished native.Event, origin string) (notice, bool) {
	if !finished.AskedBackend {
		return notice{}, false
	}
	data := map[string]any{"server_name": finished.ServerName, "origin": origin}
	switch finished.Status {
	case native.StatusHit:
		return notice{eventFetched, data}, true
	case native.StatusNegative:
		return notice{eventDenied, data}, true
	case native.StatusFailed:
		data["reason"] = capped(finished.Text)
		return notice{eventFailed, data}, true
	}
	return notice{}, false
}

// host is what a module instance lends its engine: where to log, and whom to tell of events.
type host struct {
	context caddy.Context
	logger  *zap.Logger
	getter  *CertGetter
	events  *caddyevents.App // nil outside of a Caddy configuration

	settings engineSettings    // its limits are wishes: those of all hosts of an engine count
	identity [sha256.Size]byte // see CertGetter.identity
	serves   atomic.Bool       // whether handshakes come, which begin once its configuration runs
}

// isBeside tells whether both are of one configuration.
func (host *host) isBeside(other *host) bool {
	return host.getter.tlsApp != nil && host.getter.tlsApp == other.getter.tlsApp
}

// emit runs the handlers of an event, on the caller's time.
func (host *host) emit(notice notice) {
	if host.events != nil && host.events.ShouldEmit(notice.event) {
		host.events.Emit(host.context, notice.event, notice.data)
	}
}
