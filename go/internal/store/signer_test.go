package store_test

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
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/store"
	"github.com/cached-http/caddy-cached-http/go/internal/store/storetest"
	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

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
		signer, err := store.NewSigner(test.public, new(storetest.Key))
		if err != nil {
			t.Fatal(err)
		}
		scheme, err := signer.Scheme(test.options)
		if scheme != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("%T %v: %v, %v", test.public, test.options, scheme, err)
		}
	}
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if _, err := store.NewSigner(p224.Public(), new(storetest.Key)); err == nil {
		t.Error("P-224 was accepted")
	}
}

func TestSignerSignsDigestsAndMessages(t *testing.T) {
	private := testca.NewKey(testca.P256)
	signer, err := store.NewSigner(private.Public(), storetest.NewKey(private))
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("a message")
	digest := sha256.Sum256(message)
	var _ crypto.MessageSigner = signer
	byMessage, err := signer.SignMessage(nil, message, crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(private.Public().(*ecdsa.PublicKey), digest[:], byMessage) {
		t.Fatal(err)
	}
	byDigest, err := signer.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(private.Public().(*ecdsa.PublicKey), digest[:], byDigest) {
		t.Fatal(err)
	}
	if _, err := signer.Sign(nil, digest[:20], crypto.SHA256); err == nil {
		t.Error("half a digest was signed")
	}
}

func TestAKeyIsGivenBackWithItsSigner(t *testing.T) {
	fake := storetest.New()
	fake.Keep(1, "a.example")
	key := fake.Keys[1]
	if _, err := store.BuildCertificate(fake, 1); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for !key.IsClosed() {
		if time.Now().After(deadline) {
			t.Fatal("the key is still open")
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}
