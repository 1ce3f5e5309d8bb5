package issuance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"
)

// clock is what the tests let pass.
type clock struct{ now time.Time }

func newTestOrders(limits Limits) (*Orders, *clock) {
	clock := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	orders := newOrders(func() time.Time { return clock.now }, func() float64 { return 0.999 }) // the shortest cooldowns
	orders.SetLimits(limits)
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

// Made-up names come once each, as fast as they will; a customer who comes again is let in before them.
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

// certmagic waits for a minute and then tries again, by itself, for as long as a handshake may take.
// A storage that is too slow to tell what it has lets nobody past the rules.
// An order that Caddy did not need, or that another event handler forbade, ends with its handshake; one that fails of the
// handshake's end counts.
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
func TestNodesOfAFleetLearnFromEachOther(t *testing.T) {
	for title, skew := range map[string]time.Duration{"the same time": 0, "one is ahead": 3 * time.Minute, "one is behind": -3 * time.Minute} {
		t.Run(title, func(t *testing.T) {
			one, clock := newTestOrders(usual)
			other, otherClock := newTestOrders(usual)
			otherClock.now = otherClock.now.Add(skew)
			storage := make(map[string]string)
			tell := func(from *Orders, name string) {
				maps.Copy(storage, from.Notes(name))
			}
			learn := func(to *Orders, name string) {
				for _, subject := range Subjects(name) {
					to.Learn(name, subject, storage[subject])
				}
			}
			names := []string{"a.example.com", "b.example.com", "c.example.com"}
			for _, name := range names {
				visit(one, name, badDNS)
				tell(one, name)
			}
			learn(other, "a.example.com")
			if rule := visit(other, "a.example.com", badDNS); rule != RuleCooldown {
				t.Errorf("%q", rule)
			}
			if learn(other, "new.example.com"); visit(other, "new.example.com", nil) != map[bool]Rule{true: RuleDomainCooldown}[skew <= 0] {
				t.Error("its domain does not cool") // a node that is ahead has let the minute pass
			}

			// One forgets what the other has found out.
			if other.IsToRelearn("a.example.com") != true || other.IsToRelearn("a.example.com") {
				t.Error("it is not looked for once")
			}
			one.Forget(names)
			for _, subject := range Subjects("a.example.com") {
				if storage[subject] != "" {
					storage[subject] = one.Forgetting(storage[subject])
				}
			}
			learn(other, "a.example.com")
			if rule := visit(other, "a.example.com", nil); rule != "" {
				t.Errorf("%q", rule)
			}
			// What storages still tell of a name that was just forgotten counts no more, and all can be forgotten at once.
			visit(other, "d.example.net", badDNS)
			tell(other, "d.example.net")
			other.Forget([]string{"d.example.net"})
			if learn(other, "d.example.net"); visit(other, "d.example.net", badDNS) != "" || other.Facts("d.example.net").Failures != 1 {
				t.Error("learnt from an old note of its own")
			}
			tell(other, "d.example.net")
			if learn(one, "d.example.net"); visit(one, "d.example.net", nil) != RuleCooldown {
				t.Error("not learnt")
			}
			if other.ForgetAll() == 0 || other.Facts("d.example.net") != nil {
				t.Error("not forgotten")
			}
			one.Learn("d.example.net", SubjectOfAll, other.Forgetting(""))
			for node, orders := range map[string]*Orders{"one": one, "other": other} {
				if learn(orders, "d.example.net"); visit(orders, "d.example.net", nil) != "" {
					t.Errorf("%s has not forgotten", node)
				}
			}
			clock.now = clock.now.Add(time.Hour)
			if learn(one, "b.example.com"); visit(one, "b.example.com", nil) != "" {
				t.Error("an old note counts")
			}
		})
	}
}

func TestNotesThatAreNoneAreNothing(t *testing.T) {
	orders, clock := newTestOrders(usual)
	far := clock.now.Add(40 * 24 * time.Hour).UnixMilli()
	for _, text := range []string{
		"", "{", `{"cools_until": "soon"}`, fmt.Sprintf(`{"failures": 1, "cools_until": %d}`, far), `{"failures": 5}`, `[1]`,
	} {
		orders.Learn("a.example.com", Subjects("a.example.com")[0], text)
	}
	if rule := visit(orders, "a.example.com", nil); rule != "" {
		t.Errorf("%q", rule)
	}
}
