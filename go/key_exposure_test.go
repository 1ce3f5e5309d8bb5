//go:build linux

package cachedhttp

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// How many copies of a private key are in this process: its whole memory is searched for keys that a backend in
// another process made. Here they are known only masked, so that the search does not find itself.
//
// It sees numbers as bytes of either order, and the text they came in. It does not see what arithmetic makes of
// them, Montgomery forms for example, nor registers and the kernel's buffers.

// secret is a thing to search for.
type secret struct {
	What   string
	Masked []byte
	Order  string // of a number's bytes
}

const secretMask = 0xA5

func masked(plain []byte) []byte {
	result := bytes.Clone(plain)
	mask(result)
	return result
}

var maskBlock = bytes.Repeat([]byte{secretMask}, 4096)

// mask works block by block: the race detector looks at each byte that Go code writes, and the whole memory would take minutes.
func mask(data []byte) {
	for block := range slices.Chunk(data, len(maskBlock)) {
		subtle.XORBytes(block, block, maskBlock)
	}
}

// pemText is counted in lines.
const pemText = "lines of the PEM text"

// limits are how many copies there may be while a name is under traffic: of each number, and of the text.
type limits struct{ numbers, text int }

func limitsOf(kind, scheme string) limits {
	// A number is there as it is kept and as it signs.
	allowed := limits{numbers: 2}
	if strings.Contains(kind, "RSA") {
		// aws-lc holds one of its own twice, to sign in constant time.
		allowed.numbers = 3
	}
	if scheme == "https" {
		// The TLS library's receive buffer of the idle connection to the backend: out of reach until it closes.
		allowed.text = 1
	}
	return allowed
}

func TestKeysAreNotStrewnOverMemory(t *testing.T) {
	backend := startKeyBackend(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(backend.Authority)
	authority := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authority, backend.Authority, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{backend.URL, backend.TLSURL} {
		scheme, _, _ := strings.Cut(url, ":")
		for kind, secrets := range backend.Secrets {
			t.Run(kind+" over "+scheme, func(t *testing.T) {
				options := fmt.Sprintf(`"url": %q, "trusted_ca": [%q]`, url, authority)
				testKeyExposure(t, options, roots, backend.names(kind), secrets, limitsOf(kind, scheme))
			})
		}
	}
}

func testKeyExposure(t *testing.T, options string, roots *x509.CertPool, name string, secrets []secret, loaded limits) {
	getter := provisioned(t, "{"+options+"}")
	server := newServer(t, getter, roots)
	shakeHands := func() {
		t.Helper()
		for range 2 {
			if err := server.handshake(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	expectCopies(t, "before", secrets, 0, limits{})
	shakeHands()
	expectHandles(t, 3) // engine, instance, and the key of the hot certificate
	expectCopies(t, "loaded", secrets, 1, loaded)

	// A reload that leaves no room drives the entry out.
	smaller := provisioned(t, "{"+options+`, "max_memory": 1}`)
	if err := getter.Cleanup(); err != nil {
		t.Error(err)
	}
	expectHandles(t, 3) // engine and two instances
	expectCopies(t, "evicted", secrets, 0, limits{text: loaded.text})

	larger := provisioned(t, "{"+options+"}")
	shakeHands()
	server.getter = nil // as Caddy forgets a configuration that it has cleaned up
	for _, getter := range []*CertGetter{getter, smaller, larger} {
		if err := getter.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	expectHandles(t, 0)
	expectCopies(t, "closed", secrets, 0, limits{})
}

func TestTheSearchFindsAPlantedKey(t *testing.T) {
	plain := make([]byte, 32)
	_, _ = rand.Read(plain)
	planted := secret{What: "planted", Masked: masked(plain)}
	clear(plain)
	expectCopies(t, "not planted", []secret{planted}, 0, limits{})

	onGoHeap := masked(planted.Masked)
	mapped, err := syscall.Mmap(-1, 0, 3*searchChunk, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mapped)
	// Across the places where one read ends and the next begins.
	for _, place := range []int{searchChunk - 16, 2*searchChunk - 1} {
		copy(mapped[place:], onGoHeap)
	}
	expectCopies(t, "planted", []secret{planted}, 3, limits{numbers: 3})
	runtime.KeepAlive(onGoHeap)
}

// expectHandles waits until no more mapped handles than these are left: the garbage collector gives back keys.
func expectHandles(t *testing.T, left uint64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); native.LiveHandles() > left; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%d mapped handles are open, not %d", native.LiveHandles(), left)
			return
		}
		runtime.GC()
	}
}

// expectCopies searches for all secrets. Of each number there are at least and at most so many copies, of text at
// most so many, as soon as the engine's threads have done what a handshake does not wait for.
func expectCopies(t *testing.T, when string, secrets []secret, least int, allowed limits) {
	t.Helper()
	complaints := countCopies(t, when, secrets, least, allowed)
	for end := time.Now().Add(10 * time.Second); len(complaints) > 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		complaints = countCopies(t, when, secrets, least, allowed)
	}
	for _, complaint := range complaints {
		t.Error(complaint)
	}
}

func countCopies(t *testing.T, when string, secrets []secret, least int, allowed limits) (complaints []string) {
	t.Helper()
	copies := make(map[string]map[string]int) // by what, and where
	lines := 0
	for index, places := range searchMemory(t, secrets) {
		what := secrets[index].What
		if what == pemText {
			lines++
		}
		if copies[what] == nil {
			copies[what] = make(map[string]int)
		}
		for place, number := range places {
			copies[what][place+secrets[index].Order] += number
		}
	}
	for what, places := range copies {
		total := 0
		for _, number := range places {
			total += number
		}
		least, most := least, allowed.numbers
		if what == pemText {
			least, most = 0, allowed.text*lines
		}
		t.Logf("%s: %s: %d copies, %v", when, what, total, places)
		if total < least || total > most {
			complaints = append(complaints, fmt.Sprintf("%s: %d copies of %s, not %d to %d", when, total, what, least, most))
		}
	}
	return complaints
}
