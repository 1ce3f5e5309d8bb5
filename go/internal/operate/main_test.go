package operate_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing of a request goes on once it has ended.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
