package cachedhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

var (
	errNoManager = errors.New("permission cached_http needs a get_certificate cached_http in the configuration, or ask")
	errOtherSite = fmt.Errorf("%w: no get_certificate cached_http stands in the site that it belongs to, and there is no ask",
		caddytls.ErrPermissionDenied)
)

// managers are those that Caddy asks about a name, or, with default_sni, about the name that the client has sent. What
// another site's manager knows, denies or is unsure of does not concern it.
func (p *Permission) managers(name, sent string) (managers []*CertGetter) {
	if p.tlsApp == nil {
		for _, lease := range store.RunningLeases() {
			managers = append(managers, lease.Host().(storeHost).getter)
		}
		return managers
	}
	for _, subject := range []string{name, sent} {
		for _, manager := range managersOf(p.tlsApp, subject) {
			if getter, isOurs := manager.(*CertGetter); isOurs && !slices.Contains(managers, getter) {
				managers = append(managers, getter)
			}
		}
	}
	return managers
}

func managersOf(app *caddytls.TLS, name string) []certmagic.Manager {
	if policy := policyOf(app, name); policy != nil {
		return policy.Managers
	}
	return nil
}

// policyOf is the policy that applies to a name: the first that matches, as in Caddy's own getAutomationPolicyForName.
func policyOf(app *caddytls.TLS, name string) *caddytls.AutomationPolicy {
	if app == nil || app.Automation == nil {
		return nil
	}
	for _, policy := range app.Automation.Policies {
		subjects := policy.Subjects()
		matches := func(subject string) bool { return certmagic.MatchWildcard(name, subject) }
		if len(subjects) == 0 || slices.ContainsFunc(subjects, matches) {
			return policy
		}
	}
	return nil
}

// isSubject tells whether the configuration lists a name, by itself, for Caddy to get its certificate.
func isSubject(app *caddytls.TLS, name string) bool {
	policy := policyOf(app, name)
	return policy != nil && slices.ContainsFunc(policy.Subjects(), func(subject string) bool {
		return issuance.NormalName(subject) == issuance.NormalName(name)
	})
}

// managersAnswer is what all managers know of a name. It doesn't depend on which of them was asked before.
type managersAnswer struct {
	found   bool  // one has the certificate
	listed  bool  // the configuration lists the name as another site's
	own     bool  // the configuration lists the name as a manager's own
	failure error // one is unsure
	denied  bool  // one has no certificate and says on_negative deny
}

// askManagers asks all at once, so that the slowest bounds the time. What a handshake has asked just before is at hand.
func askManagers(managers []*CertGetter, hello *tls.ClientHelloInfo) (all managersAnswer) {
	answers := make(chan leaseAnswer, len(managers))
	asked := 0
	for _, getter := range managers {
		lease := getter.lease
		listing := getter.names.Load().listingOf(hello.ServerName)
		all.listed, all.own = all.listed || listing == listedAsOther, all.own || listing == listedAsOwn
		answer := lease.Peek(hello)
		if answer.Status == native.StatusMiss {
			asked++
			go func() { answers <- leaseAnswer{getter, lease.Fetch(hello)} }()
			continue
		}
		all.add(leaseAnswer{getter, answer})
	}
	for ; asked > 0 && !all.found; asked-- {
		all.add(<-answers)
	}
	return all
}

// leaseAnswer is what one manager knows.
type leaseAnswer struct {
	getter *CertGetter
	answer native.Answer
}

func (m *managersAnswer) add(one leaseAnswer) {
	switch one.answer.Status {
	case native.StatusHit, native.StatusStale:
		m.found = true
	case native.StatusNegative, native.StatusInvalidName:
		m.denied = m.denied || !one.getter.passesNegatives()
	case native.StatusUnsupportedKeyType:
		m.denied = true // there is one, for other clients
	default:
		m.failure = errors.Join(m.failure, &native.Error{Status: one.answer.Status, Message: one.answer.Reason})
	}
}

// helloOf is the handshake that wants the certificate, for this name; without a handshake (at a renewal), one of a
// client that can use every certificate. isForName is false if the client named another or none: certmagic then takes
// default_sni, or the address.
// sent is what it named.
func helloOf(ctx context.Context, name string) (hello *tls.ClientHelloInfo, isForName bool, sent string) {
	hello = &tls.ClientHelloInfo{
		CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		SupportedVersions: []uint16{tls.VersionTLS13},
		ServerName:        name,
	}
	own, _ := ctx.Value(certmagic.ClientHelloInfoCtxKey).(*tls.ClientHelloInfo)
	if own == nil {
		return hello, true, name
	}
	isForName = issuance.NormalName(own.ServerName) == issuance.NormalName(name)
	*hello = *own
	hello.ServerName = name
	return hello, isForName, own.ServerName
}
