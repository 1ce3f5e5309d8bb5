package native

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // for the larger curves
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	randv2 "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testbackend"
)

// Thousands of bundles with something done to them, served by a real backend, through the whole of the ABI: none makes
// anything panic, none takes long, and what would be served is what Go's own tls.X509KeyPair takes, signs, is in date
// and covers the name.
func TestMutants(t *testing.T) {
	seed := uint64(1)
	if text := os.Getenv("MUTANTS_SEED"); text != "" {
		seed = must(strconv.ParseUint(text, 10, 64))
	}
	all := mutants(t, randv2.New(randv2.NewPCG(seed, 0))) // #nosec G404 -- repeatable
	if len(all) < 5_000 {
		t.Errorf("%d mutants only", len(all))
	}
	server := newMutantServer(t)
	var served int
	stricter := map[string]int{} // by the reason
	var slowest time.Duration
	var slowestOf string
	for _, mutant := range all {
		reason, took := server.try(mutant)
		for range 20 {
			if took <= slowestBundle {
				break
			}
			// The machine may have been busy.
			_, again := server.try(mutant)
			took = min(took, again)
		}
		if took > slowestBundle {
			t.Errorf("%s: it took %v", mutant.what, took)
		}
		if took > slowest {
			slowest, slowestOf = took, mutant.what
		}
		if reason == "" {
			served++
		} else if _, err := tls.X509KeyPair(mutant.text, mutant.text); err == nil {
			stricter[reason]++
		}
	}
	t.Logf("mutants: seed %d, %d bundles, %d would be served, slowest %v (%s)", seed, len(all), served, slowest, slowestOf)
	for _, reason := range slices.Sorted(maps.Keys(stricter)) {
		t.Logf("rejected, and Go takes it: %4d %s", stricter[reason], reason)
	}
	if served < 100 || len(all)-served < 1_000 {
		t.Errorf("%d of %d would be served: that shows little", served, len(all))
	}
}

type mutantServer struct {
	t       *testing.T
	backend *testbackend.Backend
	engine  *Engine
	config  *LookupConfig
	count   uint64
}

func newMutantServer(t *testing.T) *mutantServer {
	t.Helper()
	backend := testbackend.New(t)
	engine := newEngineOf(t, strings.Replace(engineJSON, "1048576", "16777216", 1))
	return &mutantServer{t: t, backend: backend, engine: engine, config: newLookupConfig(t, engine, backend.URL())}
}

// try asks for a mutant under a new name, and says why it is not served, if so, and how long after the response that was
// known.
func (s *mutantServer) try(mutant mutant) (reason string, took time.Duration) {
	s.t.Helper()
	s.count++
	name := fmt.Sprintf("n%d.m.example", s.count)
	sent := make(chan time.Time, 1)
	answer := testbackend.Text(mutant.text, "s-maxage=60")
	s.backend.Answer(name, func(response http.ResponseWriter, request *http.Request, name string) {
		sent <- time.Now()
		answer(response, request, name)
	})
	if found := s.config.Lookup(name, HelloECDSA|HelloEd25519, "", s.count); found.Status != StatusPending {
		s.t.Fatalf("%s: %v", mutant.what, found.Status)
	}
	event := next(s.t, s.engine)
	confirmed := false
	if event.Kind == EventCandidate {
		took = time.Since(<-sent)
		confirmed = s.judge(mutant, name, event.Entry)
		event = next(s.t, s.engine)
	} else {
		took = time.Since(<-sent)
	}
	want := StatusFailed
	if confirmed {
		want = StatusHit
	}
	if event.Kind != EventFinished || event.Status != want || !slices.Equal(event.Tokens, []uint64{s.count}) {
		s.t.Fatalf("%s: %+v", mutant.what, event)
	}
	if confirmed {
		return "", took
	}
	_, reason, isRejected := strings.Cut(event.Text, "the answer is rejected: ")
	if !isRejected {
		s.t.Errorf("%s: it ended by something else than a rejection: %s", mutant.what, event.Text)
	}
	return reason, took
}

// judge has the last word, as the store has, and holds against the candidate whatever can be said.
func (s *mutantServer) judge(mutant mutant, name string, entry EntryID) bool {
	s.t.Helper()
	key, chain, err := s.engine.OpenEntry(entry)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = key.Close() }()
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		if err := s.engine.RejectCandidate(entry, "Go rejects it"); err != nil {
			s.t.Fatal(err)
		}
		return false
	}
	if objection := objection(mutant.text, name, leaf, chain, key); objection != "" {
		// A log must hold no key, not even one of a test.
		kept := filepath.Join(os.TempDir(), fmt.Sprintf("mutant-%d-%d.pem", os.Getpid(), s.count))
		s.t.Errorf("%s would be served: %s; it is in %s (%v)", mutant.what, objection, kept, os.WriteFile(kept, mutant.text, 0o600))
	}
	if err := s.engine.ConfirmCandidate(entry); err != nil {
		s.t.Fatal(err)
	}
	return true
}

// objection says what is wrong with what would be served, judged by Go alone. Order and byte order mark may have been
// put right: then what stands in the text must make a pair in the order of the chain.
func objection(text []byte, name string, leaf *x509.Certificate, chain [][]byte, key *Key) string {
	var repaired bytes.Buffer
	for _, der := range chain {
		_ = pem.Encode(&repaired, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	certificates, keys := 0, 0
	for block, rest := pem.Decode(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			if !slices.ContainsFunc(chain, func(der []byte) bool { return bytes.Equal(der, block.Bytes) }) {
				return "a certificate of it is left out"
			}
			certificates++
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			_ = pem.Encode(&repaired, block)
			keys++
		case block.Type != "EC PARAMETERS":
			return "it has a block of another kind"
		}
	}
	if keys != 1 || certificates < len(chain) {
		return fmt.Sprintf("Go finds %d keys and %d certificates", keys, certificates)
	}
	if _, err := tls.X509KeyPair(repaired.Bytes(), repaired.Bytes()); err != nil {
		return err.Error()
	}
	if err := leaf.VerifyHostname(name); err != nil {
		return err.Error()
	}
	if now := time.Now(); now.After(leaf.NotAfter) || now.Add(time.Minute).Before(leaf.NotBefore) {
		return "it is not in date"
	}
	return signs(leaf.PublicKey, key)
}

// signs has the engine's key sign, and verifies that by the certificate's.
func signs(public crypto.PublicKey, key *Key) string {
	message := []byte("mutants")
	digest := sha256.Sum256(message)
	var scheme tls.SignatureScheme
	var verify func(signature []byte) bool
	switch public := public.(type) {
	case *rsa.PublicKey:
		if public.Size() < 256 || public.Size() > 512 {
			return fmt.Sprintf("RSA of %d bytes", public.Size())
		}
		scheme, verify = tls.PSSWithSHA256, func(signature []byte) bool {
			return rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature, nil) == nil
		}
	case *ecdsa.PublicKey:
		schemes := map[elliptic.Curve]tls.SignatureScheme{elliptic.P256(): tls.ECDSAWithP256AndSHA256, elliptic.P384(): tls.ECDSAWithP384AndSHA384, elliptic.P521(): tls.ECDSAWithP521AndSHA512}
		hashes := map[elliptic.Curve]crypto.Hash{elliptic.P256(): crypto.SHA256, elliptic.P384(): crypto.SHA384, elliptic.P521(): crypto.SHA512}
		scheme, verify = schemes[public.Curve], func(signature []byte) bool {
			hash := hashes[public.Curve].New()
			hash.Write(message)
			return ecdsa.VerifyASN1(public, hash.Sum(nil), signature)
		}
	case ed25519.PublicKey:
		scheme, verify = tls.Ed25519, func(signature []byte) bool { return ed25519.Verify(public, message, signature) }
	}
	signature, err := key.Sign(uint16(scheme), false, message)
	if err != nil {
		return "its key does not sign: " + err.Error()
	}
	if !verify(signature) {
		return "its key is another's"
	}
	return ""
}
