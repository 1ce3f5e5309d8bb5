package page

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
)

// The page on a real Caddy: what it shows is so, and what it does is done.

const writable = "cached_http_api {\n\t\twrite\n\t}"

// Each list has the names that handshakes have put there, for each of two caches, and the facts are the certificate's.
func TestCaddyShowsWhatIsTrue(t *testing.T) {
	t.Parallel()
	c := startCaddy(t, writable)
	fine, stale := c.gives("fine.example.com", "s-maxage=3600"), c.gives("stale.example.com", "s-maxage=1")
	c.backend.Answer("broken.example.com", testbackend.Status(http.StatusTeapot))
	c.serves("fine.example.com", fine)
	c.serves("stale.example.com", stale)
	c.refuses("broken.example.com")
	c.refuses("nobody.example.com")
	if _, err := c.handshake(otherName); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)

	b := openTab(t, c.url(), "")
	b.awaitText(".cache.chosen .backend", c.backend.URL()) // the one in trouble
	b.awaitText(".cache.chosen", "1 name failing")
	b.awaitText(".cache.chosen", "2 certificates")
	for list, wanted := range map[string]string{
		"failing": "broken.example.com", "stale": "stale.example.com", "negative": "nobody.example.com", "expired": "",
		"memory": "fine.example.com stale.example.com", "ending": "fine.example.com stale.example.com",
		"disk": "fine.example.com stale.example.com",
	} {
		b.choose("list", list)
		b.await(fmt.Sprintf("document.querySelector('#list').className === %s && document.querySelector('#list').ariaBusy === 'false'", quote(list)))
		names := b.names()
		slices.Sort(names)
		if got := strings.Join(names, " "); got != wanted {
			t.Errorf("%s: %s", list, got)
		}
		if list == "failing" {
			b.awaitText("#list", "418")
		}
	}

	b.press("/")
	b.press("fine.example.com\r")
	leaf, err := c.handshake("fine.example.com")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(leaf.Raw)
	for _, text := range []string{
		"ECDSA P-256", "fresh", "in memory and on disk", strings.ToUpper(hex.EncodeToString(leaf.SerialNumber.Bytes())),
		hex.EncodeToString(digest[:]), leaf.Issuer.String(), leaf.NotAfter.Format("2006-01-02 15:04"), "in 59 min",
	} {
		b.awaitText("#certificates", text)
	}

	b.do(chromedp.Navigate(c.url() + "#list=memory"))
	b.await("document.querySelectorAll('input[name=cache]').length === 2")
	b.do(chromedp.Click(chromedp.CSS(".cache:not(.chosen)")))
	b.awaitText(".cache.chosen .backend", "http://localhost:")
	b.awaitText("#note", "1 name.")
	if names := b.names(); !slices.Equal(names, []string{otherName}) {
		t.Errorf("of the other cache: %v", names)
	}
}

// A key has leaked: what the page purges is gone, and the next handshake has what the backend sends now.
func TestCaddyPurges(t *testing.T) {
	t.Parallel()
	const name = "leaked.example.com"
	c := startCaddy(t, writable)
	leaked := c.gives(name, "s-maxage=86400")
	c.serves(name, leaked)
	b := openTab(t, c.url(), "#name="+name)
	b.awaitText("#certificates", "in memory and on disk")
	replaced := c.gives(name, "s-maxage=86400")
	c.serves(name, leaked) // nobody has said anything yet
	b.click("#purge")
	b.awaitText("#confirm-title", "Purge "+name+"?")
	b.click("#confirm-purge")
	b.awaitText("#outcome", "Purged.")
	b.awaitText("#facts", "Nothing is known of this name here.")
	c.serves(name, replaced)
	digest := sha256.Sum256(replaced.Chain[0])
	b.awaitText("#certificates", hex.EncodeToString(digest[:]))
}

// What came of a refresh is said as it is, and handshakes agree.
func TestCaddyRefreshes(t *testing.T) {
	t.Parallel()
	const name = "shop.example.com"
	c := startCaddy(t, writable)
	first := c.gives(name, "s-maxage=86400")
	c.serves(name, first)
	b := openTab(t, c.url(), "#name="+name)
	b.awaitText("#certificates", "ECDSA")
	refresh := func(wanted string) {
		t.Helper()
		b.click("#refresh")
		b.awaitText("#outcome", wanted)
		b.await("document.querySelector('#refresh').ariaDisabled === 'false'")
	}

	second := c.gives(name, "s-maxage=86400")
	c.backend.Answer(name, func(response http.ResponseWriter, request *http.Request, name string) {
		response.Header().Set("ETag", `"second"`)
		if request.Header.Get("If-None-Match") == `"second"` {
			response.WriteHeader(http.StatusNotModified)
			return
		}
		testbackend.Text(second.PEM(), "s-maxage=86400")(response, request, name)
	})
	refresh("The backend sent a certificate.")
	c.serves(name, second)
	refresh("The backend says that what is held is right.")
	c.backend.Answer(name, testbackend.Status(http.StatusTeapot))
	refresh("Not refreshed; what is held is served as before.")
	b.awaitText("#outcome", "418")
	b.awaitText("#state", "Failing since")
	c.serves(name, second)

	c.backend.Answer(name, testbackend.Status(http.StatusNoContent))
	refresh("The backend has no certificate for it.")
	b.awaitText("#state", "Unknown.")
	c.refuses(name)

	// A reload takes what is under way with it; the page says so, and goes on.
	c.backend.Answer(name, testbackend.Hang())
	asked := c.backend.Count(name)
	b.click("#refresh")
	b.awaitText("#outcome", "Asking the backend…")
	for end := time.Now().Add(patience); c.backend.Count(name) == asked; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the backend is not asked")
		}
	}
	c.reload()
	b.awaitText("#outcome", "Not refreshed. Not available (503: the configuration was reloaded or stopped before this was done; try again")
	b.await("document.querySelector('#trouble').hidden")
}

// Without write there is no button, and what a visitor's script asks for is refused.
func TestCaddyReadOnly(t *testing.T) {
	t.Parallel()
	const name = "shop.example.com"
	c := startCaddy(t, "cached_http_api")
	held := c.gives(name, "s-maxage=86400")
	c.serves(name, held)
	c.gives(name, "s-maxage=86400")
	b := openTab(t, c.url(), "#name="+name)
	b.awaitText("#certificates", "ECDSA")
	b.awaitText("header", "read-only")
	if count := value[int](b, "document.querySelectorAll('dialog, #actions, #purge, #refresh').length"); count != 0 {
		t.Errorf("%d elements to change something", count)
	}
	for _, path := range []string{"purge", "refresh", "prefetch"} {
		value[string](b, fmt.Sprintf(`window.status = '', fetch('./%s', {
			method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"names": ["shop.example.com"]}',
		}).then(async (answer) => { window.status = answer.status + await answer.text(); }), ''`, path))
		b.await(`window.status.startsWith("403{\"error\":\"read-only")`)
	}
	c.serves(name, held)
}

// Behind basic_auth, and below a path that Caddy takes away. A login in the address is no hindrance.
func TestCaddyGuards(t *testing.T) {
	t.Parallel()
	const name = "shop.example.com"
	const hash = "$2a$04$Jz2soBwqZgTKQxsAL1GgBerh52OMyqt92B6GlfVLPRsOC6l57DbTC" // of "a test", quickly checked
	c := startCaddy(t, "basic_auth {", "\toperator "+hash, "}",
		"handle_path /ops/* {", "\t"+writable, "}", `respond "something else"`)
	c.serves(name, c.gives(name, "s-maxage=86400"))
	b := newTab(t, c.url())
	if err := chromedp.Do(b.ctx, chromedp.Navigate(c.url()+"ops/")); err == nil {
		t.Error("the page is shown without a login")
	}

	b = newTab(t, c.url()) // clicks miss where an error page was
	b.do(chromedp.Navigate(strings.Replace(c.url(), "//", "//operator:a%20test@", 1) + "ops/#name=" + name))
	b.awaitText("#certificates", "ECDSA")
	replaced := c.gives(name, "s-maxage=86400")
	b.click("#purge")
	b.click("#confirm-purge")
	b.awaitText("#outcome", "Purged.")
	c.serves(name, replaced)
	b.click("#refresh")
	b.awaitText("#outcome", "The backend sent a certificate.")
	b.click("#close")
	b.choose("list", "memory")
	b.awaitText("#note", "1 name.")
	b.click("#list tbody a")
	b.awaitText("#certificates", "ECDSA")
	if path := value[string](b, "location.pathname"); path != "/ops/" {
		t.Errorf("at %s", path)
	}
}
