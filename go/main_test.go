package cachedhttp

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/testleak"
)

// TestMain ends with a look at what is left: neither native handles nor goroutines.
func TestMain(m *testing.M) {
	store.AfterFunc = func(_ time.Duration, end func()) { end() }
	// certmagic's, of a Caddy that was stopped: it ends by itself after 5 s.
	lockfile := goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh")
	patient := testleak.Patient{Tests: m, Ignored: []goleak.Option{lockfile}}
	goleak.VerifyTestMain(patient, lockfile, goleak.Cleanup(func(code int) {
		if err := expectNoHandles(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}
