package issuance

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// clock is what the tests let pass.
type clock struct{ now time.Time }

func newTestOrders(limits Limits) (*Orders, *clock) {
	clock := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	orders := newOrders(func() time.Time { return clock.now }, func() float64 { return 0.999 }) // the shortest cooldowns
	orders.Serve(orders.Claim(limits))
	return orders, clock
}

var usual = Limits{Cooldown: 10 * time.Minute, MaxOrders: 32, MaxOrdersPerDomain: 4}

// visit is a handshake whose order fails, or succeeds, at once. It returns the rule that stands against it.
func visit(orders *Orders, name string, failure *Failure) Rule {
	if refusal, ok := errors.AsType[*Refusal](orders.Permit(context.Background(), name)); ok {
		return refusal.Rule
	}
	if !orders.Begin(name) {
		return "retry"
	}
	if failure == nil {
		orders.Obtained(name, false)
	} else {
		orders.Failed(name, *failure)
	}
	return ""
}

var badDNS = &Failure{Problem: "dns: NXDOMAIN"}

func TestAFailingNameThatIsVisitedEachSecondIsOrderedFourTimesAnHour(t *testing.T) {
	orders, clock := newTestOrders(usual)
	made := 0
	for range 3600 {
		if visit(orders, "a.example.com", badDNS) == "" {
			made++
		}
		clock.now = clock.now.Add(time.Second)
	}
	if made < 2 || made > 4 {
		t.Errorf("%d orders", made)
	}
	facts := orders.Facts("a.example.com")
	if facts == nil || facts.Failures != made || facts.LastProblem != badDNS.Problem || facts.CooldownUntil == nil {
		t.Errorf("%+v", facts)
	}
	// It doubles up to a day, and no further.
	for range 40 {
		for clock.now = clock.now.Add(time.Minute); visit(orders, "a.example.com", badDNS) != ""; {
			clock.now = clock.now.Add(time.Minute)
		}
	}
	if wait := orders.Facts("a.example.com").CooldownUntil.Sub(clock.now); wait > 24*time.Hour || wait < 19*time.Hour {
		t.Errorf("it waits for %v", wait)
	}
}

func TestWhoMendsHisNameIsServedAfterOneCooldownAndAtOnceAfterAPurge(t *testing.T) {
	orders, clock := newTestOrders(usual)
	visit(orders, "a.example.com", badDNS)
	if rule := visit(orders, "a.example.com", nil); rule != RuleCooldown {
		t.Errorf("%q", rule)
	}
	clock.now = clock.now.Add(usual.Cooldown)
	if rule := visit(orders, "a.example.com", nil); rule != "" {
		t.Errorf("%q", rule)
	}
	if facts := orders.Facts("a.example.com"); facts != nil {
		t.Errorf("a certificate has reset nothing: %+v", facts)
	}
	visit(orders, "b.example.com", badDNS)
	if known := orders.Forget([]string{"b.example.com", "unknown.example"}); known != 1 {
		t.Errorf("%d forgotten", known)
	}
	if rule := visit(orders, "b.example.com", nil); rule != "" {
		t.Errorf("%q", rule)
	}
}

// Made-up names come once each, as fast as they will; a customer who comes again is let in before them.
func TestADomainWhoseNewNamesFailCoolsAsAWhole(t *testing.T) {
	orders, clock := newTestOrders(usual)
	visit(orders, "good.example.com", nil)
	made := 0
	for n := range 600 { // ten minutes
		if visit(orders, fmt.Sprintf("n%d.example.com", n), badDNS) == "" {
			made++
		}
		clock.now = clock.now.Add(time.Second)
	}
	if made < 4 || made > 7 {
		t.Errorf("%d orders of a domain", made)
	}
	if rule := visit(orders, "new.example.com", nil); rule != RuleDomainCooldown {
		t.Errorf("%q", rule)
	}
	for _, other := range []string{"new.example.org", "www.example.com", "example.com"} { // the last would end it
		if err := orders.Check(other); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
	// Within one cooldown a name that is well gets its turn, and with it all of the domain.
	clock.now = clock.now.Add(usual.Cooldown)
	if rule := visit(orders, "new.example.com", nil); rule != "" {
		t.Errorf("%q", rule)
	}
	visit(orders, "n.example.com", badDNS)
	if rule := visit(orders, "m.example.com", nil); rule != "" {
		t.Errorf("one failure: %q", rule)
	}
}

// A name that fails again and again is no news of its domain.
func TestOneBrokenNameDoesNotCoolItsDomain(t *testing.T) {
	orders, clock := newTestOrders(usual)
	for range 24 * 60 {
		visit(orders, "broken.example.com", badDNS)
		clock.now = clock.now.Add(time.Minute)
	}
	if rule := visit(orders, "new.example.com", nil); rule != "" {
		t.Errorf("%q", rule)
	}
}

func TestAnAuthorityThatIsDownIsNoFaultOfNames(t *testing.T) {
	orders, clock := newTestOrders(usual)
	down := &Failure{Problem: "connection refused", IsTemporary: true}
	for n := range 20 {
		visit(orders, fmt.Sprintf("n%d.example.com", n), down)
	}
	if rule := visit(orders, "new.example.com", down); rule != "" {
		t.Errorf("%q", rule)
	}
	if rule := visit(orders, "n1.example.com", nil); rule != RuleCooldown {
		t.Errorf("%q", rule)
	}
	clock.now = clock.now.Add(time.Minute)
	if rule := visit(orders, "n1.example.com", nil); rule != "" {
		t.Errorf("%q", rule)
	}
}

// certmagic waits for a minute and then tries again, by itself, for as long as a handshake may take.
// A storage that is too slow to tell what it has lets nobody past the rules.
// An order that Caddy did not need, or that another event handler forbade, ends with its handshake; one that fails of the
// handshake's end counts.
// Several authorities may be asked for one name, one after the other.
func TestWhatAnyAuthoritySaysOfANameCounts(t *testing.T) {
	down := Failure{Problem: "it is down", IsTemporary: true}
	for title, test := range map[string]struct {
		end  func(*Orders)
		want Rule
	}{
		"the last one is down":                {func(o *Orders) { o.Blame("a.example.com", *badDNS); o.Failed("a.example.com", down) }, RuleCooldown},
		"another one issues":                  {func(o *Orders) { o.Blame("a.example.com", *badDNS); o.Obtained("a.example.com", false) }, ""},
		"Caddy's own issues":                  {func(o *Orders) { o.Blame("a.example.com", *badDNS); o.Obtained("a.example.com", true) }, RuleCooldown},
		"Caddy's own issues, the one is down": {func(o *Orders) { o.Blame("a.example.com", down); o.Obtained("a.example.com", true) }, ""},
	} {
		orders, clock := newTestOrders(usual)
		if orders.Blame("a.example.com", *badDNS) {
			t.Error("without an order")
		}
		if err := orders.Permit(t.Context(), "a.example.com"); err != nil {
			t.Fatal(err)
		}
		orders.Begin("a.example.com")
		test.end(orders)
		clock.now = clock.now.Add(2 * time.Minute)
		if rule := visit(orders, "a.example.com", nil); rule != test.want {
			t.Errorf("%s: %q", title, rule)
		}
	}
}

func TestARetryOfAnOrderThatHasFailedIsEnded(t *testing.T) {
	orders, clock := newTestOrders(usual)
	visit(orders, "a.example.com", &Failure{Problem: "dns: NXDOMAIN", IsRetried: true})
	clock.now = clock.now.Add(time.Minute)
	if orders.Begin("a.example.com") {
		t.Error("it goes on")
	}
	// Where certmagic makes no retry, it is an order of Caddy's own: the configuration lists the name by now.
	visit(orders, "b.example.net", badDNS)
	if !orders.Begin("b.example.net") {
		t.Error("the order of a name that the configuration lists was refused")
	}
	if !orders.Begin("configured.example.com") {
		t.Error("what was never asked for on demand was refused")
	}
	// Later, the name may have become one that the configuration lists.
	clock.now = clock.now.Add(longestOrder)
	if !orders.Begin("a.example.com") {
		t.Error("an order that nobody permitted was refused")
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	orders, clock := newTestOrders(Limits{Cooldown: time.Hour, MaxOrders: 10, MaxOrdersPerDomain: 10})
	visit(orders, "customer.example.net", badDNS)
	for n := range maxRecords + 1000 {
		visit(orders, fmt.Sprintf("n%d.com", n), badDNS)
	}
	if len(orders.names) > maxRecords || len(orders.domains) > maxRecords || len(orders.underWay) > 0 {
		t.Errorf("%d names, %d domains, %d under way", len(orders.names), len(orders.domains), len(orders.underWay))
	}
	if rule := visit(orders, "customer.example.net", nil); rule != RuleCooldown {
		t.Errorf("a failure went before its time: %q", rule)
	}
	clock.now = clock.now.Add(3 * time.Hour)
	if counts := orders.Counts(); counts.CoolingNames+len(orders.names)+len(orders.domains) > 0 {
		t.Errorf("%+v, %d names", counts, len(orders.names))
	}
}

func TestWithoutACooldownOnlyPlacesCount(t *testing.T) {
	orders, _ := newTestOrders(Limits{MaxOrders: 2, MaxOrdersPerDomain: 1})
	for range 10 {
		if rule := visit(orders, "a.example.com", badDNS); rule != "" {
			t.Fatal(rule)
		}
	}
}

// Nodes that tell each other make the orders of one, and forget together, whatever their clocks say.
