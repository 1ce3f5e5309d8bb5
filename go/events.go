package cachedhttp

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// Caddy events, for handlers that an operator configures. Their data are server_name and backend; failed has the
// reason too.
var eventNames = map[store.Outcome]string{
	store.Fetched:       "cached_http.fetched",
	store.NoCertificate: "cached_http.no_certificate",
	store.Failed:        "cached_http.failed",
}

// storeHost is a getter as its store sees it.
type storeHost struct{ getter *CertGetter }

func (h storeHost) Logger() *zap.Logger { return h.getter.logger }

func (h storeHost) Storage() store.Storage { return h.getter.storage }

func (h storeHost) Configuration() any {
	if h.getter.tlsApp == nil {
		return nil
	}
	return h.getter.tlsApp
}

func (h storeHost) Emit(event store.Event) {
	name, app := eventNames[event.Outcome], h.getter.events
	if app == nil || !shouldEmit(app, name) {
		return
	}
	data := map[string]any{"server_name": event.ServerName, "backend": event.Backend}
	if event.Outcome == store.Failed {
		data["reason"] = event.Reason
	}
	app.Emit(h.getter.context, name, data)
}

// shouldEmit tells whether anybody listens, if this Caddy can say so; the oldest that is supported can not.
func shouldEmit(app any, name string) bool {
	asked, canTell := app.(interface{ ShouldEmit(eventName string) bool })
	return !canTell || asked.ShouldEmit(name)
}

// startedHandler takes Caddy's own event "started": all apps of the configuration run. Caddy logs handlers field by
// field, so that it must show none.
type startedHandler struct{ getter *CertGetter }

// Handle is called while Caddy waits.
func (h startedHandler) Handle(_ context.Context, _ caddy.Event) error {
	h.getter.started()
	return nil
}
