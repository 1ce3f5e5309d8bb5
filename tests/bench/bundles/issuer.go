package bundles

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// rsaKeys are made once and shared out: a key costs 100 ms, and no measurement depends on its being unique.
const rsaKeys = 4

// Issuer makes bundles of one kind. Safe for use by several goroutines.
type Issuer struct {
	authority *authority
	keys      []crypto.Signer // RSA only
	template  template        // ECDSA only
}

// NewIssuer makes an intermediate, and what speeds up its leaves.
func NewIssuer(kind Kind) (*Issuer, error) {
	authority, err := newAuthority(kind)
	if err != nil {
		return nil, err
	}
	issuer := &Issuer{authority: authority}
	if kind == ECDSAP256 {
		issuer.template, err = newTemplate(authority)
		return issuer, err
	}
	for range rsaKeys {
		key, err := newKey(kind)
		if err != nil {
			return nil, err
		}
		issuer.keys = append(issuer.keys, key)
	}
	return issuer, nil
}

// Bundle makes the n-th name's bundle. Another call for the same name makes another certificate.
func (i *Issuer) Bundle(n int) ([]byte, error) {
	if i.keys == nil {
		return i.template.bundle(i.authority, n)
	}
	key := i.keys[n%len(i.keys)]
	leaf, err := x509.CreateCertificate(rand.Reader, leafTemplate(Name(n), serial(n)),
		i.authority.certificate, key.Public(), i.authority.key)
	if err != nil {
		return nil, err
	}
	return i.authority.bundle(leaf, key)
}

// Each makes the bundles of the names from first on, count in all, on all cores. What it calls must be safe
// for that.
func (i *Issuer) Each(first, count int, do func(n int, bundle []byte) error) error {
	var group errgroup.Group
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		group.Go(func() error {
			for n := first + worker; n < first+count; n += workers {
				bundle, err := i.Bundle(n)
				if err != nil {
					return err
				}
				if err := do(n, bundle); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// template is the to-be-signed part of an ECDSA leaf, with the places where leaves differ. Filling these in and
// signing spares what x509.CreateCertificate encodes and checks each time, which matters for a million.
type template struct {
	tbs, name, serial, key []byte // tbs, and the parts of it to be replaced
	algorithm              asn1.RawValue
}

// outer is a certificate (RFC 5280 4.1) whose parts are kept as they are.
type outer struct {
	TBS       asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

func newTemplate(authority *authority) (template, error) {
	key, err := newKey(ECDSAP256)
	if err != nil {
		return template{}, err
	}
	leaf, err := x509.CreateCertificate(rand.Reader, leafTemplate(Name(0), serial(0)),
		authority.certificate, key.Public(), authority.key)
	if err != nil {
		return template{}, err
	}
	var parts outer
	if _, err := asn1.Unmarshal(leaf, &parts); err != nil {
		return template{}, err
	}
	point, err := key.Public().(*ecdsa.PublicKey).Bytes()
	return template{
		tbs: parts.TBS.FullBytes, algorithm: parts.Algorithm,
		name: []byte(Name(0)), serial: serial(0).Bytes(), key: point,
	}, err
}

func (t *template) bundle(authority *authority, n int) ([]byte, error) {
	signer, err := newKey(ECDSAP256)
	if err != nil {
		return nil, err
	}
	point, err := signer.Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return nil, err
	}
	tbs := t.tbs
	for _, change := range [][2][]byte{
		{t.name, []byte(Name(n))}, {t.serial, serial(n).Bytes()}, {t.key, point},
	} {
		if len(change[0]) != len(change[1]) {
			return nil, errors.New("a leaf doesn't fit its template: names must have the same length")
		}
		tbs = bytes.ReplaceAll(tbs, change[0], change[1])
	}
	digest := sha256.Sum256(tbs)
	signature, err := authority.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	leaf, err := asn1.Marshal(outer{
		TBS: asn1.RawValue{FullBytes: tbs}, Algorithm: t.algorithm,
		Signature: asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	if err != nil {
		return nil, err
	}
	return authority.bundle(leaf, signer)
}

// serial is 16 bytes for every n, and never looks like another part of a certificate.
func serial(n int) *big.Int {
	number := []byte("\x42enchmar........")
	binary.BigEndian.PutUint64(number[8:], uint64(n)) // #nosec G115 -- n counts names
	return new(big.Int).SetBytes(number)
}
