package operate_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// What Caddy's own orders came to is shown whatever the cache knows, and a purge forgets it, here and in a fleet.
func TestFailedOrdersAreShownAndForgotten(t *testing.T) {
	orders, err := issuance.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuance.Close() })
	orders.Serve(orders.Claim(issuance.Limits{Cooldown: time.Hour, MaxOrders: 10, MaxOrdersPerDomain: 10}))
	fail := func(name string) {
		t.Helper()
		if err := orders.Permit(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		orders.Failed(name, issuance.Failure{Problem: "dns: no such host"})
	}
	fail("a.example.com")
	fail("xn--bcher-kva.example")
	cache := newFake("11111111")
	cache.isDistributed = true
	subject := issuance.Subjects("a.example.com")[0]
	cache.texts.Store(subject, orders.Notes("a.example.com")[subject])
	service := serviceOver(cache)
	for _, name := range []string{"A.example.com", "bücher.example"} {
		status, text, _ := ask(service, "GET", "/names/"+name, "")
		if status != http.StatusOK || !strings.Contains(text, `"last_problem":"dns: no such host"`) || !strings.Contains(text, `"cooldown_until"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, text, _ := ask(service, "POST", "/purge", `{"names": ["A.example.com"]}`); status != http.StatusOK {
		t.Error(status, text)
	}
	if err := orders.Permit(t.Context(), "a.example.com"); err != nil {
		t.Error("after a purge:", err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		text, _ := cache.texts.Load(subject)
		if strings.Contains(fmt.Sprint(text), "forgotten") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the fleet was told %v", text)
		}
	}
	// Without a cache, failed orders are all there is to forget.
	if status, text, _ := ask(serviceOver(), "POST", "/purge", `{"all": true}`); status != http.StatusOK || strings.TrimSpace(text) != `{"purged":1}` {
		t.Error(status, text)
	}
}
