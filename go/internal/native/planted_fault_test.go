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
	// Found in serde_json: the library is instrumented, not Go's side alone.
	if err == nil || !regexp.MustCompile(`heap-use-after-free .*serde_json`).Match(report) {
		t.Errorf("%v:\n%s", err, report)
	}
}
