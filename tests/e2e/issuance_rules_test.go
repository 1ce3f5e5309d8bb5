package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	orderLimit = 30 * time.Second
	// orderAtOnce is less than the minute that certmagic waits before it tries again.
	orderAtOnce = 20 * time.Second
)

// visitOnce opens one handshake for a name that may be ordered.
func (c *caddy) visitOnce(name string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), orderLimit)
	defer cancel()
	took, err := c.waitForOrder(ctx, name)
	return took, err
}

// Whatever challenge the authority is offered.
func TestIssuanceOfACustomersName(t *testing.T) {
	t.Parallel()
	for title, disabled := range map[string]string{
		"TLS-ALPN-01": "disable_http_challenge", "HTTP-01": "disable_tlsalpn_challenge", "either": "",
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			c, i, backend := prepareIssuer(t)
			i.names.point("127.0.0.1", "customer.example.com")
			s := i.guarded(backend, "ask "+yes(t))
			if disabled != "" {
				s.global = append(s.global, "cert_issuer acme {", "\tdir "+i.directory, "\ttrusted_roots "+i.folder+"/issuer-root.pem",
					"\t"+disabled, "}")
			}
			c.start(s)
			if took, err := c.visitOnce("customer.example.com"); err != nil {
				t.Errorf("after %v: %v", took, err)
			}
			if orders := i.orders(); orders != 1 {
				t.Errorf("%d orders", orders)
			}
		})
	}
}

// An order that fails ends its handshake at once, and no other is made for the name; until it is mended and purged, or the
// cooldown is over.
func TestIssuanceCoolsDown(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	const name, other = "customer.example.com", "other.example.net"
	var failed time.Time
	var s site
	// One whose cooldown will be over, and one that cools for as long as the test may take.
	for _, test := range []struct{ name, cooldown string }{{other, "15s"}, {name, "1h"}} {
		s = i.guarded(backend, "ask "+yes(t), "cooldown "+test.cooldown)
		if failed.IsZero() {
			c.start(s)
		} else {
			c.reload(s)
		}
		if took, err := c.visitOnce(test.name); err == nil || took > orderAtOnce {
			t.Errorf("%s: after %v: %v", test.name, took, err)
		}
		if failed.IsZero() {
			failed = time.Now()
		}
	}
	orders := i.orders()
	for range 5 {
		if took, err := c.visitOnce(name); err == nil || took > orderAtOnce {
			t.Errorf("while it cools: after %v: %v", took, err)
		}
	}
	c.reload(s) // which forgets nothing
	c.refused(name)
	if more := i.orders(); more != orders {
		t.Errorf("%d orders while it cools", more-orders)
	}

	facts := c.inspectOrders(name)
	if facts.Failures != 1 || facts.LastProblem == "" || facts.CooldownUntil == nil {
		t.Errorf("%+v", facts)
	}
	shown := c.cachedHTTP("inspect", name)
	if !strings.Contains(shown.out, "cooldown") {
		t.Error(shown.out)
	}

	i.names.point("127.0.0.1", name, other)
	c.refused(name)
	c.cachedHTTP("purge", name).expect(t, 0)
	if _, err := c.visitOnce(name); err != nil {
		t.Errorf("after a purge: %v", err)
	}
	time.Sleep(time.Until(failed.Add(15 * time.Second)))
	if _, err := c.visitOnce(other); err != nil {
		t.Errorf("after the cooldown: %v", err)
	}
	for _, line := range []string{
		`caddy_cached_http_orders_total{result="failed"} 2`, `caddy_cached_http_orders_total{result="obtained"} 2`,
		`caddy_cached_http_orders_refused_total{rule="cooldown"} `, `caddy_cached_http_orders 0`,
	} {
		if !strings.Contains(c.admin("/metrics"), line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
	for _, record := range c.log() {
		if record.Level == "error" && strings.Contains(record.text, "cached_http") {
			t.Error("an error in the log:", record.text)
		}
	}
}

// Only names that point here are ordered. A DNS that fails is no "no".
func TestIssuanceForNamesThatPointHere(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	i.names.point("127.0.0.1", "here.example.com", "edge.example.net", "alias.example.com", "late.example.com")
	i.names.point("192.0.2.1", "elsewhere.example.com")
	c.start(i.guarded(backend, "resolves_to 127.0.0.2 edge.example.net", "resolvers "+i.names.address, "negative_ttl 1h"))
	for _, name := range []string{"here.example.com", "alias.example.com"} {
		if _, err := c.visitOnce(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	orders := i.orders()
	for range 3 {
		c.refused("elsewhere.example.com")
		c.refused("nowhere.example.com")
	}
	// A question whose answer is late is asked once more.
	if count := i.names.count("nowhere.example.com"); count < 1 || count > 2 {
		t.Errorf("a name was looked up %d times", count)
	}
	i.names.fail(true)
	c.refused("late.example.com")
	i.names.fail(false)
	if more := i.orders(); more != orders {
		t.Errorf("%d orders of names that point elsewhere", more-orders)
	}
	eventually(t, 30*time.Second, "the DNS is asked again", func() bool {
		_, err := c.visitOnce("late.example.com")
		return err == nil
	})
}

// A load balancer may have other addresses each time: whoever is an alias of it points here all the same.
func TestIssuanceForAliases(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	const balancer, alias, other = "balancer.example.net", "alias.example.com", "other.example.org"
	i.names.rotate(balancer)
	i.names.alias(alias, balancer)
	i.names.alias(other, "elsewhere.example.net")
	i.names.point("192.0.2.1", "elsewhere.example.net")
	c.start(i.guarded(backend, "resolves_to "+balancer, "resolvers "+i.names.address))
	c.refused(other)
	if orders := i.orders(); orders > 0 {
		t.Errorf("%d orders of who is an alias of another", orders)
	}
	_, _ = c.visitOnce(alias) // nobody listens there
	if i.orders() == 0 {
		t.Error("no order of who is an alias of the balancer")
	}
}

// orderFacts is what names/NAME says of orders.
type orderFacts struct {
	Failures      int        `json:"failures"`
	LastProblem   string     `json:"last_problem"`
	CooldownUntil *time.Time `json:"cooldown_until"`
}

func (c *caddy) inspectOrders(name string) orderFacts {
	c.t.Helper()
	var facts struct {
		Orders orderFacts `json:"orders"`
	}
	if err := json.Unmarshal([]byte(c.admin("/cached_http/names/"+name)), &facts); err != nil {
		c.t.Fatal(err)
	}
	return facts.Orders
}

// What the configuration lists is Caddy's own to order, also where no manager of ours is asked; cooldowns guard it, too.
func TestIssuanceForNamesThatTheConfigurationLists(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	const good, bad = "listed.example.com", "broken.example.net"
	i.names.point("127.0.0.1", good)
	s := i.guarded(backend, "cooldown 1m")
	s.sites = "https://" + good + ":PORT, https://" + bad + ":PORT {\n\tbind 127.0.0.1\n\ttls {\n\t\ton_demand\n\t}\n}\n"
	c.start(s)
	if took, err := c.visitOnce(good); err != nil {
		t.Errorf("after %v: %v", took, err)
	}
	if took, err := c.visitOnce(bad); err == nil || took > orderAtOnce {
		t.Errorf("after %v: %v", took, err)
	}
	orders := i.orders()
	c.refused(bad)
	c.refused("made-up.example.com")
	if more := i.orders(); more != orders {
		t.Errorf("%d orders more", more-orders)
	}
}

// A name that the configuration lists after its order has failed is Caddy's own to order, as any other.
func TestIssuanceOfANameThatBecomesASite(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	const name = "customer.example.com"
	s := i.guarded(backend, "ask "+yes(t))
	c.start(s)
	if _, err := c.visitOnce(name); err == nil {
		t.Fatal("a certificate")
	}
	i.names.point("127.0.0.1", name)
	s.sites = "https://" + name + ":PORT {\n\tbind 127.0.0.1\n}\n"
	c.reload(s)
	eventually(t, 20*time.Second, "the site has its certificate", func() bool {
		_, err := c.visitOnce(name)
		return err == nil
	})
}

// An address is ordered as a name is, and fails as soon.
func TestIssuanceOfAnAddress(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	i.directory = "https://127.0.0.1:1/directory"
	c.start(i.guarded(backend, "ask "+yes(t)))
	if took, err := c.visitOnce(""); err == nil || took > orderAtOnce {
		t.Errorf("%v after %v", err, took)
	}
}

// With Caddy's own authority behind an ACME one, made-up names get a certificate, and yet spend no limits of the account.
func TestIssuanceWithCaddysOwnAuthorityBehind(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	s := i.guarded(backend, "ask "+yes(t))
	s.global = append(s.global, "cert_issuer acme {", "\tdir "+i.directory, "\ttrusted_roots "+i.folder+"/issuer-root.pem",
		"\tdisable_http_challenge", "}", "cert_issuer internal")
	c.start(s)
	served := 0
	for n := range 20 {
		if _, err := c.visitOnce(fmt.Sprintf("n%d.example.com", n)); err == nil {
			served++
		}
	}
	if orders := i.orders(); orders != served || served > 4 {
		t.Errorf("%d orders, %d served", orders, served)
	}
	// What it has is served, though its domain cools.
	if took, err := c.visitOnce("n0.example.com"); err != nil {
		t.Errorf("after %v: %v", took, err)
	}
	if facts := c.inspectOrders("n0.example.com"); facts.Failures != 1 {
		t.Errorf("%+v", facts)
	}
}

// Many names at once are no storm where Caddy's own authority issues.
func TestIssuanceByTheInternalAuthority(t *testing.T) {
	t.Parallel()
	c, i, backend := prepareIssuer(t)
	s := i.guarded(backend, "ask "+yes(t), "max_orders 1", "max_orders_per_domain 1")
	s.global = append(s.global, "local_certs")
	c.start(s)
	var clients sync.WaitGroup
	for n := range 30 {
		clients.Go(func() {
			if _, err := c.visitOnce(fmt.Sprintf("n%d.example.com", n)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if orders := i.orders(); orders > 0 {
		t.Errorf("%d orders", orders)
	}
}
