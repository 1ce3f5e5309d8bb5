package cachedhttp

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// passes tells whether a handshake without a certificate is handed on to Caddy. What the configuration lists is Caddy's
// own, and its certificate must not depend on our backend; only a site that names this manager waits for its backend.
func (g *CertGetter) passes(hello *tls.ClientHelloInfo, err error) bool {
	isNegative := errors.Is(err, store.ErrNoCertificate) || errors.Is(err, store.ErrInvalidName)
	switch g.names.Load().listingOf(hello.ServerName) {
	case listedAsOther:
		return true
	case listedAsOwn:
		return isNegative && g.OnNegative != config.OnNegativeDeny
	}
	return isNegative && g.passesNegatives()
}

// passesNegatives tells whether a name that anybody could have made up is handed on to Caddy if there is no certificate
// for it. By default it is if the operator has configured a permission for on-demand issuance, and denied otherwise: with
// a manager and without a permission, Caddy would order a certificate for any name that a scanner makes up.
//
// The default is decided at the first negative answer: an older Caddy loads the permission last. After that, nothing
// changes it.
func (g *CertGetter) passesNegatives() bool {
	g.decideOnNegatives.Do(func() {
		g.passNegatives = passesNegatives(g.OnNegative, g.tlsApp)
		if g.OnNegative == "" && !g.passNegatives {
			g.logger.Info("names for which the backend has no certificate are denied, " +
				"since no permission for on-demand issuance is found in the configuration; " +
				"to change it, configure on_demand_tls with ask or permission, " +
				"or write on_negative deny or on_negative pass to choose yourself")
		}
	})
	return g.passNegatives
}

func passesNegatives(onNegative string, app *caddytls.TLS) bool {
	if onNegative != "" {
		return onNegative == config.OnNegativePass
	}
	return hasIssuancePermission(app)
}

// hasIssuancePermission tells whether the tls app asks somebody before it orders a certificate on demand.
func hasIssuancePermission(app *caddytls.TLS) bool {
	if app == nil || app.Automation == nil || app.Automation.OnDemand == nil {
		return false
	}
	onDemand := app.Automation.OnDemand
	return onDemand.Ask != "" || len(onDemand.PermissionRaw) > 0 || permissionType(onDemand) != nil
}

// permissionType is the type of the permission module, nil if there is none.
//
// The configuration of the permission is emptied when its module is loaded, and the module is in a field that
// is not exported; so it is looked at by reflection. If a later Caddy has no such field, the answer is nil.
func permissionType(onDemand *caddytls.OnDemandConfig) reflect.Type {
	permission := reflect.ValueOf(onDemand).Elem().FieldByName("permission")
	if !permission.IsValid() || permission.Kind() != reflect.Interface || permission.IsNil() {
		return nil
	}
	return permission.Elem().Type()
}

// checkOrder rejects a policy in which a manager stands behind one of ours and would undo its deny: certmagic logs our
// error, asks the next one, and orders a certificate if that has none either. Our own permission denies such a name again.
//
// Caddy empties a policy's list when all of its managers are loaded; this is called while one of them is.
func checkOrder(app *caddytls.TLS) error {
	if app == nil || app.Automation == nil {
		return nil
	}
	if onDemand := app.Automation.OnDemand; onDemand != nil && permissionType(onDemand) == reflect.TypeFor[*Permission]() {
		return nil
	}
	for _, policy := range app.Automation.Policies {
		undoes, denies := "", false
		for _, raw := range policy.ManagersRaw {
			var manager struct {
				Via        string `json:"via"`
				OnNegative string `json:"on_negative"`
			}
			if json.Unmarshal(raw, &manager) != nil {
				continue // Caddy says so
			}
			isOurs := "tls.get_certificate."+manager.Via == moduleID
			if isOurs && !passesByPolicy(manager.OnNegative, policy, app) {
				undoes, denies = "", true
			} else if denies {
				undoes = manager.Via
			}
		}
		if undoes != "" {
			return fmt.Errorf("get_certificate %s stands behind get_certificate cached_http, whose deny it would undo: "+
				"Caddy asks it next, and orders a certificate for each name that it doesn't know either; "+
				"put cached_http last, configure on_demand_tls with permission cached_http, or write on_negative pass", undoes)
		}
	}
	return nil
}

// passesByPolicy tells whether names without a certificate that a policy applies to are handed on. Subjects without a
// wildcard are safe: there are no more of them than the operator has written.
func passesByPolicy(onNegative string, policy *caddytls.AutomationPolicy, app *caddytls.TLS) bool {
	isBounded := len(policy.SubjectsRaw) > 0
	for _, subject := range policy.SubjectsRaw {
		isBounded = isBounded && !strings.Contains(subject, "*")
	}
	return onNegative == "" && isBounded || passesNegatives(onNegative, app)
}
