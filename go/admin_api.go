package cachedhttp

import (
	"context"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/cached-http/caddy-cached-http/go/internal/operate"
)

func init() {
	caddy.RegisterModule(new(AdminAPI))
}

const adminPrefix = "/cached_http"

// AdminAPI serves what an operator may ask of the caches, below /cached_http/ on Caddy's admin API. Who can reach that
// can change the whole configuration, so that this needs no permission of its own.
type AdminAPI struct{}

// CaddyModule returns the Caddy module information.
func (*AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.cached_http",
		New: func() caddy.Module { return new(AdminAPI) },
	}
}

// Routes returns the routes for the admin API. Errors are answered here, since the admin API's own have no room for the
// caches to choose from; their field "error" is the same.
func (*AdminAPI) Routes() []caddy.AdminRoute {
	service := http.StripPrefix(adminPrefix, operate.New(operate.Running, runningConfiguration))
	return []caddy.AdminRoute{{
		Pattern: adminPrefix + "/",
		Handler: caddy.AdminHandlerFunc(func(response http.ResponseWriter, request *http.Request) error {
			service.ServeHTTP(response, request)
			return nil
		}),
	}}
}

// adminRequests ends the requests of the admin API with their configuration.
var adminRequests struct {
	sync.Mutex
	configuration context.Context
	until         context.Context // of the configuration, but ended by Caddy's event "stopping"
	stop          context.CancelFunc
}

// runningConfiguration ends as soon as the configuration is about to be stopped; its own context ends only when its
// servers have, which may wait for ever. The context that an admin module could be provisioned with won't do: a reload
// that fails ends it, but leaves the module in service.
func runningConfiguration() context.Context {
	adminRequests.Lock()
	defer adminRequests.Unlock()
	active := caddy.ActiveContext().Context
	if active == nil {
		return nil
	}
	if active != adminRequests.configuration {
		adminRequests.configuration = active
		adminRequests.until, adminRequests.stop = context.WithCancel(active)
	}
	return adminRequests.until
}

// stopAdminRequests is called when a configuration is about to be stopped. Caddy has replaced it before, if by none.
func stopAdminRequests() {
	adminRequests.Lock()
	defer adminRequests.Unlock()
	if running := adminRequests.configuration; running != nil && running != caddy.ActiveContext().Context {
		adminRequests.stop()
		adminRequests.configuration = nil
	}
}

// Interface guards
var (
	_ caddy.AdminRouter = (*AdminAPI)(nil)
)
