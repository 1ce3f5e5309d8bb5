package page

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The whole way by keyboard: to the search, through the list, into a name, to its purge, and back.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	shop, other := realisticCaches()
	f := startFake(t, true, shop, other)
	b := openTab(t, f.URL, "#cache="+shop.id+"&list=memory")
	b.awaitText("#note", "34 names.")
	at := func(wanted string) {
		t.Helper()
		b.await("document.activeElement.matches(" + quote(wanted) + ")")
		if outline := value[string](b, `(() => {
			const at = document.activeElement;
			const ring = at.matches('[name=cache]') ? at.closest('label') : at.matches('[name=list]') ? at.nextElementSibling : at;
			return getComputedStyle(ring).outlineStyle + ' ' + getComputedStyle(ring).outlineWidth;
		})()`); outline != "solid 2px" {
			t.Errorf("%s: the focus is seen as %s", wanted, outline)
		}
	}
	// Each group of radio buttons is one stop.
	for _, stop := range []string{"[name=cache]", "#prefix", "#search button", "[name=list]", "#list tbody tr:first-child a"} {
		b.press(kb.Tab)
		at(stop)
	}
	b.press(kb.Tab, kb.ModifierShift)
	b.press(kb.ArrowRight)
	b.awaitText("#note", "names.")
	b.await("document.querySelector('#lists :checked').value === 'disk'")
	b.press(kb.ArrowLeft)
	b.await("document.querySelector('#lists :checked').value === 'memory'")

	b.press("/")
	at("#prefix")
	b.press("shop.")
	b.awaitText("#note", "7 names.")
	b.press(kb.ArrowDown)
	b.press(kb.ArrowDown)
	b.press(kb.ArrowUp)
	b.press(kb.ArrowDown)
	at("#list tbody tr:nth-child(2) a")
	b.press(kb.Enter)
	at("#facts-name")
	b.awaitText("#facts", "ECDSA")
	for _, stop := range []string{"#close", "#refresh", "#purge"} {
		b.press(kb.Tab)
		at(stop)
	}
	b.press(kb.Enter)
	at("#keep")
	b.press("/") // no way out of a dialog
	at("#keep")
	b.press(kb.Escape)
	at("#purge")
	b.press(" ")
	at("#keep")
	b.press(kb.Tab)
	at("#confirm-purge")
	b.press(kb.Enter)
	b.awaitText("#outcome", "Purged.")
	at("#purge")
	b.press(kb.Escape)
	b.await("document.querySelector('#facts').hidden")
	b.awaitText("#note", "6 names.")
	b.await("document.activeElement.matches('#list tbody a, #prefix')")
	b.press("/")
	b.press(kb.Escape)
	b.awaitText("#note", "33 names.")
}

// Whoever hears the page hears a name for everything that can be used, and what has come of it.
func TestScreenReader(t *testing.T) {
	t.Parallel()
	shop, other := realisticCaches()
	f := startFake(t, true, shop, other)
	b := openTab(t, f.URL, "#cache="+shop.id+"&list=failing&name=checkout.harbourcoffee.example")
	b.awaitText("#certificates", "ECDSA")
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil {
			continue
		}
		role, name := text(node.Role), text(node.Name)
		switch role {
		case "button", "link", "searchbox", "radio", "meter", "heading", "table", "status", "alert", "group", "radiogroup":
			found[role] = append(found[role], name)
		}
	}
	for role, names := range found {
		for _, name := range names {
			if name == "" && role != "status" && role != "alert" && role != "table" {
				t.Errorf("a %s has no name", role)
			}
		}
	}
	for role, wanted := range map[string]string{
		"button": "Look up|Refresh|Purge…", "searchbox": "Name, or its beginning", "meter": "Memory: 108 MiB of 256 MiB",
		"heading": "cached_http|checkout.harbourcoffee.example", "link": "Close|www.lindqvist-keramik.example",
		"radio": "Failing 7|Ending soon",
	} {
		for name := range strings.SplitSeq(wanted, "|") {
			if !strings.Contains("\n"+strings.Join(found[role], "\n")+"\n", "\n"+name+"\n") {
				t.Errorf("no %s %q among %q", role, name, found[role])
			}
		}
	}
	if len(found["status"]) < 2 {
		t.Errorf("%d live regions", len(found["status"]))
	}
}

func text(said *accessibility.Value) (text string) {
	if said != nil {
		_ = json.Unmarshal(said.Value, &text)
	}
	return text
}

// Light and dark: each text stands out from its ground by 4.5 to 1 at least.
func TestContrast(t *testing.T) {
	t.Parallel()
	shop, other := realisticCaches()
	f := startFake(t, true, shop, other)
	grounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		b := openTab(t, f.URL, "#cache="+shop.id+"&list=failing&name=checkout.harbourcoffee.example")
		b.media("prefers-color-scheme", scheme)
		b.awaitText("#certificates", "ECDSA")
		grounds[scheme] = value[string](b, "getComputedStyle(document.body).backgroundColor")
		f.change(func() { f.fault = status(http.StatusForbidden, "not you") })
		b.choose("list", "stale") // asks at once
		b.awaitText("#trouble", "not you")
		b.click("#purge")
		for _, faint := range value[[]string](b, faintTexts) {
			t.Errorf("%s: %s", scheme, faint)
		}
		f.change(func() { f.fault = nil })
	}
	if grounds["light"] == grounds["dark"] {
		t.Errorf("both are on %s", grounds["light"])
	}
}

// faintTexts lists texts whose contrast is below 4.5, as WCAG 2.2 computes it. What can't be used now may be fainter.
const faintTexts = `(() => {
	const rgb = (color) => color.match(/[\d.]+/g).map(Number);
	const light = (color) => {
		const [r, g, b] = rgb(color).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ground = (element) => {
		for (let at = element; at; at = at.parentElement) {
			const color = getComputedStyle(at).backgroundColor;
			if (rgb(color)[3] !== 0) return color;
		}
	};
	const faint = [];
	for (const element of document.querySelectorAll('body *')) {
		const own = [...element.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
		if (!own || !element.checkVisibility() || element.disabled) continue;
		const [one, other] = [light(getComputedStyle(element).color), light(ground(element))];
		const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
		if (contrast < 4.5) faint.push(contrast.toFixed(2) + ' ' + element.outerHTML.slice(0, 120));
	}
	return faint;
})()`

// From 360 pixels on, the page never scrolls sideways, whatever the names and errors are.
func TestNarrow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(strings.Repeat("l", 63)+".", 3) + strings.Repeat("l", 61)
	cache := newCache("00c0ffee", failing(served(long, 30*time.Hour), time.Hour, strings.Repeat("x", 500)), served("shop.example", 50*day))
	cache.backend, cache.cacheDir = "https://app.internal/"+strings.Repeat("b", 300), "/"+strings.Repeat("d", 300)
	other := newCache("00decade")
	f := startFake(t, true, cache, other)
	for _, fragment := range []string{"#list=failing", "#list=memory", "#name=unknown.example", "#list=memory&name=" + long} {
		b := openTab(t, f.URL, fragment)
		b.await("document.querySelector('#list tbody tr')")
		if strings.HasSuffix(fragment, long) {
			b.awaitText("#certificates", "ECDSA")
			b.click("#purge")
			b.await("document.querySelector('dialog').open")
		}
		for _, width := range []int64{360, 620, 861, 1100, 1500} {
			b.size(width, 740)
			if got := value[int64](b, "document.documentElement.scrollWidth"); got > width {
				t.Errorf("%.40s at %d: %d wide", fragment, width, got)
			}
			if wide := value[string](b, beyondTheEdge); wide != "" {
				t.Errorf("%.40s at %d: beyond the edge: %s", fragment, width, wide)
			}
		}
	}
}

const beyondTheEdge = `[...document.querySelectorAll('body *')]
	.filter((at) => at.checkVisibility() && !at.closest('.unseen') && at.getBoundingClientRect().right > innerWidth + 1)
	.map((at) => at.outerHTML.slice(0, 80)).join('; ')`

// Who wants no motion gets none.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	f := startFake(t, true, newCache("00c0ffee", served("shop.example", 50*day)))
	b := openTab(t, f.URL, "")
	b.media("prefers-reduced-motion", "reduce")
	b.awaitText("#list", "shop.example")
	moving := value[int](b, `[...document.querySelectorAll('*')].filter((at) => {
		const style = getComputedStyle(at);
		return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0 || style.scrollBehavior === 'smooth';
	}).length`)
	if moving != 0 {
		t.Errorf("%d elements move", moving)
	}
}
