package cachedhttp

import (
	"reflect"

	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// passesNegatives tells whether a name without a certificate is handed on to Caddy. By default it is if the
// operator has configured a permission for on-demand issuance, and denied otherwise: with a manager and
// without a permission, Caddy would order a certificate for any name that a scanner makes up.
//
// The default is decided at the first negative answer: while this module is provisioned, the tls app is too,
// and has no permission yet. After that, nothing changes it.
func (g *CertGetter) passesNegatives() bool {
	g.decideOnNegatives.Do(func() {
		switch g.OnNegative {
		case config.OnNegativePass:
			g.passNegatives = true
		case config.OnNegativeDeny:
			g.passNegatives = false
		default:
			g.passNegatives = hasIssuancePermission(g.tlsApp)
			if !g.passNegatives {
				g.logger.Info("names for which the backend has no certificate are denied, " +
					"since no permission for on-demand issuance is found in the configuration; " +
					"to change it, configure on_demand_tls with ask or permission, " +
					"or write on_negative deny or on_negative pass to choose yourself")
			}
		}
	})
	return g.passNegatives
}

// hasIssuancePermission tells whether the tls app asks somebody before it orders a certificate on demand.
//
// The configuration of the permission is emptied when its module is loaded, and the module is in a field that
// is not exported; so it is looked at by reflection. If a later Caddy has no such field, the answer is no.
func hasIssuancePermission(app *caddytls.TLS) bool {
	if app == nil || app.Automation == nil || app.Automation.OnDemand == nil {
		return false
	}
	onDemand := app.Automation.OnDemand
	if onDemand.Ask != "" || len(onDemand.PermissionRaw) > 0 {
		return true
	}
	permission := reflect.ValueOf(onDemand).Elem().FieldByName("permission")
	return permission.IsValid() && permission.Kind() == reflect.Interface && !permission.IsNil()
}
