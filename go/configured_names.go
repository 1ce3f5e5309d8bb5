package cachedhttp

import (
	"crypto/tls"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// configuredNames are the names that the configuration itself lists, as one manager sees them. Caddy gets their
// certificates whatever a manager says; there are no more of them than an operator has written.
type configuredNames struct {
	// own are subjects of a policy with this manager: the operator has put it into the very site.
	own map[string]struct{}
	// others are Caddy's. Some reach the manager because the Caddyfile adapter gives a site that says nothing about TLS
	// the policy of the catch-all.
	others map[string]struct{}
	// defaults are what Caddy takes for a client that names nothing.
	defaults []string
}

// listing is how the configuration lists a name.
type listing int

const (
	notListed listing = iota
	listedAsOwn
	listedAsOther
)

// atomicNames are set once the configuration runs.
type atomicNames struct {
	atomic.Pointer[configuredNames]
}

// findConfiguredNames looks at apps that have started: before, they are not complete. policies are the operator's, to
// which Caddy adds some of its own, with the managers of the catch-all.
func findConfiguredNames(
	manager certmagic.Manager, policies []*caddytls.AutomationPolicy, tlsApp *caddytls.TLS, httpApp *caddyhttp.App,
) *configuredNames {
	names := &configuredNames{own: make(map[string]struct{}), others: make(map[string]struct{})}
	if httpApp != nil {
		names.addSites(httpApp)
	}
	for _, name := range automatedNames(tlsApp) {
		add(names.others, name)
	}
	for _, policy := range policies {
		into := names.others
		if slices.Contains(policy.Managers, manager) {
			into = names.own
		}
		for _, subject := range policy.Subjects() {
			add(into, subject)
		}
	}
	return names
}

// addSites adds the hosts of sites for which Caddy gets certificates.
func (n *configuredNames) addSites(app *caddyhttp.App) {
	replacer := caddy.NewReplacer()
	for _, server := range app.Servers {
		for _, policy := range server.TLSConnPolicies {
			if policy.DefaultSNI != "" && !slices.Contains(n.defaults, policy.DefaultSNI) {
				n.defaults = append(n.defaults, policy.DefaultSNI)
			}
		}
		automatic := server.AutoHTTPS
		if automatic != nil && (automatic.Disabled || automatic.DisableCerts) {
			continue
		}
		for _, route := range server.Routes {
			for _, matchers := range route.MatcherSets {
				for _, matcher := range matchers {
					hosts, isHosts := matcher.(*caddyhttp.MatchHost)
					if !isHosts {
						continue
					}
					for _, host := range *hosts {
						host = replacer.ReplaceAll(host, "")
						if automatic == nil || !slices.Contains(automatic.Skip, host) && !slices.Contains(automatic.SkipCerts, host) {
							add(n.others, host)
						}
					}
				}
			}
		}
	}
}

// automatedNames are those of the certificate loader `automate`. They are in a field that is not exported, so that it is
// looked at by reflection. If a later Caddy has no such field, there are none.
func automatedNames(app *caddytls.TLS) (names []string) {
	field := reflect.ValueOf(app).Elem().FieldByName("automateNames")
	if !field.IsValid() || field.Kind() != reflect.Map {
		return nil
	}
	for _, key := range field.MapKeys() {
		names = append(names, key.String())
	}
	return names
}

// add adds a name unless it stands for many: whoever owns one could make up more.
func add(names map[string]struct{}, name string) {
	if name != "" && !strings.ContainsAny(name, "*{}") {
		names[issuance.NormalName(name)] = struct{}{}
	}
}

// defaultCertificate is that of the site which Caddy takes for a client that names nothing, nil if there is none. Caddy has
// it, but asks the catch-all's managers before it serves it, and would then order another one there, of the wrong issuer.
func (n *configuredNames) defaultCertificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	if n == nil || hello.ServerName != "" {
		return nil
	}
	names := n.defaults
	if hello.Conn != nil {
		if localIP, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String()); err == nil {
			names = append(slices.Clone(names), localIP)
		}
	}
	for _, name := range names {
		for _, certificate := range caddytls.AllMatchingCertificates(issuance.NormalName(name)) {
			if hello.SupportsCertificate(&certificate.Certificate) == nil {
				return &certificate.Certificate
			}
		}
	}
	return nil
}

func (n *configuredNames) listingOf(name string) listing {
	if n == nil {
		return notListed
	}
	name = issuance.NormalName(name)
	if _, found := n.own[name]; found {
		return listedAsOwn
	}
	if _, found := n.others[name]; found {
		return listedAsOther
	}
	return notListed
}
