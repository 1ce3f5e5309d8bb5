package cachedhttp

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

const (
	// storageTimeout is for one certificate. A storage that hangs keeps Caddy itself from ordering.
	storageTimeout = 5 * time.Second
	// maxStorageQuestions is how many are under way, whatever a scanner asks for.
	maxStorageQuestions = 64
)

// storedState is whether Caddy has a certificate for a name, that is one whose end has not come: what has ended Caddy renews
// while the handshake waits, which is an order as any other.
type storedState int

const (
	notStored storedState = iota
	isStored
	// hasEnded is of one certificate. Of a name it comes to notStored.
	hasEnded
	// maybeStored: the storage is too slow to tell, or fails. That is no reason to deny a name, whose certificate may be there.
	maybeStored
)

// lookUp tells whether Caddy's storage has a certificate that it would take for the name: the name's own, or a wildcard's.
// The permission is asked before storage is looked at.
func (p *Permission) lookUp(ctx context.Context, name string) storedState {
	if p.storage == nil {
		return notStored
	}
	isGood := func(certificate certmagic.Certificate) bool { return !certificate.Expired() }
	if slices.ContainsFunc(caddytls.AllMatchingCertificates(issuance.NormalName(name)), isGood) {
		return isStored // a renewal: denied, Caddy would drop it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storageTimeout)
	defer cancel()
	select {
	case p.storageQuestions <- struct{}{}:
		defer func() { <-p.storageQuestions }()
	case <-ctx.Done():
		return maybeStored
	}
	storage, issuers := p.issuersOf(name)
	_, parent, _ := strings.Cut(name, ".")
	state := notStored
	for _, subject := range []string{name, "*." + parent} {
		for _, issuer := range issuers {
			one := stateOf(ctx, storage, issuer.IssuerKey(), subject)
			if one == isStored {
				return isStored
			}
			state = max(state, one) // what is less certain counts
		}
		if state != notStored {
			break // the name's own, if there is one, is what Caddy takes
		}
	}
	switch {
	case ctx.Err() != nil:
		return maybeStored
	case state == hasEnded:
		return notStored
	}
	return state
}

// stateOf tells of one certificate of one issuer. Caddy takes it if all of its parts are there. They are loaded, since Exists
// says no of a storage that fails as well.
func stateOf(ctx context.Context, storage certmagic.Storage, issuer, subject string) storedState {
	keys := certmagic.StorageKeys
	var text []byte // of the last part, the certificate
	for _, part := range []string{keys.SiteMeta(issuer, subject), keys.SitePrivateKey(issuer, subject), keys.SiteCert(issuer, subject)} {
		var err error
		text, err = storage.Load(ctx, part)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return notStored
		case err != nil:
			return maybeStored
		}
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return isStored // Caddy can't read it either, says so and orders none
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err == nil && time.Now().After(leaf.NotAfter) {
		return hasEnded
	}
	return isStored
}

// issuersOf are those that would order the name's certificate, and where they keep it.
func (p *Permission) issuersOf(name string) (certmagic.Storage, []certmagic.Issuer) {
	policy := policyOf(p.tlsApp, name)
	if policy == nil {
		return p.storage, nil
	}
	for _, issuer := range policy.Issuers {
		if ours, isOurs := issuer.(acmeIssuer); isOurs {
			if config := ours.config.Load(); config != nil {
				return config.Storage, config.Issuers
			}
		}
	}
	return p.storage, policy.Issuers
}

// isOwnAuthority tells whether the issuer of the name's certificate is this Caddy's own authority.
func isOwnAuthority(app *caddytls.TLS, name, issuerKey string) bool {
	policy := policyOf(app, name)
	return policy != nil && slices.ContainsFunc(policy.Issuers, func(issuer certmagic.Issuer) bool {
		return isInternalIssuer(issuer) && issuer.IssuerKey() == issuerKey
	})
}

// isInternal tells whether a name's certificate comes from this Caddy's own authority, which no storm can exhaust.
func (p *Permission) isInternal(name string) bool {
	policy := policyOf(p.tlsApp, name)
	return policy != nil && len(policy.Issuers) > 0 && !slices.ContainsFunc(policy.Issuers, func(issuer certmagic.Issuer) bool {
		return !isInternalIssuer(issuer)
	})
}

func isInternalIssuer(issuer certmagic.Issuer) bool {
	_, isInternal := issuer.(*caddytls.InternalIssuer)
	return isInternal
}
