package page

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// browser is the Chromium of the run, nil if there is none; each test has tabs of its own in it.
var browser context.Context

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // most of a test is waiting for the next poll
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path, err := findBrowser()
	if err != nil {
		fmt.Println("skipped:", err)
		return m.Run()
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // root, as in a container, gets none; it sees this repository's own page alone
		chromedp.Flag("force-device-scale-factor", "1"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), // nothing leaves the machine
		chromedp.Flag("hide-scrollbars", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	tab, leave := chromedp.NewContext(allocator)
	defer leave()
	folder, err := os.MkdirTemp("", "cached-http-page-")
	if err == nil {
		defer func() { _ = os.RemoveAll(folder) }()
		caddyBinary, err = findCaddy(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := chromedp.Do(tab); err != nil {
		fmt.Fprintf(os.Stderr, "%s does not start: %v\n", path, err)
		return 1
	}
	browser = tab
	return m.Run()
}

func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no chromium, chromium-browser or google-chrome; the page is not tried")
}

// findCaddy is CACHED_HTTP_CADDY, or builds one.
func findCaddy(folder string) (string, error) {
	if path := os.Getenv("CACHED_HTTP_CADDY"); path != "" {
		return path, nil
	}
	path := filepath.Join(folder, "caddy")
	if output, err := exec.Command("../../xcaddy.sh", "--output", path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("xcaddy.sh: %w\n%s", err, output)
	}
	return path, nil
}
