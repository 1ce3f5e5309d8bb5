package page

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const patience = 15 * time.Second

var login = regexp.MustCompile(`//[^/]*@`)

// tab is a browser window of its own on one site. When the test ends, it has asked nobody else, and the console is empty.
type tab struct {
	t    *testing.T
	ctx  context.Context
	site string

	mutex sync.Mutex
	wrong []string // errors of the console, requests that went elsewhere
}

// openTab opens the page at a site's URL, with a fragment or without.
func openTab(t *testing.T, site, fragment string) *tab {
	t.Helper()
	b := newTab(t, site)
	b.do(chromedp.Navigate(site + fragment))
	return b
}

func newTab(t *testing.T, site string) *tab {
	t.Helper()
	needBrowser(t)
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	b := &tab{t: t, ctx: ctx, site: site}
	if err := chromedp.Listen(ctx, b.watch); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mutex.Lock()
		defer b.mutex.Unlock()
		for _, text := range b.wrong {
			t.Error(text)
		}
	})
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	b.size(1280, 800)
	return b
}

// watch notes what a page must not do. That an answer is 404 or cut off is the test's own doing.
func (b *tab) watch(event any) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		// A redirect is told before the page decides that it does not follow.
		if event.RedirectResponse == nil && !strings.HasPrefix(login.ReplaceAllString(event.Request.URL, "//"), b.site) && !strings.HasPrefix(event.Request.URL, "data:") {
			b.wrong = append(b.wrong, "the page asks "+event.Request.URL)
		}
	case *log.EventEntryAdded:
		if event.Entry.Source != log.EntrySourceNetwork {
			b.wrong = append(b.wrong, fmt.Sprintf("log: %s: %s", event.Entry.Source, event.Entry.Text))
		}
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, "exception: "+event.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		b.wrong = append(b.wrong, "console: "+string(event.Type))
	}
}

func needBrowser(t *testing.T) {
	t.Helper()
	if browser == nil {
		t.Skip("no Chromium")
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// value is what a JavaScript expression gives.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	result, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// await waits until an expression is true.
func (b *tab) await(expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); !value[bool](b, "(() => { try { return Boolean("+expression+"); } catch { return false; } })()"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("still not: %s\nthe page says:\n%s", expression, value[string](b, "document.body.innerText"))
		}
	}
}

// awaitText waits until an element, found by CSS, says this.
func (b *tab) awaitText(selector, text string) {
	b.t.Helper()
	b.await(fmt.Sprintf("(document.querySelector(%s)?.innerText ?? '').includes(%s)", quote(selector), quote(text)))
}

// names are those of the list, in order.
func (b *tab) names() []string {
	b.t.Helper()
	return value[[]string](b, "[...document.querySelectorAll('#list tbody tr')].map((row) => row.dataset.name)")
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// press types keys as a keyboard does: what a page makes of a key going down decides whether it also writes something.
func (b *tab) press(keys string, modifiers ...kb.Modifier) {
	b.t.Helper()
	for _, key := range keys {
		events := kb.Encode(key)
		down, up := *events[0], *events[len(events)-1]
		if len(events) == 3 {
			down.Text, down.UnmodifiedText = events[1].Text, events[1].UnmodifiedText
		}
		for _, event := range []input.DispatchKeyEventParams{down, up} {
			chromedp.KeyModifiers(modifiers...)(&event)
			if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, event); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// focus is where the keyboard is: an id, or else the element's text or value.
func (b *tab) focus() string {
	b.t.Helper()
	return value[string](b, `(() => {
		const at = document.activeElement;
		return at.id || at.value || at.innerText || at.tagName;
	})()`)
}

func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// media sets a media feature, as prefers-color-scheme.
func (b *tab) media(feature, value string) {
	b.t.Helper()
	features := []*emulation.MediaFeature{{Name: feature, Value: value}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		b.t.Fatal(err)
	}
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(quoted)
}
