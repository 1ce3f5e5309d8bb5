//go:build linux

package cachedhttp

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
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

func mask(data []byte) {
	for index := range data {
		data[index] ^= secretMask
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
	native, err := syscall.Mmap(-1, 0, 3*searchChunk, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(native)
	// Across the places where one read ends and the next begins.
	for _, place := range []int{searchChunk - 16, 2*searchChunk - 1} {
		copy(native[place:], onGoHeap)
	}
	expectCopies(t, "planted", []secret{planted}, 3, limits{numbers: 3})
	runtime.KeepAlive(onGoHeap)
}

// expectHandles waits until no more native handles than these are left: the garbage collector gives back keys.
func expectHandles(t *testing.T, left uint64) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); native.LiveHandles() > left; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%d native handles are open, not %d", native.LiveHandles(), left)
			return
		}
		runtime.GC()
	}
}

// expectCopies searches for all secrets. Of each number there are at least and at most so many copies, of text at
// most so many.
func expectCopies(t *testing.T, when string, secrets []secret, least int, allowed limits) {
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
			t.Errorf("%s: %d copies of %s, not %d to %d", when, total, what, least, most)
		}
	}
}

// searchChunk is how much memory is searched at once.
const searchChunk = 1 << 20

// searchMemory counts the copies of each secret in every mapping that can be read, by the mapping's kind.
func searchMemory(t *testing.T, secrets []secret) []map[string]int {
	t.Helper()
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	overlap := 0
	for _, secret := range secrets {
		overlap = max(overlap, len(secret.Masked)-1)
	}
	// Shared, so that it is a mapping of its own, which is left out: it will hold what is found.
	buffer, err := syscall.Mmap(-1, 0, searchChunk+overlap, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(buffer)
	copies := make([]map[string]int, len(secrets))
	for index := range copies {
		copies[index] = make(map[string]int)
	}
	for _, mapping := range privateMappings(t) {
		for start := mapping.start; start < mapping.end; start += searchChunk {
			wanted := min(mapping.end-start, searchChunk+int64(overlap))
			read, err := memory.ReadAt(buffer[:wanted], start)
			if err != nil && read == 0 {
				continue // gone meanwhile, or the kernel's own
			}
			mask(buffer[:read])
			for index, secret := range secrets {
				copies[index][mapping.kind] += countWithin(buffer[:read], secret.Masked)
			}
		}
	}
	for index := range copies {
		for kind, number := range copies[index] {
			if number == 0 {
				delete(copies[index], kind)
			}
		}
	}
	return copies
}

// countWithin counts what starts in the first chunk of the data; the next read sees the rest.
func countWithin(data, wanted []byte) (count int) {
	for from := 0; ; count++ {
		found := bytes.Index(data[from:], wanted)
		if found < 0 || from+found >= searchChunk {
			return count
		}
		from += found + 1
	}
}

type mapping struct {
	start, end int64
	kind       string
}

func privateMappings(t *testing.T) []mapping {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var mappings []mapping
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		var one mapping
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &one.start, &one.end); err != nil {
			continue // [vsyscall], beyond what fits
		}
		if permissions := fields[1]; permissions[0] != 'r' || permissions[3] != 'p' {
			continue
		}
		switch {
		case len(fields) > 5:
			one.kind = fields[5]
		case one.start>>32 == 0xc0:
			one.kind = "Go heap"
		default:
			one.kind = "anonymous"
		}
		mappings = append(mappings, one)
	}
	return mappings
}

// keyBackend is what the parent knows of a backend in a child process.
type keyBackend struct {
	URL, TLSURL string
	Authority   []byte // of the certificates it hands out, and of its own
	Secrets     map[string][]secret
}

func (keyBackend) names(kind string) string {
	return strings.ToLower(kind) + ".keys.example"
}

const keyBackendVariable = "CACHED_HTTP_TEST_KEY_BACKEND"

func startKeyBackend(t *testing.T) (backend keyBackend) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKeyBackend$", "-test.timeout=5m")
	child.Env = append(os.Environ(), keyBackendVariable+"=1")
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_, _ = io.Copy(io.Discard, output)
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &backend); err != nil {
		t.Fatal(err)
	}
	return backend
}

// TestKeyBackend is the child process: it serves until its input ends.
func TestKeyBackend(t *testing.T) {
	if os.Getenv(keyBackendVariable) == "" {
		t.Skip("a part of TestKeysAreNotStrewnOverMemory")
	}
	origin := testbackend.New(t)
	own := origin.Bundle(testca.P256, "localhost")
	certificate, err := tls.X509KeyPair(own, own)
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(origin.Server)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	secure.StartTLS()
	defer secure.Close()
	backend := keyBackend{
		URL:       origin.URL(),
		TLSURL:    fmt.Sprintf("https://localhost:%d", secure.Listener.Addr().(*net.TCPAddr).Port),
		Authority: origin.Authority.RootPEM(),
		Secrets:   make(map[string][]secret),
	}
	for _, algorithm := range []testca.Algorithm{testca.P256, testca.RSA2048} {
		kind := algorithm.String()
		bundle := origin.Bundle(algorithm, backend.names(kind))
		origin.Keep(backend.names(kind), bundle, "s-maxage=600")
		backend.Secrets[kind] = secretsOf(t, bundle)
	}
	if err := json.NewEncoder(os.Stdout).Encode(backend); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func secretsOf(t *testing.T, bundle []byte) (secrets []secret) {
	t.Helper()
	text := bundle[bytes.Index(bundle, []byte("-----BEGIN PRIVATE KEY")):]
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	number := func(what string, bigEndian []byte) {
		littleEndian := bytes.Clone(bigEndian)
		slices.Reverse(littleEndian)
		secrets = append(secrets,
			secret{What: what, Order: ", big-endian", Masked: masked(bigEndian)},
			secret{What: what, Order: ", little-endian", Masked: masked(littleEndian)})
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	lines = lines[1 : len(lines)-1]
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey:
		scalar, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		number("scalar", scalar)
		lines = lines[:2] // what follows is public
	case *rsa.PrivateKey:
		// A part is enough to tell, and finds remnants too.
		const part = 32
		number("exponent", key.D.FillBytes(make([]byte, 256))[128:][:part])
		number("first prime", key.Primes[0].FillBytes(make([]byte, 128))[64:][:part])
		number("second prime", key.Primes[1].FillBytes(make([]byte, 128))[64:][:part])
		lines = lines[7:] // what comes before is the modulus
	}
	for _, line := range lines {
		secrets = append(secrets, secret{What: pemText, Masked: masked(line)})
	}
	return secrets
}
