package issuance

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestADomainFillsItsOwnShareOnly(t *testing.T) {
	orders, clock := newTestOrders(usual)
	refused := make(map[Rule]int)
	for n := range 100 {
		if refusal, ok := errors.AsType[*Refusal](orders.Permit(t.Context(), fmt.Sprintf("n%d.example.co.uk", n))); ok {
			refused[refusal.Rule]++
		}
	}
	if refused[RuleMaxOrdersPerDomain] != 96 || len(refused) != 1 {
		t.Error(refused)
	}
	for _, other := range []string{"n1.other.co.uk", "192.0.2.7", "198.51.2.7"} { // co.uk is nobody's domain, nor is 2.7
		if err := orders.Permit(t.Context(), other); err != nil {
			t.Error(err)
		}
	}
	for n := range 100 {
		_ = orders.Permit(t.Context(), fmt.Sprintf("n%d.com", n))
	}
	if counts := orders.Counts(); counts.UnderWay != usual.MaxOrders/newcomersShare {
		t.Errorf("%d under way of names that come for the first time", counts.UnderWay)
	}
	clock.now = clock.now.Add(comesAgain)
	for n := range 100 {
		_ = orders.Permit(t.Context(), fmt.Sprintf("n%d.com", n))
	}
	if counts := orders.Counts(); counts.UnderWay != usual.MaxOrders {
		t.Errorf("%d under way", counts.UnderWay)
	}
	if err := orders.Permit(t.Context(), "n1.com"); err != nil {
		t.Error("who waits for an order that is under way takes no place:", err)
	}
}

func TestWhoComesAgainGoesBefore(t *testing.T) {
	orders, clock := newTestOrders(usual)
	for n := range 9*maxNewcomers + 2000 {
		if name := fmt.Sprintf("www.made-up-%d.com", n); orders.Permit(t.Context(), name) == nil {
			orders.Begin(name) // and never ends
		}
		clock.now = clock.now.Add(time.Millisecond)
		if n == 9*maxNewcomers && orders.Permit(t.Context(), "www.customer.com") == nil {
			t.Error("it was let in though it comes for the first time")
		}
		if n == 9*maxNewcomers+500 && orders.Permit(t.Context(), "www.customer.com") == nil {
			t.Error("it comes again at once, as a browser does")
		}
	}
	if err := orders.Permit(t.Context(), "www.customer.com"); err != nil {
		t.Error(err)
	}
	if known := len(orders.newcomers.generations[0]) + len(orders.newcomers.generations[1]); known > 2*maxNewcomers {
		t.Errorf("%d newcomers are remembered", known)
	}
}

func TestPlacesComeBackWhateverHappens(t *testing.T) {
	for title, test := range map[string]struct {
		then func(*Orders)
		free time.Duration
	}{
		"nothing is heard of it":       {func(*Orders) {}, reservation},
		"it begins and never ends":     {func(o *Orders) { o.Begin("a.example.com") }, longestOrder},
		"it is kept and fails":         {func(o *Orders) { o.Begin("a.example.com"); o.Failed("a.example.com", *badDNS) }, 0},
		"it is obtained":               {func(o *Orders) { o.Begin("a.example.com"); o.Obtained("a.example.com", true) }, 0},
		"what is issued is not kept":   {func(o *Orders) { o.Begin("a.example.com"); o.Begin("a.example.com") }, 0},
		"another one begins by itself": {func(o *Orders) { o.Begin("other.example.com") }, reservation},
	} {
		t.Run(title, func(t *testing.T) {
			orders, clock := newTestOrders(Limits{MaxOrders: 1, MaxOrdersPerDomain: 1})
			if err := orders.Permit(t.Context(), "a.example.com"); err != nil {
				t.Fatal(err)
			}
			test.then(orders)
			if test.free > 0 {
				clock.now = clock.now.Add(test.free - time.Second)
				if orders.Permit(t.Context(), "b.example.org") == nil {
					t.Error("its place was free too early")
				}
				clock.now = clock.now.Add(time.Second)
			}
			if err := orders.Permit(t.Context(), "b.example.org"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAPlaceLastsAsLongAsItsHandshake(t *testing.T) {
	orders, clock := newTestOrders(usual)
	underWay := func(want int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); orders.Counts().UnderWay != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d are under way", orders.Counts().UnderWay)
			}
		}
	}
	permit := func(name string) func() {
		t.Helper()
		ctx, end := context.WithCancel(t.Context())
		if err := orders.Permit(ctx, name); err != nil {
			t.Fatal(err)
		}
		return end
	}
	end := permit("loaded.example.com")
	end()
	underWay(0)

	end = permit("forbidden.example.com")
	orders.Begin("forbidden.example.com")
	end()
	isEnding := func() bool {
		orders.mutex.Lock()
		defer orders.mutex.Unlock()
		return orders.underWay["forbidden.example.com"].expires.Equal(clock.now.Add(lastNews))
	}
	for deadline := time.Now().Add(10 * time.Second); !isEnding(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it goes on")
		}
	}
	underWay(1)
	clock.now = clock.now.Add(lastNews)
	underWay(0)

	end = permit("left.example.com")
	orders.Begin("left.example.com")
	end()
	orders.Failed("left.example.com", Failure{IsTemporary: true})
	if facts := orders.Facts("left.example.com"); facts == nil || facts.CooldownUntil == nil {
		t.Errorf("%+v", facts)
	}

	// The end of an older handshake is nothing to a newer order.
	end = permit("again.example.com")
	orders.Begin("again.example.com")
	orders.Obtained("again.example.com", false)
	defer permit("again.example.com")()
	end()
	time.Sleep(10 * time.Millisecond)
	underWay(1)
}

func TestAnOrderThatTurnsUpIsHeldToTheRules(t *testing.T) {
	orders, clock := newTestOrders(Limits{Cooldown: time.Minute, MaxOrders: 32, MaxOrdersPerDomain: 2})
	begun := 0
	for n := range 20 {
		name := fmt.Sprintf("n%d.example.com", n)
		if err := orders.PermitUnsure(name, nil); err != nil {
			t.Fatal(err)
		}
		if orders.Begin(name) {
			begun++
		}
	}
	if counts := orders.Counts(); begun != 2 || counts.UnderWay != 2 || counts.Refused[RuleMaxOrdersPerDomain] != 18 {
		t.Errorf("%d have begun: %+v", begun, counts)
	}
	if _ = orders.PermitUnsure("a.example.net", errors.New("it does not point here")); orders.Begin("a.example.net") {
		t.Error("an objection counts for nothing")
	}
	// Places that were lost to others meanwhile are not there any more.
	for _, name := range []string{"a.example.org", "b.example.org"} {
		if err := orders.Permit(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	clock.now = clock.now.Add(reservation)
	for _, name := range []string{"c.example.org", "d.example.org"} {
		if err := orders.Permit(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if orders.Begin("a.example.org") || visit(orders, "b.example.org", nil) != RuleMaxOrdersPerDomain {
		t.Error("more than two of a domain")
	}
	if !orders.Begin("c.example.org") || orders.Counts().UnderWay != 4 {
		t.Errorf("%+v", orders.Counts())
	}
}

func TestManyUnsureNamesAreNotWalkedByEachHandshake(t *testing.T) {
	orders, clock := newTestOrders(usual)
	if err := orders.PermitUnsure("a.example.com", errors.New("it does not point here")); err != nil {
		t.Fatal(err)
	}
	clock.now = clock.now.Add(longestOrder - time.Second)
	orders.Counts() // sweeps
	clock.now = clock.now.Add(time.Second)
	if err := orders.Check("b.example.com"); err != nil || len(orders.unsure) != 1 {
		t.Errorf("%v, %d unsure names", err, len(orders.unsure))
	}
	if !orders.Begin("a.example.com") {
		t.Error("an objection outlives its handshake")
	}
	_ = orders.PermitUnsure("c.example.com", nil)
	clock.now = clock.now.Add(longestOrder)
	if orders.Counts(); len(orders.unsure) > 0 {
		t.Error("it is remembered for good")
	}
}
