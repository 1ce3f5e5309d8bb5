package page

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// Purge asks first, both say what came of it, and an error is said, too.
func TestWrites(t *testing.T) {
	t.Parallel()
	f := startFake(t, true, newCache("00c0ffee", served("shop.example", 50*day), failing(served("sick.example", 50*day), time.Hour, "backend: 500")))
	b := openTab(t, f.URL, "#list=memory&name=shop.example")
	b.awaitText("#certificates", "ECDSA")
	b.click("#refresh")
	b.awaitText("#outcome", "The backend sent a certificate.")

	b.click("#purge")
	b.awaitText("#confirm-title", "Purge shop.example?")
	b.click("#keep")
	b.await("!document.querySelector('dialog').open")
	if f.asked("POST /purge") != 0 {
		t.Error("purged without a yes")
	}
	f.change(func() {
		f.fault = func(response http.ResponseWriter, _ *http.Request) {
			problem(response, http.StatusForbidden, "read-only: add 'write'")
		}
	})
	b.click("#purge")
	b.click("#confirm-purge")
	b.awaitText("#confirm-error", "Not known to be purged. The server does not let us ask (403: read-only: add 'write').")
	f.change(func() { f.fault = nil })
	b.click("#confirm-purge")
	b.awaitText("#outcome", "Purged. The next handshake asks the backend.")
	b.awaitText("#facts", "Nothing is known of this name here.")
	b.await("document.querySelectorAll('#list tbody tr').length === 1")

	// What came of one name is not said of another.
	b.click("#list tbody a")
	b.awaitText("#facts-name", "sick.example")
	b.await("document.querySelector('#outcome').textContent === ''")
	b.click("#refresh")
	b.awaitText("#outcome", "Not refreshed; what is held is served as before. backend: 500")
	b.click("#purge")
	b.click("#confirm-purge")
	b.awaitText("#outcome", "Purged.")
	b.click("#purge")
	b.click("#confirm-purge")
	b.awaitText("#outcome", "Nothing was held of it.")
}

// An answer that ends with an error, or too early, is not taken for a refresh; what came before is.
func TestRefreshThatEndsEarly(t *testing.T) {
	t.Parallel()
	f := startFake(t, true, newCache("00c0ffee", served("shop.example", 50*day)))
	b := openTab(t, f.URL, "#name=shop.example")
	b.awaitText("#certificates", "ECDSA")
	const found, broken = `{"name":"shop.example","outcome":"found"}`, `{"error":"the configuration was reloaded; try again"}`
	for _, test := range []struct{ answer, says string }{
		{broken, "Not refreshed. The service says: the configuration was reloaded; try again"},
		{"", "Not refreshed. The answer was cut off."},
		{found + "\n" + broken, "The backend sent a certificate."},
		{found[:20], "Not refreshed. The answer makes no sense"},
	} {
		f.change(func() {
			f.fault = func(response http.ResponseWriter, request *http.Request) {
				if request.Method != http.MethodPost {
					f.service.ServeHTTP(response, request)
					return
				}
				response.Header().Set("Content-Type", "application/x-ndjson")
				_, _ = fmt.Fprintln(response, test.answer)
			}
		})
		b.click("#refresh")
		b.awaitText("#outcome", test.says)
	}
}
