package issuance

import (
	"fmt"
	"maps"
	"testing"
	"time"
)

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
