package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// status answers with a status and the service's kind of error.
func status(code int, text string) http.HandlerFunc {
	return func(response http.ResponseWriter, _ *http.Request) { problem(response, code, text) }
}

// A server that does not answer as it should is named, what is shown stays and says how old it is, and the page comes back
// by itself.
func TestTrouble(t *testing.T) {
	t.Parallel()
	for title, test := range map[string]struct {
		fault http.HandlerFunc
		says  string
	}{
		"forbidden":   {status(http.StatusForbidden, "not you"), "The server does not let us ask (403: not you)."},
		"loading":     {status(http.StatusServiceUnavailable, "still loading"), "Not available (503: still loading)."},
		"no caches":   {func(response http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(response, "[]") }, "No cache is running"},
		"broken":      {status(http.StatusInternalServerError, ""), "The server failed (500"},
		"other place": {func(response http.ResponseWriter, request *http.Request) { http.NotFound(response, request) }, "The service is not here"},
		"a page": {
			func(response http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(response, "<h1>Sign in</h1>") },
			"The answer makes no sense",
		},
		"hangs": {hang, "The server does not answer (no answer within 10 s)."},
		"cut off": {func(response http.ResponseWriter, _ *http.Request) {
			response.Header().Set("Content-Length", "1000")
			_, _ = response.Write([]byte("["))
		}, "The server can’t be reached"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, true, newCache("00c0ffee", served("shop.example", 50*day)))
			b := openTab(t, f.URL, "#name=shop.example")
			b.awaitText("#certificates", "ECDSA")
			f.change(func() { f.fault = test.fault })
			b.awaitText("#trouble", test.says)
			b.awaitText("#trouble", "Next try in")
			b.awaitText("#live", "As of")
			b.awaitText("#facts", "ECDSA")
			f.change(func() { f.fault = nil })
			b.await("document.querySelector('#trouble').hidden")
			b.awaitText("#live", "Live")
		})
	}
}

// The first answer may be the wrong one, too.
func TestTroubleFromTheStart(t *testing.T) {
	t.Parallel()
	f := startFake(t, true, newCache("00c0ffee", served("shop.example", 50*day)))
	f.fault = status(http.StatusServiceUnavailable, "no cache is running")
	b := openTab(t, f.URL, "#name=shop.example")
	b.awaitText("#trouble", "no cache is running")
	b.awaitText("#live", "No answer yet")
	f.change(func() { f.fault = nil })
	b.click("#try")
	b.awaitText("#certificates", "ECDSA")
	b.await("document.querySelector('#trouble').hidden")
}

// A login that has ended is not tried again: a browser would ask for the password each time, and a guard might count.
func TestLoginIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	login := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked another server") }))
	t.Cleanup(login.Close)
	for title, fault := range map[string]http.HandlerFunc{
		"401":        status(http.StatusUnauthorized, ""),
		"redirected": http.RedirectHandler(login.URL, http.StatusFound).ServeHTTP,
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, true, newCache("00c0ffee", served("shop.example", 50*day)))
			b := openTab(t, f.URL, "")
			b.awaitText("#caches", "1 certificate")
			f.change(func() { f.fault = fault })
			b.awaitText("#trouble", "Reload the page")
			b.awaitText("#trouble", "Not tried again by itself.")
			before := f.asked("GET")
			time.Sleep(7 * time.Second)
			if after := f.asked("GET"); after != before {
				t.Errorf("asked %d times more", after-before)
			}
			f.change(func() { f.fault = nil })
			b.click("#try")
			b.await("document.querySelector('#trouble').hidden")
		})
	}
}

// However slow the service and however fast the hands: polls never overlap.
func TestPollsNeverOverlap(t *testing.T) {
	t.Parallel()
	f := startFake(t, true, newCache("00c0ffee", many(300)...))
	b := openTab(t, f.URL, "#list=memory")
	b.awaitText("#note", "The first 50")
	value[int](b, countFetches)
	slow := func(response http.ResponseWriter, request *http.Request) {
		select {
		case <-time.After(150 * time.Millisecond):
			f.service.ServeHTTP(response, request)
		case <-request.Context().Done():
		}
	}
	f.change(func() { f.fault = slow })
	for i, list := range []string{"stale", "memory", "failing", "disk", "memory", "stale", "ending"} {
		b.choose("list", list)
		b.press("/")
		b.press(fmt.Sprint("n", i))
		time.Sleep(time.Duration(i*60) * time.Millisecond)
	}
	f.change(func() { f.fault = nil })
	b.choose("list", "memory")
	b.await("document.querySelector('#trouble').hidden && document.querySelector('#list').ariaBusy === 'false'")
	if widest := value[int](b, "window.widest"); widest != 1 {
		t.Errorf("%d requests at a time", widest)
	}
}

// countFetches notes how many requests were wanted at a time: those cut off are not.
const countFetches = `(() => {
	const [ask, wanted] = [window.fetch, new Set()];
	window.fetch = (url, options) => {
		wanted.add(options.signal);
		window.widest = Math.max(window.widest, [...wanted].filter((signal) => !signal.aborted).length);
		return ask(url, options).finally(() => wanted.delete(options.signal));
	};
	return (window.widest = 0);
})()`

// A page that nobody looks at asks nothing, and is up to date at once when somebody does.
func TestPausesWhileHidden(t *testing.T) {
	t.Parallel()
	f := startFake(t, true, newCache("00c0ffee", served("shop.example", 50*day)))
	b := openTab(t, f.URL, "")
	b.awaitText("#caches", "1 certificate")
	hide := func(hidden bool) {
		value[bool](b, fmt.Sprintf(`Object.defineProperty(document, 'hidden', { configurable: true, value: %t }),
			document.dispatchEvent(new Event('visibilitychange'))`, hidden))
	}
	under := make(chan bool, 1)
	f.change(func() {
		f.fault = func(response http.ResponseWriter, _ *http.Request) {
			under <- true
			time.Sleep(300 * time.Millisecond)
			problem(response, http.StatusServiceUnavailable, "later")
		}
	})
	<-under // hidden while a poll is under way: it is the last one
	hide(true)
	b.awaitText("#trouble", "later")
	before := f.asked("GET")
	time.Sleep(7 * time.Second)
	if after := f.asked("GET"); after != before {
		t.Errorf("asked %d times while hidden", after-before)
	}
	f.change(func() { f.fault = nil })
	hide(false)
	for end := time.Now().Add(4 * time.Second); f.asked("GET") == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not asked within 4 s of being seen again")
		}
	}
}

// A poll changes what has changed, and moves nothing: the focus, the scroll position and a selection stay.
func TestPollsDisturbNothing(t *testing.T) {
	t.Parallel()
	cache := newCache("00c0ffee", many(300)...)
	f := startFake(t, true, cache)
	b := openTab(t, f.URL, "#list=memory&name=n0000003.example")
	b.awaitText("#certificates", "ECDSA")
	b.await("document.querySelectorAll('#list tbody tr').length === 50")
	value[string](b, `window.shifted = 0, new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.shifted += entry.value))
		.observe({ type: 'layout-shift' }), document.querySelectorAll('#list tbody a')[7].focus(), getSelection().selectAllChildren(document.querySelector('#facts code')),
		window.cell = document.querySelector('#list tbody td'), document.documentElement.scrollTop = 240, ''`)
	polls := f.asked("GET /caches")
	f.change(func() { cache.counters.Entries, cache.counters.EntryBytes = 987, 200<<20 })
	for end := time.Now().Add(patience); f.asked("GET /caches") < polls+2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no polls")
		}
	}
	b.awaitText("#caches", "987 certificates")
	if shifted := value[float64](b, "window.shifted"); shifted != 0 {
		t.Errorf("the layout has moved by %v", shifted)
	}
	if !value[bool](b, "window.cell.isConnected") {
		t.Error("what had not changed was made anew")
	}
	if focus := b.focus(); focus != "n0000007.example" {
		t.Errorf("the focus is at %s", focus)
	}
	if at := value[float64](b, "document.documentElement.scrollTop"); at != 240 {
		t.Errorf("scrolled to %v", at)
	}
	if selected := value[string](b, "getSelection().toString()"); !strings.HasPrefix(selected, "04a1f20c") {
		t.Errorf("selected: %q", selected)
	}
}
