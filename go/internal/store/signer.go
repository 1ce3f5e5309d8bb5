package store

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"
)

// signer is the private key of a certificate as Go's TLS wants it. The key itself never enters Go's memory.
// When the last handshake that uses it is over, the garbage collector gives the native key back.
//
// It is a crypto.MessageSigner too: Go 1.26 hands over the whole message, earlier releases its digest.
type signer struct {
	public  crypto.PublicKey
	schemes []tls.SignatureScheme // what a key of this kind can make
	key     Key
}

// newSigner wraps a key, which it owns from then on, and fails for a public key that it can't sign for.
func newSigner(public crypto.PublicKey, key Key) (*signer, error) {
	schemes, err := schemesFor(public)
	if err != nil {
		return nil, err
	}
	wrapped := &signer{public: public, schemes: schemes, key: key}
	runtime.AddCleanup(wrapped, closeKey, key)
	return wrapped, nil
}

func closeKey(key Key) {
	_ = key.Close()
}

// schemesFor lists the signatures that a kind of key can make, the ones to prefer first.
func schemesFor(public crypto.PublicKey) ([]tls.SignatureScheme, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return []tls.SignatureScheme{
			tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
			tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
		}, nil
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			return []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, nil
		case elliptic.P384():
			return []tls.SignatureScheme{tls.ECDSAWithP384AndSHA384}, nil
		case elliptic.P521():
			return []tls.SignatureScheme{tls.ECDSAWithP521AndSHA512}, nil
		}
	case ed25519.PublicKey:
		return []tls.SignatureScheme{tls.Ed25519}, nil
	}
	return nil, fmt.Errorf("its public key (%T) is of a kind that is not supported", public)
}

// Public returns the certificate's public key.
func (s *signer) Public() crypto.PublicKey {
	return s.public
}

// Sign signs a digest, or for Ed25519 a message. The randomness is the native side's own.
func (s *signer) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	return s.sign(digest, options.HashFunc() != 0, options)
}

// SignMessage signs a message.
func (s *signer) SignMessage(_ io.Reader, message []byte, options crypto.SignerOpts) ([]byte, error) {
	return s.sign(message, false, options)
}

func (s *signer) sign(input []byte, isDigest bool, options crypto.SignerOpts) ([]byte, error) {
	scheme, err := s.scheme(options)
	if err != nil {
		return nil, err
	}
	if isDigest && len(input) != options.HashFunc().Size() {
		return nil, errors.New("cached_http: the digest to sign has the wrong length")
	}
	// More signatures at once than processors would only make threads.
	signing <- struct{}{}
	defer func() { <-signing }()
	begin := time.Now()
	signature, err := s.key.Sign(uint16(scheme), isDigest, input)
	runtime.KeepAlive(s)
	signatures.count.Add(1)
	signatures.nanoseconds.Add(int64(time.Since(begin)))
	if err != nil {
		return nil, fmt.Errorf("cached_http: signing with %v: %w", scheme, err)
	}
	return signature, nil
}

// signatures counts those of this process. Keys belong to entries, not to engines.
var signatures struct {
	count, nanoseconds atomic.Int64
}

// Signatures is how many signatures this process has made, and how long that took.
func Signatures() (count int64, took time.Duration) {
	return signatures.count.Load(), time.Duration(signatures.nanoseconds.Load())
}

// signing bounds the signatures that are under way in this process.
var signing = make(chan struct{}, runtime.GOMAXPROCS(0))

// scheme finds the TLS scheme that stands for these options, and refuses what this key can't do: TLS asks for
// nothing else, and whoever does must not get a signature of another kind.
func (s *signer) scheme(options crypto.SignerOpts) (tls.SignatureScheme, error) {
	hash := options.HashFunc()
	wanted := pkcs1Schemes[hash]
	switch public := s.public.(type) {
	case *rsa.PublicKey:
		if pss, ok := options.(*rsa.PSSOptions); ok {
			wanted = pssSchemes[hash]
			if wanted != 0 && pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != hash.Size() {
				wanted = 0
			}
		}
	case *ecdsa.PublicKey:
		wanted = ecdsaSchemes[hash]
	case ed25519.PublicKey:
		wanted = ed25519Scheme(options)
	default:
		return 0, fmt.Errorf("cached_http: no signature is made with a key of type %T", public)
	}
	for _, scheme := range s.schemes {
		if scheme == wanted {
			return scheme, nil
		}
	}
	return 0, fmt.Errorf("cached_http: a signature with hash %v and these options is not made with a key of type %T", hash, s.public)
}

func ed25519Scheme(options crypto.SignerOpts) tls.SignatureScheme {
	// Ed25519ctx has a context, Ed25519ph a hash; TLS has neither.
	if ed, ok := options.(*ed25519.Options); options.HashFunc() != 0 || ok && ed.Context != "" {
		return 0
	}
	return tls.Ed25519
}

var (
	pkcs1Schemes = map[crypto.Hash]tls.SignatureScheme{
		crypto.SHA256: tls.PKCS1WithSHA256,
		crypto.SHA384: tls.PKCS1WithSHA384,
		crypto.SHA512: tls.PKCS1WithSHA512,
	}
	pssSchemes = map[crypto.Hash]tls.SignatureScheme{
		crypto.SHA256: tls.PSSWithSHA256,
		crypto.SHA384: tls.PSSWithSHA384,
		crypto.SHA512: tls.PSSWithSHA512,
	}
	// TLS 1.3 ties each curve to one hash. TLS 1.2 does not, but Go offers only what the certificate lists.
	ecdsaSchemes = map[crypto.Hash]tls.SignatureScheme{
		crypto.SHA256: tls.ECDSAWithP256AndSHA256,
		crypto.SHA384: tls.ECDSAWithP384AndSHA384,
		crypto.SHA512: tls.ECDSAWithP521AndSHA512,
	}
)
