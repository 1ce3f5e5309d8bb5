package cachedhttp

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/cached-http/caddy-cached-http/go/internal/operate"
	"github.com/cached-http/caddy-cached-http/go/internal/operate/page"
)

func init() {
	caddy.RegisterModule(new(APIHandler))
	httpcaddyfile.RegisterHandlerDirective(apiDirective, parseAPIHandler)
	// After what lets a request in or sends it away, also if that is a respond with a matcher; before what answers the rest.
	httpcaddyfile.RegisterDirectiveOrder(apiDirective, httpcaddyfile.After, "respond")
}

const apiDirective = "cached_http_api"

// APIHandler serves what an operator may ask of the certificate caches, and a page for people, on a site of the
// operator's own: which caches there are, what they know of a name, and, with `write`, to purge, refresh and prefetch
// names. It answers at the root of its site; strip a prefix before it if it has one. Other paths are left to the
// handlers after it.
//
// It asks nobody who they are: use `basic_auth` or client certificates. On the machine alone it is safe with both a
// `bind 127.0.0.1` and the site address `http://127.0.0.1:PORT`. The address alone binds to nothing: who sends it as the
// host is let in. And a `bind` or a `remote_ip` matcher alone lets in any page in a browser there, by a host name of the
// page's own that it has resolve to 127.0.0.1. Answers never hold private keys or PEM text.
type APIHandler struct {
	// Allows requests that change something: purge, refresh and prefetch. Without it they are refused. Requests that
	// another site's page makes are always refused. Default: false.
	Write bool `json:"write,omitempty"`

	service *operate.Service
	page    http.Handler
}

// CaddyModule returns the Caddy module information.
func (*APIHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.cached_http_api",
		New: func() caddy.Module { return new(APIHandler) },
	}
}

// Provision makes the service, whose requests end with the configuration.
func (h *APIHandler) Provision(ctx caddy.Context) error {
	running, stop := context.WithCancel(ctx)
	service := operate.New(operate.Running, func() context.Context { return running })
	h.service, h.page = operate.ForSite(service, h.Write), page.Handler(h.Write)
	return h.stopEarly(ctx, stop)
}

// stopEarly ends requests when the configuration is about to be stopped. Its context ends later than its servers, which
// wait for requests when the process is to exit, by default for ever.
func (*APIHandler) stopEarly(ctx caddy.Context, stop func()) error {
	app, err := ctx.AppIfConfigured("events")
	if err != nil {
		return nil //nolint:nilerr // outside of an HTTP app, which always has one
	}
	return app.(*caddyevents.App).On("stopping", stoppingHandler{stop})
}

// stoppingHandler takes Caddy's own event "stopping". It is a struct for the reason that startedHandler is one.
type stoppingHandler struct{ stop func() }

// Handle is called while Caddy waits.
func (h stoppingHandler) Handle(context.Context, caddy.Event) error {
	h.stop()
	return nil
}

// ServeHTTP answers what it has something for. The rest is the next handler's, a metrics or a file_server of the same
// site for one; if there is none, the answer is 404.
func (h *APIHandler) ServeHTTP(response http.ResponseWriter, request *http.Request, next caddyhttp.Handler) error {
	switch {
	case page.Serves(request.URL.Path):
		if folder := withSlash(request); folder != "" {
			response.Header().Set("Location", folder)
			response.WriteHeader(http.StatusPermanentRedirect)
			return nil
		}
		h.page.ServeHTTP(response, request)
	case h.service.Serves(request):
		h.service.ServeHTTP(response, request)
	default:
		if err := next.ServeHTTP(response, request); err != nil {
			return err
		}
		// Caddy's last handler writes nothing but this.
		if isUnhandled, _ := caddyhttp.GetVar(request.Context(), "unhandled").(bool); isUnhandled {
			h.service.ServeHTTP(response, request)
		}
	}
	return nil
}

// withSlash is where the page is if it was asked for at a prefix without a slash behind it, from which its own URLs would
// lead astray; "" if all is well.
func withSlash(request *http.Request) string {
	asked, ok := request.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || request.URL.Path != "/" || strings.HasSuffix(asked.URL.Path, "/") {
		return ""
	}
	folder := url.URL{Path: "./" + path.Base(asked.URL.Path) + "/", RawQuery: asked.URL.RawQuery}
	return folder.String()
}

func parseAPIHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(APIHandler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive's line and block.
//
//	cached_http_api [<matcher>] {
//	    write
//	}
//
// The block may be absent.
func (h *APIHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Errf("%s takes no argument but a matcher", apiDirective)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch option := d.Val(); {
		case option != "write":
			return d.Errf("unknown option %q; the only option is write", option)
		case d.NextArg():
			return d.Err("write takes no argument: it stands there or not")
		case h.Write:
			return d.Err("option write is repeated")
		case d.NextBlock(nesting + 1):
			return d.Err("option write has no block")
		}
		h.Write = true
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*APIHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*APIHandler)(nil)
	_ caddyfile.Unmarshaler       = (*APIHandler)(nil)
)
