package cachedhttp

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// acmeIssuer is Caddy's own, whose failed orders certmagic does not retry while a handshake waits: it would for 180 s,
// and all handshakes for the name with it.
type acmeIssuer struct {
	*caddytls.ACMEIssuer

	orders *issuance.Orders
	config *atomic.Pointer[certmagic.Config]
}

// Issue implements certmagic.Issuer.
func (i acmeIssuer) Issue(ctx context.Context, request *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	issued, err := i.ACMEIssuer.Issue(ctx, request)
	if err != nil {
		err = judged(err)
		if i.orders.Blame(nameOf(request), failureOf(err)) {
			err = certmagic.ErrNoRetry{Err: err}
		}
	}
	return issued, err
}

// authorityError is a failure of an ACME issuer that no authority has given a name the fault for: nobody there, a proxy's page
// in place of an answer, a certificate or a path of the authority that is wrong.
type authorityError struct{ error }

func (t authorityError) Unwrap() error { return t.error }

// judged marks such a failure. What solving a challenge comes to, at a DNS provider perhaps, is about the name.
func judged(err error) error {
	var problem acme.Problem
	if errors.As(err, &problem) || strings.Contains(err.Error(), "challenge") {
		return err
	}
	return authorityError{err}
}

// nameOf is the one that an order on demand is for.
func nameOf(request *x509.CertificateRequest) string {
	for _, name := range request.DNSNames {
		return issuance.NormalName(name)
	}
	for _, address := range request.IPAddresses {
		return address.String()
	}
	return ""
}

// SetConfig implements caddytls.ConfigSetter, and keeps the configuration for its storage.
func (i acmeIssuer) SetConfig(config *certmagic.Config) {
	i.config.Store(config)
	i.ACMEIssuer.SetConfig(config)
}

// endRetries puts Caddy's ACME issuers into ours, in the policies that order on demand. They are not provisioned yet: Caddy
// loads the permission before (caddytls/tls.go, Provision).
func endRetries(ctx caddy.Context, app *caddytls.TLS, orders *issuance.Orders) error {
	if app.Automation == nil {
		return nil
	}
	for _, policy := range app.Automation.Policies {
		if !policy.OnDemand && policy.ManagersRaw == nil {
			continue
		}
		if policy.IssuersRaw == nil && len(policy.Issuers) == 0 && hasPublicSubjects(policy) {
			policy.IssuersRaw = []json.RawMessage{json.RawMessage(`{"module": "acme"}`)} // which is Caddy's default
		}
		if policy.IssuersRaw == nil {
			continue
		}
		loaded, err := ctx.LoadModule(policy, "IssuersRaw")
		if err != nil {
			return fmt.Errorf("loading the issuers of a policy: %w", err)
		}
		for _, module := range loaded.([]any) {
			issuer, isIssuer := module.(certmagic.Issuer)
			if !isIssuer {
				return fmt.Errorf("%T among the issuers of a policy is none", module)
			}
			if caddys, isACME := issuer.(*caddytls.ACMEIssuer); isACME {
				issuer = acmeIssuer{caddys, orders, new(atomic.Pointer[certmagic.Config])}
			}
			policy.Issuers = append(policy.Issuers, issuer)
		}
	}
	return nil
}

// hasPublicSubjects: Caddy gives a policy of internal names alone an issuer of its own.
func hasPublicSubjects(policy *caddytls.AutomationPolicy) bool {
	return len(policy.SubjectsRaw) == 0 || slices.ContainsFunc(policy.SubjectsRaw, certmagic.SubjectQualifiesForPublicCert)
}

// Interface guards
var (
	_ certmagic.Issuer            = acmeIssuer{}
	_ certmagic.PreChecker        = acmeIssuer{}
	_ certmagic.Revoker           = acmeIssuer{}
	_ certmagic.RenewalInfoGetter = acmeIssuer{}
	_ caddytls.ConfigSetter       = acmeIssuer{}
)
