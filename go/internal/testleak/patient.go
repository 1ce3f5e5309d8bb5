// Package testleak gives what tests have begun time to end before goroutines are counted.
package testleak

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Patient runs tests for goleak.VerifyTestMain, which itself waits for half a second: little on a busy machine.
type Patient struct {
	Tests   *testing.M
	Ignored []goleak.Option
}

// Run runs the tests, and waits until no goroutine is left, or for long enough to call it a leak.
func (p Patient) Run() int {
	code := p.Tests.Run()
	for end := time.Now().Add(20 * time.Second); code == 0 && time.Now().Before(end) && goleak.Find(p.Ignored...) != nil; {
		continue
	}
	return code
}
