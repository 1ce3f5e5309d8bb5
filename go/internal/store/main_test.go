package store_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/testleak"
)

// TestMain ends with a look at the goroutines that are left.
func TestMain(m *testing.M) {
	store.AfterFunc = func(_ time.Duration, end func()) { end() }
	goleak.VerifyTestMain(testleak.Patient{Tests: m})
}
