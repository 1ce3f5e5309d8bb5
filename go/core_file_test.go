//go:build linux && !race

package cachedhttp

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// A core file that is written after an entry has left memory holds nothing of its key. One written before does: the
// control, and the reason to run Caddy without core files (LimitCORE=0). The race detector's memory is too large to dump.
func TestKeysOfEvictedEntriesAreNotInACoreFile(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("a core file takes a minute: set SOAK=1")
	}
	gcore, err := exec.LookPath("gcore")
	if err != nil {
		t.Skip("this needs gcore, which comes with gdb")
	}
	backend := startKeyBackend(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(backend.Authority)
	options := fmt.Sprintf(`"url": %q`, backend.URL)
	getter := provisioned(t, "{"+options+"}")
	defer getter.Cleanup()
	server := newServer(t, getter, roots)
	for kind := range backend.Secrets {
		if err := server.handshake(backend.names(kind)); err != nil {
			t.Fatal(err)
		}
	}
	if copies := copiesInCoreFile(t, gcore, backend.Secrets); copies == 0 {
		t.Error("keys in use are not found: the search is blind")
	}
	smaller := provisioned(t, "{"+options+`, "max_memory": 1}`)
	defer smaller.Cleanup()
	if err := getter.Cleanup(); err != nil {
		t.Error(err)
	}
	expectHandles(t, 3) // engine and two instances
	if copies := copiesInCoreFile(t, gcore, backend.Secrets); copies > 0 {
		t.Errorf("%d copies of keys or PEM text are in a core file", copies)
	}
}

func copiesInCoreFile(t *testing.T, gcore string, secrets map[string][]secret) (copies int) {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "core")
	process := strconv.Itoa(os.Getpid())
	if output, err := exec.Command(gcore, "-o", prefix, process).CombinedOutput(); err != nil {
		t.Skipf("gcore may not look at this process: %v\n%s", err, output)
	}
	core, err := os.ReadFile(prefix + "." + process)
	if err != nil {
		t.Fatal(err)
	}
	mask(core)
	for kind, list := range secrets {
		for _, secret := range list {
			if found := bytes.Count(core, secret.Masked); found > 0 {
				t.Logf("%s: %s%s: %d times in a core file of %d MiB", kind, secret.What, secret.Order, found, len(core)>>20)
				copies += found
			}
		}
	}
	clear(core)
	return copies
}
