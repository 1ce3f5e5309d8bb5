package cachedhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// A name is to blame for what an authority says of it, and for nothing else.
func TestWhoIsToBlameForAnOrderThatHasFailed(t *testing.T) {
	problem := func(kind string, status int) error {
		return fmt.Errorf("solving challenges: %w", acme.Problem{Type: kind, Status: status, Detail: "no such host"})
	}
	for title, test := range map[string]struct {
		err         error
		isTemporary bool
		text        string
	}{
		"DNS":               {problem(acme.ProblemTypeDNS, 400), false, "dns: no such host"},
		"unauthorized":      {problem(acme.ProblemTypeUnauthorized, 403), false, "unauthorized: no such host"},
		"no status":         {problem(acme.ProblemTypeCAA, 0), false, "caa: no such host"},
		"asked too often":   {problem(acme.ProblemTypeRateLimited, 429), true, "rateLimited: no such host"},
		"the account":       {problem(acme.ProblemTypeUserActionRequired, 403), true, "userActionRequired: no such host"},
		"it is ill":         {problem(acme.ProblemTypeServerInternal, 500), true, "serverInternal: no such host"},
		"another 5xx":       {problem("", 503), true, ": no such host"},
		"no challenge left": {errors.New("no solvers available"), false, "no solvers available"},
		"a proxy's page": {
			judged(fmt.Errorf("[a.example.com] creating new order: HTTP 502: <h1>502</h1> (ca=https://user:s3cret@ca.example/dir)")),
			true, "[a.example.com] creating new order: HTTP 502: <h1>502</h1>",
		},
		"its root is not known": {judged(&url.Error{Op: "Get", URL: "https://ca.example", Err: errors.New("x509: unknown")}), true, "x509: unknown"},
		"a DNS provider":        {judged(errors.New("presenting for challenge: no zone at https://key@dns.example")), false, "presenting for challenge: no zone at https://dns.example"},
		"nobody there": {
			&url.Error{Op: "Get", URL: "https://user:s3cret@ca.example", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, //nolint:gosec // it is made up
			true, "dial: refused",
		},
		"the handshake's time is over": {fmt.Errorf("waiting: %w", context.DeadlineExceeded), true, "waiting: context deadline exceeded"},
		"nothing is said":              {nil, false, "no reason is known"},
	} {
		want := issuance.Failure{
			Problem: test.text, IsTemporary: test.isTemporary, IsRateLimit: title == "asked too often", IsRetried: test.err != nil,
		}
		if failure := failureOf(test.err); failure != want {
			t.Errorf("%s: %+v", title, failure)
		}
	}
}

func TestOrdersAreToldByCaddysEvents(t *testing.T) {
	orders := issuance.New()
	orders.Serve(orders.Claim(issuance.Limits{Cooldown: 1 << 40, MaxOrders: 1, MaxOrdersPerDomain: 1}))
	handler := orderHandler{orders: orders}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	tell := func(name string, data map[string]any) error {
		event, err := caddy.NewEvent(ctx, name, data)
		if err != nil {
			t.Fatal(err)
		}
		return handler.Handle(context.Background(), event)
	}
	of := func(name string, remaining time.Duration) map[string]any {
		return map[string]any{"identifier": name, "renewal": remaining != 0, "remaining": remaining, "error": errors.New("no")}
	}
	if err := orders.Permit(t.Context(), "a.example.com"); err != nil {
		t.Fatal(err)
	}
	// Neither a renewal in time nor what Caddy orders by its configuration is any of ours.
	for _, err := range []error{
		tell(eventObtaining, of("a.example.com", time.Hour)), tell(eventFailed, of("a.example.com", time.Hour)),
		tell(eventObtaining, of("configured.example.com", 0)), tell(eventFailed, of("configured.example.com", 0)),
		tell(eventObtaining, map[string]any{"identifier": "A.example.com"}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if counts := orders.Counts(); counts.UnderWay != 1 || counts.Failed != 0 {
		t.Errorf("%+v", counts)
	}
	_ = tell(eventFailed, of("a.example.com", -time.Hour)) // what has ended is an order as any other
	if counts := orders.Counts(); counts.UnderWay != 0 || counts.Failed != 1 || counts.CoolingNames != 1 {
		t.Errorf("%+v", counts)
	}
	err := tell(eventObtaining, of("a.example.com", -time.Hour))
	if noRetry := new(certmagic.ErrNoRetry); !errors.Is(err, caddy.ErrEventAborted) || !errors.As(err, noRetry) {
		t.Errorf("the retry goes on: %v", err)
	}
	if text, err := json.Marshal(handler); string(text) != "{}" || err != nil {
		t.Errorf("Caddy logs %s, %v", text, err)
	}
}
