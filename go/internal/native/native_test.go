package native

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// TestMain ends with a look at the handles: each test closes what it opens.
func TestMain(m *testing.M) {
	code := m.Run()
	if live := LiveHandles(); code == 0 && live != 0 {
		fmt.Fprintf(os.Stderr, "%d handles are still open\n", live)
		code = 1
	}
	os.Exit(code)
}

const engineJSON = `{"backend":"http://backend.example/","max_memory":1048576,"max_negative_memory":65536,"max_concurrent_fetches":2}`

// newEngine opens an engine that is closed, and whose events are taken to the end, with the test.
func newEngine(t testing.TB) *Engine { return newEngineOf(t, engineJSON) }

func newEngineOf(t testing.TB, settings string) *Engine {
	t.Helper()
	engine, err := OpenEngine([]byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		for {
			if _, err := engine.NextEvents(); errors.Is(err, ErrClosed) {
				return
			} else if err != nil {
				t.Error(err)
				return
			}
		}
	})
	return engine
}

func newLookupConfig(t testing.TB, engine *Engine, url string) *LookupConfig {
	t.Helper()
	settings := fmt.Sprintf(`{"url":%q,"default_ttl_ms":60000,"negative_ttl_ms":60000,"timeout_ms":5000,"stale_if_error_ms":0,"refresh_ahead":false}`, url)
	config, err := engine.OpenLookupConfig([]byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := config.Close(); err != nil {
			t.Error(err)
		}
	})
	return config
}

// next waits for an event that is no log record.
func next(t testing.TB, engine *Engine) Event {
	t.Helper()
	for {
		events, err := engine.NextEvents()
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			if event.Kind != EventLog {
				return event
			}
		}
	}
}

func TestOneEntryFromMissToSignature(t *testing.T) {
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=60")
	engine := newEngine(t)
	config := newLookupConfig(t, engine, backend.URL()+"?x=1")

	if answer := config.Lookup("a.example", HelloECDSA, "", 0); answer.Status != StatusMiss {
		t.Fatal(answer.Status)
	}
	if answer := config.Lookup("A.Example", HelloECDSA, "local_ip=::1", 42); answer.Status != StatusPending {
		t.Fatal(answer.Status)
	}
	candidate := next(t, engine)
	if candidate.Kind != EventCandidate {
		t.Fatalf("%+v", candidate)
	}
	key, chain, err := engine.OpenEntry(candidate.Entry)
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 2 {
		t.Errorf("%d certificates", len(chain))
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil || leaf.DNSNames[0] != "a.example" {
		t.Fatal(err)
	}
	if err := engine.ConfirmCandidate(candidate.Entry); err != nil {
		t.Fatal(err)
	}
	if err := engine.ConfirmCandidate(candidate.Entry); !errors.Is(err, ErrGone) {
		t.Errorf("confirmed twice: %v", err)
	}
	finished := next(t, engine)
	if finished.Kind != EventFinished || finished.Status != StatusHit || finished.Entry != candidate.Entry ||
		len(finished.Tokens) != 1 || finished.Tokens[0] != 42 {
		t.Fatalf("%+v", finished)
	}
	if answer := config.Lookup("a.example", HelloECDSA, "", 0); answer.Status != StatusHit || answer.Entry != candidate.Entry {
		t.Fatalf("%+v", answer)
	}
	query := backend.Requests()[0].Query.Encode()
	const ofKind = "cipher_suites=1301%2C1302%2C1303%2Cc02b%2Cc02f%2Cc02c%2Cc030%2Ccca9%2Ccca8%2Cc013%2Cc014%2C9c%2C9d%2C2f%2C35" +
		"&local_ip=%3A%3A1&server_name=a.example&signature_schemes=403%2C804%2C401%2C503%2C805%2C501%2C806%2C601"
	if query != ofKind+"&x=1" {
		t.Errorf("the backend was asked for %s", query)
	}

	if err := engine.Close(); err != nil { // a key outlives its engine
		t.Fatal(err)
	}
	const ecdsaP256SHA256 = 0x0403
	message := []byte("message")
	digest := sha256.Sum256(message)
	for _, input := range []struct {
		isDigest bool
		bytes    []byte
	}{{false, message}, {true, digest[:]}} {
		signature, err := key.Sign(ecdsaP256SHA256, input.isDigest, input.bytes)
		if err != nil || !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), digest[:], signature) {
			t.Fatal(err)
		}
	}
	var rejected *Error
	if _, err := key.Sign(0x0804, false, message); !errors.As(err, &rejected) || rejected.Status != StatusSigningRejected {
		t.Errorf("an RSA signature with an ECDSA key: %v", err)
	}
	if err := errors.Join(key.Close(), key.Close()); err != nil {
		t.Error(err)
	}
	if _, err := key.Sign(ecdsaP256SHA256, false, message); !errors.Is(err, ErrClosed) {
		t.Errorf("signed with a closed key: %v", err)
	}
}

func TestAHitTakesNoMemory(t *testing.T) {
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=60")
	engine := newEngine(t)
	config := newLookupConfig(t, engine, backend.URL())
	config.Lookup("a.example", HelloECDSA, "", 1)
	if err := engine.ConfirmCandidate(next(t, engine).Entry); err != nil {
		t.Fatal(err)
	}
	next(t, engine)
	allocations := testing.AllocsPerRun(1000, func() {
		if answer := config.Lookup("a.example", HelloECDSA, "", 0); answer.Status != StatusHit {
			t.Fatal(answer.Status)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
	counters, err := engine.Counters()
	if err != nil || counters.Hits < 1000 || counters.Entries != 1 || counters.Found != 1 {
		t.Errorf("%+v %v", counters, err)
	}
}

func TestARejectedCandidateIsAnError(t *testing.T) {
	backend := testbackend.New(t)
	backend.Keep("a.example", backend.Bundle(testca.P256, "a.example"), "s-maxage=60")
	engine := newEngine(t)
	config := newLookupConfig(t, engine, backend.URL())
	config.Lookup("a.example", HelloECDSA, "", 1)
	if err := engine.RejectCandidate(next(t, engine).Entry, "a bad serial number"); err != nil {
		t.Fatal(err)
	}
	finished := next(t, engine)
	if finished.Status != StatusFailed || !strings.Contains(finished.Text, "a bad serial number") {
		t.Errorf("%+v", finished)
	}
}

func TestABackendThatFails(t *testing.T) {
	backend := testbackend.New(t)
	backend.Answer("a.example", func(response http.ResponseWriter, _ *http.Request, _ string) {
		response.WriteHeader(http.StatusTeapot)
	})
	engine := newEngine(t)
	config := newLookupConfig(t, engine, backend.URL())
	config.Lookup("a.example", HelloECDSA, "", 1)
	if finished := next(t, engine); finished.Status != StatusFailed || !strings.Contains(finished.Text, "418") {
		t.Errorf("%+v", finished)
	}
	config.Lookup("none.example", HelloECDSA, "", 2)
	if finished := next(t, engine); finished.Status != StatusNegative {
		t.Errorf("%+v", finished)
	}
	if answer := config.Lookup("none.example", HelloECDSA, "", 0); answer.Status != StatusNegative {
		t.Error(answer.Status)
	}
}

func TestInvalidNamesHaveAReason(t *testing.T) {
	engine := newEngine(t)
	config := newLookupConfig(t, engine, "http://127.0.0.1:1/")
	for name, reason := range map[string]string{"": "no server name", "10.0.0.1": "IP address", "a\xff.example": "characters"} {
		answer := config.Lookup(name, 0, "", 1)
		if answer.Status != StatusInvalidName || !strings.Contains(answer.Reason, reason) {
			t.Errorf("%q: %+v", name, answer)
		}
	}
}

func TestSettingsAndDirectoriesAreRejectedWithAReason(t *testing.T) {
	var rejected *Error
	if _, err := OpenEngine([]byte(`{"backend":1}`)); !errors.As(err, &rejected) || rejected.Status != StatusSettingsRejected || rejected.Message == "" {
		t.Errorf("%v", err)
	}
	if _, err := OpenEngine(nil); err == nil {
		t.Error("opened without settings")
	}
	folder := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // that is the case
		t.Fatal(err)
	}
	settings := strings.Replace(engineJSON, `"max_memory"`, fmt.Sprintf(`"cache_dir":%q,"max_memory"`, folder), 1)
	if _, err := OpenEngine([]byte(settings)); !errors.As(err, &rejected) || rejected.Status != StatusDirectoryRejected || !strings.Contains(rejected.Message, "0700") {
		t.Errorf("%v", err)
	}
	engine := newEngine(t)
	if _, err := engine.OpenLookupConfig([]byte(`{"url":"http://a/"}`)); !errors.As(err, &rejected) || rejected.Status != StatusSettingsRejected {
		t.Errorf("%v", err)
	}
	if err := engine.Resize([]byte("{")); !errors.As(err, &rejected) || rejected.Message == "" {
		t.Errorf("%v", err)
	}
	if err := engine.Resize([]byte(engineJSON)); err != nil {
		t.Error(err)
	}
}

func TestUseAfterClose(t *testing.T) {
	engine := newEngine(t)
	config := newLookupConfig(t, engine, "http://127.0.0.1:1/")
	if err := errors.Join(config.Close(), config.Close()); err != nil {
		t.Error(err)
	}
	if answer := config.Lookup("a.example", 0, "", 1); answer.Status != StatusClosed {
		t.Error(answer.Status)
	}
	if err := errors.Join(engine.Close(), engine.Close()); err != nil {
		t.Error(err)
	}
	_, _, openError := engine.OpenEntry(1)
	_, configError := engine.OpenLookupConfig([]byte(`{}`))
	_, countersError := engine.Counters()
	for index, err := range []error{
		openError, configError, countersError,
		engine.Resize([]byte(engineJSON)), engine.ConfirmCandidate(1), engine.RejectCandidate(1, ""),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%d: %v", index, err)
		}
	}
}

// A close wakes the one call that waits, and cuts a fetch that would go on.
func TestCloseEndsTheWaitForEvents(t *testing.T) {
	release := make(chan struct{})
	backend := testbackend.New(t)
	t.Cleanup(func() { close(release) })
	backend.Answer("a.example", func(http.ResponseWriter, *http.Request, string) { <-release })
	engine := newEngine(t)
	config := newLookupConfig(t, engine, backend.URL())
	config.Lookup("a.example", HelloECDSA, "", 1)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := engine.NextEvents(); err != nil {
				ended <- err
				return
			}
		}
	}()
	time.Sleep(20 * time.Millisecond)
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it still waits")
	}
}

func TestChainsThatAreCutShort(t *testing.T) {
	for _, framed := range []string{"", "\x01", "\x00\x00\x00\x00", "\x02\x00\x00\x00x", "\x01\x00\x00\x00x\x01", "\xff\xff\xff\xffx"} {
		if chain, err := splitChain([]byte(framed)); err == nil {
			t.Errorf("%q: %q", framed, chain)
		}
	}
	chain, err := splitChain([]byte("\x01\x00\x00\x00a\x02\x00\x00\x00bc"))
	if err != nil || len(chain) != 2 || string(chain[0]) != "a" || string(chain[1]) != "bc" {
		t.Error(chain, err)
	}
}

func TestUnknownStatusesHaveAText(t *testing.T) {
	if text := Status(4711).String(); !strings.Contains(text, "4711") {
		t.Error(text)
	}
	if text := (&Error{Status: StatusGone}).Error(); text == "" {
		t.Error("no text")
	}
}

// Every kind of key signs with every scheme that TLS has for it, and the signatures verify.
func TestSignaturesOfEveryKind(t *testing.T) {
	schemes := map[string]map[uint16]x509.SignatureAlgorithm{
		"RSA-2048": {
			0x0401: x509.SHA256WithRSA, 0x0501: x509.SHA384WithRSA, 0x0601: x509.SHA512WithRSA,
			0x0804: x509.SHA256WithRSAPSS, 0x0805: x509.SHA384WithRSAPSS, 0x0806: x509.SHA512WithRSAPSS,
		},
		"P-256":   {0x0403: x509.ECDSAWithSHA256},
		"P-384":   {0x0503: x509.ECDSAWithSHA384},
		"P-521":   {0x0603: x509.ECDSAWithSHA512},
		"Ed25519": {0x0807: x509.PureEd25519},
	}
	hashes := map[uint16]crypto.Hash{0x04: crypto.SHA256, 0x05: crypto.SHA384, 0x06: crypto.SHA512, 0x0804: crypto.SHA256, 0x0805: crypto.SHA384, 0x0806: crypto.SHA512}
	backend := testbackend.New(t)
	engine := newEngine(t)
	config := newLookupConfig(t, engine, backend.URL())
	message := []byte("the transcript of a handshake")
	for index, kind := range testca.Algorithms {
		name := fmt.Sprintf("key%d.example", index)
		backend.Keep(name, backend.Bundle(kind, name), "")
		config.Lookup(name, HelloECDSA|HelloEd25519, "", 1)
		candidate := next(t, engine)
		key, chain, err := engine.OpenEntry(candidate.Entry)
		if err != nil {
			t.Fatal(kind, err)
		}
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			t.Fatal(err)
		}
		for scheme, algorithm := range schemes[kind.String()] {
			signature, err := key.Sign(scheme, false, message)
			if err != nil || leaf.CheckSignature(algorithm, message, signature) != nil {
				t.Errorf("%s, scheme %04x: %v", kind, scheme, err)
			}
			hash, known := hashes[scheme]
			if !known {
				hash, known = hashes[scheme>>8]
			}
			if !known || scheme == 0x0807 {
				continue
			}
			hasher := hash.New()
			hasher.Write(message)
			signature, err = key.Sign(scheme, true, hasher.Sum(nil))
			if err != nil || leaf.CheckSignature(algorithm, message, signature) != nil {
				t.Errorf("%s, digest, scheme %04x: %v", kind, scheme, err)
			}
		}
		if err := errors.Join(key.Close(), engine.RejectCandidate(candidate.Entry, "the test is over")); err != nil {
			t.Error(err)
		}
		next(t, engine)
	}
}
