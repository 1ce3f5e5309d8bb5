package cachedhttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// Caddy's own events about orders (certmagic, config.go: obtainCert and renewCert).
const (
	eventObtaining = "cert_obtaining"
	eventObtained  = "cert_obtained"
	eventFailed    = "cert_failed"
)

// orderHandler is told what becomes of orders. Caddy logs handlers field by field, so that it must show none.
type orderHandler struct {
	orders *issuance.Orders
	fleet  orderFleet
}

// MarshalJSON shows nothing.
func (orderHandler) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }

// errRetry ends certmagic's own retry, which would keep a handshake for minutes.
var errRetry = errors.Join(caddy.ErrEventAborted,
	certmagic.ErrNoRetry{Err: errors.New("permission cached_http: the order has failed, and its name has to wait for another")})

// Handle is called while Caddy waits. A renewal in time is none of ours: it is never denied, and its failure says nothing
// about who may order.
func (h orderHandler) Handle(_ context.Context, event caddy.Event) error {
	if remaining, _ := event.Data["remaining"].(time.Duration); remaining > 0 {
		return nil
	}
	name, _ := event.Data["identifier"].(string)
	name = issuance.NormalName(name)
	switch event.Name() {
	case eventObtaining:
		h.fleet.learn(name) // certmagic may have waited for another node's order of the name
		if !h.orders.Begin(name) {
			return errRetry
		}
	case eventObtained:
		issuer, _ := event.Data["issuer"].(string)
		h.fleet.tell(name, h.orders.Obtained(name, isOwnAuthority(h.fleet.tlsApp, name, issuer)))
	case eventFailed:
		err, _ := event.Data["error"].(error)
		h.orders.Failed(name, failureOf(err))
		h.fleet.tell(name, h.orders.Notes(name))
	}
	return nil
}

// failureOf tells what is a name's fault from what is the authority's, or the way's to it.
func failureOf(err error) issuance.Failure {
	if err == nil {
		return issuance.Failure{Problem: "no reason is known"}
	}
	_, isFinal := errors.AsType[certmagic.ErrNoRetry](err)
	if problem, ok := errors.AsType[acme.Problem](err); ok {
		text := strings.TrimPrefix(problem.Type, "urn:ietf:params:acme:error:") + ": " + problem.Detail
		isRateLimit := problem.Type == acme.ProblemTypeRateLimited || problem.Status == http.StatusTooManyRequests
		return issuance.Failure{
			Problem: text, IsTemporary: isRateLimit || isTemporary(problem), IsRateLimit: isRateLimit, IsRetried: !isFinal,
		}
	}
	_, isTrouble := errors.AsType[authorityError](err)
	var network net.Error // of a request to the authority
	if failed, isURL := errors.AsType[*url.Error](err); isURL {
		err, isTrouble = failed.Err, true // without the URL
	}
	return issuance.Failure{
		Problem:     whereabouts.ReplaceAllString(err.Error(), "$1"),
		IsRetried:   !isFinal,
		IsTemporary: isTrouble || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled),
	}
}

// whereabouts are the URL of the authority, which certmagic adds, and what may be secret in another.
var whereabouts = regexp.MustCompile(` ?\(ca=[^)]*\)|(//)[^/\s@]*@`)

func isTemporary(problem acme.Problem) bool {
	switch problem.Type {
	case acme.ProblemTypeServerInternal, acme.ProblemTypeBadNonce:
		return true
	case acme.ProblemTypeAccountDoesNotExist, acme.ProblemTypeExternalAccountRequired, acme.ProblemTypeUserActionRequired,
		acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact, acme.ProblemTypeBadPublicKey,
		acme.ProblemTypeBadSignatureAlgorithm:
		return true // the account's trouble
	}
	return problem.Status >= 500
}
