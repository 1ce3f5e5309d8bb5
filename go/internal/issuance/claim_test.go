package issuance

import "testing"

func TestTheNewestConfigurationThatServesHasTheLimits(t *testing.T) {
	orders := New()
	want := func(title string, most int) {
		t.Helper()
		if orders.limits.MaxOrders != most {
			t.Errorf("%s: %d orders, want %d", title, orders.limits.MaxOrders, most)
		}
	}
	running := orders.Claim(Limits{MaxOrders: 40})
	orders.Serve(running)
	failing := orders.Claim(Limits{MaxOrders: 1})
	want("one that is only loaded", 40)
	orders.Serve(failing)
	want("one that begins to serve", 1)
	orders.Withdraw(failing)
	want("a reload that fails after that", 40)

	early, late := orders.Claim(Limits{MaxOrders: 2}), orders.Claim(Limits{MaxOrders: 3})
	orders.Serve(late)
	orders.Serve(early)
	want("one that is asked while it ends", 3)
	orders.Withdraw(running)
	orders.Withdraw(early)
	want("the others have ended", 3)
	orders.Withdraw(late)
	want("none is left", 3)
}
