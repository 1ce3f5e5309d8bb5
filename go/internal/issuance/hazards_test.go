package issuance

// What fresh eyes have broken: nodes that share failures, places that lapse, clocks and numbers.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"testing"
	"time"
)

type fleetOf struct {
	nodes []*Orders
	notes map[string]string
	clock *clock
}

func newFleetOf(n int) *fleetOf {
	f := &fleetOf{notes: map[string]string{}}
	for range n {
		o, c := newTestOrders(usual)
		f.clock = c
		f.nodes = append(f.nodes, o)
	}
	for _, o := range f.nodes {
		o.now = func() time.Time { return f.clock.now }
	}
	return f
}

// visit as Permission.permitOrder, orderHandler do: Check, learn, Permit, learn, Begin, Failed, tell.
func (f *fleetOf) visit(node int, name string, failure *Failure) Rule {
	o := f.nodes[node]
	var refusal *Refusal
	if errors.As(o.Check(name), &refusal) {
		if o.IsToRelearn(name) {
			f.learn(o, name)
		}
		return refusal.Rule
	}
	f.learn(o, name)
	if errors.As(o.Permit(context.Background(), name), &refusal) {
		return refusal.Rule
	}
	f.learn(o, name)
	if !o.Begin(name) {
		return "retry"
	}
	if failure == nil {
		maps.Copy(f.notes, o.Obtained(name, false))
		return ""
	}
	o.Failed(name, *failure)
	maps.Copy(f.notes, o.Notes(name))
	return ""
}

func (f *fleetOf) learn(o *Orders, name string) {
	for _, s := range Subjects(name) {
		if t := f.notes[s]; t != "" {
			o.Learn(name, s, t)
		}
	}
}

func TestAFleetOrdersAFailingNameAsOftenAsOneNode(t *testing.T) {
	for _, every := range []time.Duration{time.Minute, 5 * time.Minute, 7 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute} {
		count := func(nodes int) (made int) {
			f := newFleetOf(nodes)
			for i := 0; time.Duration(i)*every < 24*time.Hour; i++ {
				if f.visit(i%nodes, "a.example.com", badDNS) == "" {
					made++
				}
				f.clock.now = f.clock.now.Add(every)
			}
			return
		}
		one, three := count(1), count(3)
		if three > one+2 {
			t.Errorf("every %v: fleet %d, one node %d", every, three, one)
		}
	}
}

func TestADomainCoolsAfterAsManyFailuresOfAFleetAsOfOneNode(t *testing.T) {
	for _, nodes := range []int{1, 3, 10} {
		f := newFleetOf(nodes)
		made := 0
		for i := range 100 {
			if f.visit(i%nodes, fmt.Sprintf("n%d.example.com", i), badDNS) == "" {
				made++
			}
			f.clock.now = f.clock.now.Add(time.Millisecond)
		}
		if made > 4 {
			t.Errorf("%d nodes: %d", nodes, made)
		}
	}
}

func TestASuccessEndsTheCooldownOfItsDomainInAFleet(t *testing.T) {
	for _, nodes := range []int{1, 2} {
		f := newFleetOf(nodes)
		for i := range 7 {
			f.visit(0, fmt.Sprintf("n%d.example.com", i), badDNS)
		}
		if nodes == 1 {
			f.notes = map[string]string{} // no fleet
		}
		if r := f.visit(0, "www.example.com", nil); r != "" {
			t.Error(r)
		}
		if r := f.visit(0, "shop.example.com", nil); r != "" {
			t.Errorf("%d nodes: after a success a name of the domain is refused by %s", nodes, r)
		}
	}
}

func TestANameThatTheConfigurationListsLaterIsOrdered(t *testing.T) {
	o, c := newTestOrders(usual)
	visit(o, "a.example.com", badDNS)
	c.now = c.now.Add(100 * time.Second) // the operator writes a.example.com as a site and reloads: no permission is asked
	if !o.Begin("a.example.com") {
		t.Error("Caddy's own order of a configured name is vetoed")
	}
}

func TestPlacesThatHaveLapsedAreNotGivenTwice(t *testing.T) {
	o, c := newTestOrders(Limits{Cooldown: time.Minute, MaxOrders: 4, MaxOrdersPerDomain: 4})
	var names []string
	for round := range 6 {
		for i := range 4 {
			n := fmt.Sprintf("n%d-%d.example.com", round, i)
			if o.Permit(t.Context(), n) == nil {
				names = append(names, n)
			}
			c.now = c.now.Add(2 * time.Second)
			if o.Permit(t.Context(), n) == nil && names[len(names)-1] != n {
				names = append(names, n)
			}
		}
		c.now = c.now.Add(23 * time.Second)
	}
	for _, n := range names {
		o.Begin(n)
	}
	if u := o.Counts().UnderWay; u > 4 {
		t.Errorf("%d under way, max_orders 4 (%d permitted)", u, len(names))
	}
}

func TestWhoHasNoPlaceAnyMoreStandsInLineAgain(t *testing.T) {
	o, c := newTestOrders(Limits{Cooldown: time.Minute, MaxOrders: 1, MaxOrdersPerDomain: 1})
	_ = o.Permit(t.Context(), "old.example.com")
	c.now = c.now.Add(31 * time.Second)
	if o.Permit(t.Context(), "busy.example.com") != nil {
		t.Fatal()
	}
	o.Begin("busy.example.com")
	if err := o.Permit(t.Context(), "old.example.com"); err == nil {
		o.Begin("old.example.com")
		t.Errorf("permitted with max_orders 1 taken; %d under way", o.Counts().UnderWay)
	}
}

func TestARateLimitIsAskedMoreAndMoreSeldom(t *testing.T) {
	o, c := newTestOrders(usual)
	made := 0
	for range 24 * 60 * 6 {
		if visit(o, "a.example.com", &Failure{Problem: "rateLimited: too many certificates already issued for example.com, retry after 2026-12-03", IsTemporary: true, IsRateLimit: true}) == "" {
			made++
		}
		c.now = c.now.Add(10 * time.Second)
	}
	if made > 100 {
		t.Error("no growth")
	}
}

func TestAClockThatIsAheadMakesNothingLast(t *testing.T) {
	ahead, c1 := newTestOrders(usual)
	here, c2 := newTestOrders(usual)
	c1.now = c2.now.Add(8 * time.Hour)
	for i := range 3 {
		visit(ahead, fmt.Sprintf("n%d.example.com", i), badDNS)
	}
	for s, text := range ahead.Notes("n0.example.com") {
		here.Learn("n0.example.com", s, text)
	}
	for _, n := range []string{"n0.example.com", "customer.example.com"} {
		if r, ok := errors.AsType[*Refusal](here.Permit(t.Context(), n)); ok {
			if wait := r.Until.Sub(c2.now); wait > 20*time.Minute {
				t.Errorf("%s: %s for %v", n, r.Rule, wait)
			}
		}
	}
}

func TestANoteWithAHugeNumberIsANote(t *testing.T) {
	o, c := newTestOrders(usual)
	o.Learn("x.example.com", "orders/domain/example.com", text(note{Failures: math.MaxInt, FailedAt: c.now.UnixMilli(), ForgottenAt: c.now.Add(2 * time.Minute).UnixMilli(), CoolsUntil: c.now.Add(time.Minute).UnixMilli()}))
	c.now = c.now.Add(61 * time.Second)
	made := 0
	for i := range 50 {
		if visit(o, fmt.Sprintf("n%d.example.com", i), badDNS) == "" {
			made++
		}
	}
	if made > 4 {
		t.Errorf("domain never cools: %d", made)
	}
}

func TestATemporaryFailureShortensNoCooldown(t *testing.T) {
	o, c := newTestOrders(usual)
	_ = o.Permit(t.Context(), "a.example.com")
	o.Begin("a.example.com")
	o.Learn("a.example.com", "orders/name/a.example.com", text(note{Failures: 5, FailedAt: c.now.UnixMilli(), ForgottenAt: c.now.Add(6 * time.Hour).UnixMilli(), CoolsUntil: c.now.Add(3 * time.Hour).UnixMilli()}))
	o.Failed("a.example.com", Failure{Problem: "x", IsTemporary: true})
	if w := o.Facts("a.example.com").CooldownUntil.Sub(c.now); w < time.Hour {
		t.Errorf("3 h have become %v", w)
	}
}
