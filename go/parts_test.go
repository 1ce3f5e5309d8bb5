package cachedhttp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"go.uber.org/zap/zapcore"
)

func TestHelloFlags(t *testing.T) {
	both := native.HelloECDSA | native.HelloEd25519
	tls13 := []uint16{tls.VersionTLS13, tls.VersionTLS12}
	tls12 := []uint16{tls.VersionTLS12}
	ecdsaSuite := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	rsaSuite := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	schemes := []tls.SignatureScheme{tls.PSSWithSHA256, tls.ECDSAWithP384AndSHA384, tls.Ed25519}
	for _, test := range []struct {
		name  string
		hello tls.ClientHelloInfo
		want  native.HelloFlags
	}{
		{"nothing", tls.ClientHelloInfo{}, 0},
		{"1.3", tls.ClientHelloInfo{SupportedVersions: tls13, SignatureSchemes: schemes}, both},
		{"1.3, RSA only", tls.ClientHelloInfo{SupportedVersions: tls13, SignatureSchemes: schemes[:1], CipherSuites: ecdsaSuite}, 0},
		{"1.3 without Ed25519", tls.ClientHelloInfo{SupportedVersions: tls13, SignatureSchemes: schemes[:2]}, native.HelloECDSA},
		{"1.2", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: ecdsaSuite, SupportedCurves: []tls.CurveID{tls.X25519, tls.CurveP256}}, both},
		{"1.2, no curve named", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: ecdsaSuite}, both},
		{"1.2, other curve", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: ecdsaSuite, SupportedCurves: []tls.CurveID{tls.X25519}}, 0},
		{"1.2, RSA suites", tls.ClientHelloInfo{SupportedVersions: tls12, SignatureSchemes: schemes, CipherSuites: rsaSuite}, 0},
		{"1.2, no schemes", tls.ClientHelloInfo{SupportedVersions: tls12, CipherSuites: ecdsaSuite}, 0},
	} {
		if flags := helloFlags(&test.hello); flags != test.want {
			t.Errorf("%s: %b", test.name, flags)
		}
	}
}

func TestHelloQueryIsBounded(t *testing.T) {
	hello := &tls.ClientHelloInfo{CipherSuites: make([]uint16, 30_000)}
	if query := helloQuery(hello); strings.Count(query, "%2C") != maxListedIDs-1 || strings.Contains(query, "local_ip") {
		t.Errorf("%d bytes", len(query))
	}
}

func TestEntriesAreBounded(t *testing.T) {
	const limit = 10
	entries := newEntries(limit)
	hot := new(tls.Certificate)
	entries.put(1, hot)
	for entry := native.EntryID(2); entry < 1000; entry++ {
		entries.put(entry, new(tls.Certificate))
		if entries.certificate(1) != hot {
			t.Fatalf("an entry that is asked for all the time was dropped at %d", entry)
		}
		if held := len(entries.young) + len(entries.old); held > limit {
			t.Fatalf("%d held", held)
		}
	}
	if entries.certificate(2) != nil {
		t.Error("an entry nobody asks for is still held")
	}
	if entries.put(1, new(tls.Certificate)) != hot {
		t.Error("the first certificate of an entry is not the one that is kept")
	}
	entries.drop(1)
	if entries.certificate(1) != nil {
		t.Error("not dropped")
	}
}

func TestSignerSchemes(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	edPublic, _, _ := ed25519.GenerateKey(rand.Reader)
	pss := func(hash crypto.Hash, salt int) crypto.SignerOpts {
		return &rsa.PSSOptions{Hash: hash, SaltLength: salt}
	}
	for _, test := range []struct {
		public  crypto.PublicKey
		options crypto.SignerOpts
		want    tls.SignatureScheme // 0: refused
	}{
		{rsaKey.Public(), crypto.SHA256, tls.PKCS1WithSHA256},
		{rsaKey.Public(), crypto.SHA512, tls.PKCS1WithSHA512},
		{rsaKey.Public(), crypto.SHA1, 0},
		{rsaKey.Public(), crypto.MD5SHA1, 0},
		{rsaKey.Public(), crypto.Hash(0), 0},
		{rsaKey.Public(), pss(crypto.SHA256, rsa.PSSSaltLengthEqualsHash), tls.PSSWithSHA256},
		{rsaKey.Public(), pss(crypto.SHA384, 48), tls.PSSWithSHA384},
		{rsaKey.Public(), pss(crypto.SHA384, 32), 0},
		{rsaKey.Public(), pss(crypto.SHA384, rsa.PSSSaltLengthAuto), 0},
		{rsaKey.Public(), pss(0, 20), 0},
		{p256.Public(), crypto.SHA256, tls.ECDSAWithP256AndSHA256},
		{p256.Public(), crypto.SHA384, 0},
		{p384.Public(), crypto.SHA384, tls.ECDSAWithP384AndSHA384},
		{p521.Public(), crypto.SHA512, tls.ECDSAWithP521AndSHA512},
		{edPublic, crypto.Hash(0), tls.Ed25519},
		{edPublic, &ed25519.Options{}, tls.Ed25519},
		{edPublic, &ed25519.Options{Context: "x"}, 0},
		{edPublic, crypto.SHA512, 0},
	} {
		signer, err := newSigner(test.public, new(fakeKey))
		if err != nil {
			t.Fatal(err)
		}
		scheme, err := signer.scheme(test.options)
		if scheme != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("%T %v: %v, %v", test.public, test.options, scheme, err)
		}
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if _, err := newSigner(p224.Public(), new(fakeKey)); err == nil {
		t.Error("P-224 was accepted")
	}
}

func TestSignerSignsDigestsAndMessages(t *testing.T) {
	_, private := newCertificate(t, "a.example")
	signer, err := newSigner(private.Public(), &fakeKey{private: private})
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("a message")
	digest := sha256.Sum256(message)
	var _ crypto.MessageSigner = signer
	byMessage, err := signer.SignMessage(nil, message, crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(&private.PublicKey, digest[:], byMessage) {
		t.Fatal(err)
	}
	byDigest, err := signer.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(&private.PublicKey, digest[:], byDigest) {
		t.Fatal(err)
	}
	if _, err := signer.Sign(nil, digest[:20], crypto.SHA256); err == nil {
		t.Error("half a digest was signed")
	}
}

func TestAKeyIsGivenBackWithItsSigner(t *testing.T) {
	der, private := newCertificate(t, "a.example")
	fake := newFakeEngine()
	key := &fakeKey{private: private}
	fake.chains[1], fake.keys[1] = [][]byte{der}, key
	if _, err := buildCertificate(fake, 1); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for !key.isClosed() {
		if time.Now().After(deadline) {
			t.Fatal("the key is still open")
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}

func TestLogRecords(t *testing.T) {
	_, fake, logs := newGetter(t)
	fake.events <- native.Event{Kind: native.EventLog, Level: native.LevelWarn, Text: `{"message":"bad","server_name":"a.example","n":3}`}
	fake.events <- native.Event{Kind: native.EventLog, Level: native.LevelInfo, Text: `{"message":"` + strings.Repeat("x", 5000) + `"}`}
	fake.events <- native.Event{Kind: native.EventLog, Level: 99, Text: `not json`}
	deadline := time.Now().Add(5 * time.Second)
	for logs.Len() < 3 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	lines := logs.All()
	if len(lines) != 3 {
		t.Fatal(lines)
	}
	if fields := lines[0].ContextMap(); lines[0].Message != "bad" || lines[0].Level != zapcore.WarnLevel ||
		fields["server_name"] != "a.example" || fields["n"] != 3.0 {
		t.Error(lines[0])
	}
	if len(lines[1].Message) > maxTextLength+3 {
		t.Error("an endless message")
	}
	if lines[2].Level != zapcore.ErrorLevel || !strings.Contains(lines[2].Message, "not JSON") {
		t.Error(lines[2])
	}
}
