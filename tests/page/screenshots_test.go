package page

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "a folder for pictures of the page")

// TestScreenshots takes pictures to look at, if it is told where to. docs/page.png is its facts-light.png.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("no -screenshots FOLDER")
	}
	shop, other := realisticCaches()
	several := startFake(t, true, shop, other)
	one := startFake(t, false, realisticCache())
	empty := startFake(t, true, newCache("00000000"))
	for name, look := range map[string]struct {
		site, fragment string
		width, height  int64
		ready          string
	}{
		"several":      {several.URL, "", 1280, 900, "#list tbody tr"},
		"facts":        {several.URL, "#list=failing&name=checkout.harbourcoffee.example", 1280, 784, "#certificates article"},
		"ending":       {one.URL, "#list=ending", 1280, 900, "#list tbody tr"},
		"denied":       {one.URL, "#list=negative", 1280, 900, "#list tbody tr"},
		"memory":       {one.URL, "#list=memory&name=xn--mnchner-backstube-22b.example", 1440, 900, "#certificates article"},
		"empty":        {empty.URL, "", 1280, 700, "#caches .cache"},
		"narrow":       {several.URL, "", 360, 740, "#list tbody tr"},
		"narrow-facts": {several.URL, "#list=failing&name=checkout.harbourcoffee.example", 360, 740, "#certificates article"},
		"tablet":       {several.URL, "#list=memory", 820, 1000, "#list tbody tr"},
	} {
		for _, scheme := range []string{"light", "dark"} {
			b := openTab(t, look.site, look.fragment)
			b.media("prefers-color-scheme", scheme)
			b.size(look.width, look.height)
			b.await("document.querySelector(" + quote(look.ready) + ")")
			b.keep(name + "-" + scheme)
		}
	}
	b := openTab(t, several.URL, "#list=failing&name=checkout.harbourcoffee.example")
	b.awaitText("#certificates", "ECDSA")
	b.click("#purge")
	b.await("document.querySelector('dialog').open")
	b.keep("dialog")
	b.click("#keep")
	several.change(func() { several.fault = hang })
	b.await("!document.querySelector('#trouble').hidden")
	b.keep("trouble")
}

func (b *tab) keep(name string) {
	b.t.Helper()
	time.Sleep(200 * time.Millisecond)
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
