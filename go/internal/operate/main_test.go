package operate_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/cached-http/caddy-cached-http/go/internal/testleak"
)

// Nothing of a request goes on once it has ended.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(testleak.Patient{Tests: m})
}
