//go:build asan

package native

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// Without this, a suite under the address sanitizer that is green could be one that sees nothing.
func TestThePlantedFaultIsFound(t *testing.T) {
	const variable = "CACHED_HTTP_TEST_PLANT_FAULT"
	if os.Getenv(variable) != "" {
		openWithFreedSettings()
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestThePlantedFaultIsFound$")
	child.Env = append(os.Environ(), variable+"=1")
	report, err := child.CombinedOutput()
	// One byte, as a JSON parser reads: found by the library's own instrumentation, not by a call of the C library's.
	if err == nil || !regexp.MustCompile(`(?s)heap-use-after-free.*\nREAD of size 1 `).Match(report) {
		t.Errorf("%v:\n%s", err, report)
	}
}
