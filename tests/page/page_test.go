package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

// The page shows what the service says: the caches, and each list with its columns.
func TestCachesAndLists(t *testing.T) {
	t.Parallel()
	shop, other := realisticCaches()
	f := startFake(t, false, shop, other)
	b := openTab(t, f.URL, "")
	for _, text := range []string{
		"https://app.internal/certificates", "Breaker open", "7 names failing", "108 MiB of 256 MiB", "48,211 certificates",
		"242 MiB of 4 GiB", "61,904 certificates", "4,318", "up to 512", "in 20 h", "in 1 d", "No name failing",
	} {
		b.awaitText("#caches", text)
	}
	if got := value[float64](b, "document.querySelector('meter').value / document.querySelector('meter').max"); got < 0.42 || got > 0.43 {
		t.Errorf("the meter of memory is at %v", got)
	}
	if title := value[string](b, "document.title"); !strings.HasPrefix(title, "Breaker open") {
		t.Errorf("title %q", title)
	}

	// What fails is shown first, since when and why.
	b.awaitText("#list", "37 min ago")
	b.awaitText("#list", "500 Internal Server Error")
	if names := b.names(); len(names) != 7 || names[1] != "checkout.harbourcoffee.example" {
		t.Errorf("failing: %v", names)
	}
	b.choose("list", "ending")
	b.await("document.querySelector('#list.ending tbody tr').dataset.name === 'checkout.harbourcoffee.example'")
	b.awaitText("#list .soon", "in 1 d")
	b.choose("list", "negative")
	b.await("document.querySelectorAll('#list.negative tbody tr').length === 3")
	b.choose("list", "stale")
	b.await("document.querySelectorAll('#list.stale tbody tr').length === 5")
	b.choose("list", "expired")
	b.awaitText("#note", "No certificate in memory is past its use.")
	b.choose("list", "memory")
	b.awaitText("#note", "34 names.")
	f.change(func() { shop.counters.BreakerIsOpen = false })

	// The other cache, which is in memory only.
	b.choose("cache", other.id)
	b.awaitText("#note", "2 names.")
	if names := b.names(); !slices.Equal(names, []string{"docs.example", "status.example"}) {
		t.Errorf("names of the other cache: %v", names)
	}
	b.await("document.querySelector('#lists .disk').hidden")

	// Of several caches, one in trouble is looked at first; a link to one that is gone says so.
	b.do(chromedp.Navigate(f.URL + "#cache=deadbeef"))
	b.awaitText("#stray", "not running here")
	b.await("document.querySelector('.cache.chosen .backend').textContent === 'https://app.internal/certificates'")
	b.awaitText(".cache.chosen .how", "7 names failing")
	b.await("document.title === '7 failing – cached_http'")
	b.choose("list", "ending")
	b.await("document.querySelector('#stray').hidden")
}

// How far off a time is, is the server's to say: the clock of a laptop may be wrong.
func TestServerClock(t *testing.T) {
	t.Parallel()
	f := startFake(t, false, newCache("00c0ffee", served("shop.example", 50*time.Hour)))
	right := f.handler
	late := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("Date", time.Now().Add(20*time.Hour).UTC().Format(http.TimeFormat))
		right.ServeHTTP(response, request)
	}))
	t.Cleanup(late.Close)
	openTab(t, f.URL, "#list=ending").awaitText("#list", "in 2 d 1 h")
	openTab(t, late.URL+"/", "#list=ending").awaitText("#list", "in 1 d 5 h")
}

// choose clicks a radio button's label.
func (b *tab) choose(group, value string) {
	b.t.Helper()
	b.await(fmt.Sprintf("document.querySelector('input[name=%s][value=\"%s\"]')", group, value))
	b.do(chromedp.Click(chromedp.JSPath(fmt.Sprintf(`document.querySelector('input[name=%s][value="%s"]').parentNode`, group, value))))
}

// A million names: pages of fifty, search by the beginning, and a search for what is rare.
func TestManyNames(t *testing.T) {
	t.Parallel()
	names := many(1_000_000)
	names[4_321] = failing(names[4_321], time.Minute, "no")
	names[999_999] = denied(names[999_999].Name)
	f := startFake(t, false, newCache("00c0ffee", names...))
	b := openTab(t, f.URL, "#list=memory")
	b.awaitText("#note", "The first 50 of 999,999 names.")
	first := b.names()
	b.click("#next")
	b.awaitText("#page-number", "Page 2")
	b.await("document.querySelector('#list tbody tr').dataset.name === 'n0000050.example'")
	b.await("!document.querySelector('#previous').disabled")
	b.click("#previous")
	b.awaitText("#page-number", "Page 1")
	b.await("document.querySelector('#list tbody tr').dataset.name === 'n0000000.example'")
	if again := b.names(); !slices.Equal(again, first) || len(first) != 50 {
		t.Errorf("the first page has %d names, and again %d", len(first), len(again))
	}

	b.click("#prefix")
	b.press("N09999")
	b.await("document.querySelector('#list tbody tr').dataset.name === 'n0999900.example'")
	b.press("99.")
	b.awaitText("#note", "None begins with “n0999999.”")
	b.choose("list", "negative")
	b.await("document.querySelectorAll('#list tbody tr').length === 1")

	// A failing name among thousands that don't: pages of the service are empty, and yet go on.
	b.choose("list", "failing")
	b.click("#prefix")
	b.press(kb.Escape)
	b.press("n")
	b.await("document.querySelector('#list tbody tr')?.dataset.name === 'n0004321.example'")
	b.click("#next")
	b.awaitText("#note", "None found so far; the search goes on with the next page.")
}

// All facts of a name, by a link that somebody sent; the way back and forth.
func TestFacts(t *testing.T) {
	t.Parallel()
	full := stale(served("shop.example", 40*time.Hour))
	full.Entries[0].DNSNames = []string{"a.example", "b.example", "c.example", "d.example", "shop.example"}
	old := served("shop.example", -time.Hour).Entries[0]
	old.KeyType, old.State, old.In, old.StaleUntil = "RSA 2048", store.StateExpired, []string{"disk"}, nil
	full.Entries = append(full.Entries, old)
	full = failing(full, 12*time.Minute, "backend: 500")
	gone := denied("gone.example")
	gone.UnsupportedUntil = gone.NegativeUntil
	f := startFake(t, false, newCache("00c0ffee", full, gone))

	b := openTab(t, f.URL, "#name=shop.example")
	for _, text := range []string{
		"shop.example", "Failing since", "12 min ago", "backend: 500", "Next try", "Its certificate is served meanwhile.",
		"ECDSA P-256", "stale", "CN=E7,O=Let's Encrypt,C=US", "5 names", "in memory and on disk", "04a1f20c9be7d1135c80",
		full.Entries[0].NotAfter.Format("2006-01-02 15:04") + " (in 1 d 15 h)", "Fresh until", "Served until", "RSA 2048", "expired", "1 h ago",
	} {
		b.awaitText("#facts", text)
	}
	b.press("/")
	b.press("gone.example" + kb.Enter)
	b.awaitText("#facts", "Unknown. The backend has no certificate for it")
	b.awaitText("#facts", "turned away, without asking")
	if focus := b.focus(); focus != "facts-name" {
		t.Errorf("the focus is at %s", focus)
	}
	b.do(chromedp.NavigateBack())
	b.awaitText("#facts", "ECDSA P-256")
	b.press("/")
	b.press("other.example" + kb.Enter)
	b.awaitText("#facts", "Nothing is known of this name here.")
	b.press("/")
	b.press("no name!" + kb.Enter)
	b.awaitText("#facts-name", "no name!")
	b.awaitText("#facts", "server name")
	b.press("/")
	b.press(".." + kb.Enter)
	b.awaitText("#facts", "That is no name.")
	b.click("#close")
	b.await("document.querySelector('#facts').hidden")
}

// Names and texts come from strangers: they are text, whatever they look like.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	const markup = `<img/src=x/onerror=alert(1)><script>alert(1)</script>`
	long := strings.Repeat(strings.Repeat("l", 63)+".", 3) + strings.Repeat("l", 61)
	hostile := failing(served(markup, 50*day), time.Hour, markup+"\u202e\u0000 reversed")
	hostile.Entries[0].Issuer, hostile.Entries[0].DNSNames = markup, []string{markup, "\u202eelpmaxe"}
	cache := newCache("00c0ffee", hostile, served(long, 50*day), served("xn--mnchen-3ya.example", 50*day),
		served("xn--80ak6aa92e.example", 50*day), served("xn--a-0a0a0a0a0a.example", 50*day), served("xn---.example", 50*day))
	cache.backend, cache.cacheDir = "https://"+markup, markup
	f := startFake(t, true, cache)
	b := openTab(t, f.URL, "#list=memory&name="+markup)
	b.awaitText("#facts-name", markup)
	b.awaitText("#state .error", `alert(1)</script>\u{202e}\u{0} reversed`)
	b.awaitText("#certificates", `\u{202e}elpmaxe`)
	b.awaitText("#caches", markup)
	b.awaitText("#list", markup)
	b.awaitText("#list", "xn--mnchen-3ya.example münchen.example")
	b.awaitText("#list", "xn--80ak6aa92e.example аррӏе.example") // Cyrillic: never without its A-label
	b.click("#purge")
	b.awaitText("#confirm-title", markup)
	if count := value[int](b, "document.querySelectorAll('img, script:not([src])').length"); count != 0 {
		t.Errorf("%d elements out of a text", count)
	}
	for _, name := range b.names() {
		shown := value[string](b, fmt.Sprintf("[...document.querySelectorAll('#list tbody tr')].find((row) => row.dataset.name === %s).cells[0].textContent", quote(name)))
		if !strings.HasPrefix(shown, name) || (strings.HasPrefix(name, "xn--a-") || strings.HasPrefix(name, "xn---")) && shown != name {
			t.Errorf("%s is shown as %s", name, shown)
		}
	}

	// A name in another script is searched as it travels.
	b.press(kb.Escape)
	b.click("#prefix")
	b.do(chromedp.SendKeys(chromedp.CSS("#prefix"), "münchen.ex"))
	b.awaitText("#note", "Asked for as xn--mnchen-3ya.ex")
	b.press(kb.Enter)
	b.awaitText("#facts", "Nothing is known")
}
