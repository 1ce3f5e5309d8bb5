// Package config holds the options of the modules: what they are, what they may be, and what they become when the
// native engine is told of them. It knows nothing of how Caddy loads a module.
package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Getter is the options of the certificate manager.
type Getter struct {
	// The URL from which to get certificates: `http` or `https`. It may hold a user name and password, and a
	// query. Required.
	//
	// The URL will be augmented with query string parameters about the TLS handshake:
	//
	// - server_name: The SNI value, normalised: lower case, internationalised names in their ASCII form
	// - signature_schemes: Comma-separated list of hex IDs of signatures that clients of this kind can use; kinds are
	//   clients that can use RSA only, those that can use ECDSA (browsers), and Ed25519 (openssl, curl, Go)
	// - cipher_suites: Comma-separated list of hex IDs of cipher suites, likewise
	// - local_ip: The address on which the client reached this server
	//
	// Redirects are not followed, and proxies named by environment variables are not used: private keys
	// travel here.
	URL string `json:"url,omitempty"`

	// A lifetime for every certificate that overrides what responses say. Not to be combined with
	// `default_ttl`, which it would leave without effect. Default: the response's own lifetime, as by RFC 9111
	// for a shared cache. A certificate is never served past its expiry date, whatever its lifetime.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// The lifetime of a certificate whose response gives none. Default: `1h`.
	DefaultTTL caddy.Duration `json:"default_ttl,omitempty"`

	// How long a 204, "no certificate for this name", is kept if its response gives no lifetime.
	// Default: `60s`.
	NegativeTTL caddy.Duration `json:"negative_ttl,omitempty"`

	// How long past its lifetime a certificate may be served while the backend fails: at once, while it is asked
	// for a newer one in the background. Never past the certificate's expiry date, and not if the response
	// said `must-revalidate` (unless `ttl` overrides it). A negative value, in a Caddyfile `off`, is never.
	// Default: `24h`.
	StaleIfError caddy.Duration `json:"stale_if_error,omitempty"`

	// Whether a certificate that is asked for is fetched anew in the last tenth of its lifetime, and daily once
	// it expires within three days: `on` or `off`. Default: `on`.
	RefreshAhead string `json:"refresh_ahead,omitempty"`

	// Whether a certificate also answers for the other names that it covers, apex and www or all of a wildcard, until its
	// lifetime ends: `on` or `off`. The backend is then asked once for all of them, and a name that it has no certificate for
	// is served by one that covers it, unless the backend has said so of that name. What comes from `cache_dir` answers for
	// its own name only. Default: `off`.
	ShareNames string `json:"share_names,omitempty"`

	// A folder in which certificates **and their private keys, as plain text,** are kept over restarts. The
	// first save creates it with mode 0700; one that belongs to another user, is open to others or is a
	// symbolic link is refused. A relative path starts at the working directory. Default: none, memory only.
	CacheDir string `json:"cache_dir,omitempty"`

	// How many bytes of certificates and keys are kept in `cache_dir`, each file in whole blocks of 4 KiB. The ones
	// that were not refreshed for the longest time go first. Default: `4GiB`.
	MaxDisk ByteSize `json:"max_disk,omitempty"`

	// How long a handshake may wait for the backend, and the deadline of a request to it. Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// What becomes of a handshake for a name for which the backend has no certificate, or that is no host name
	// at all: `pass` hands it on to the managers and issuers that come next in Caddy, `deny` ends it.
	//
	// Default: `pass` if a permission for on-demand issuance is configured (`on_demand_tls` with `ask` or
	// `permission`), and `deny` otherwise, since Caddy would start to order a certificate for every name that
	// a scanner makes up.
	//
	// Names that the configuration itself lists are Caddy's own: those of other sites are always handed on, even
	// while the backend fails; those of a site that names this manager are handed on after a 204, unless this
	// option says `deny`. A manager that stands behind one that denies would undo it, since Caddy asks it next:
	// such a configuration is rejected, unless `permission cached_http` denies the name again.
	OnNegative string `json:"on_negative,omitempty"`

	// How many bytes of certificates and keys are held in memory. What leaves it is still on disk if
	// `cache_dir` is set. Default: `256MiB`.
	MaxMemory ByteSize `json:"max_memory,omitempty"`

	// How many bytes of memory hold names for which there is no certificate. It is a store of its own, so that
	// a scan evicts no certificate. Default: `16MiB`.
	MaxNegativeMemory ByteSize `json:"max_negative_memory,omitempty"`

	// How many requests to the backend may be under way at once; at most 1024. Further ones wait, for as long as their
	// handshakes do. By default 3,000 names that are asked for at the same time get their certificates from a backend
	// that takes a second for each. Set it lower if your backend can't take so many. Default: 512.
	MaxConcurrentFetches int `json:"max_concurrent_fetches,omitempty"`

	// What this Caddy shares with others that have the same backend. Default: nothing.
	Distributed *Distributed `json:"distributed,omitempty"`

	Client
}

// Prepare replaces placeholders, checks the options and applies defaults.
func (g *Getter) Prepare() error {
	replacer := newReplacer()
	replacer.replace("url", &g.URL)
	replacer.replace("cache_dir", &g.CacheDir)
	g.replacePlaceholders(replacer)
	if g.Distributed != nil {
		g.Distributed.identifyStorage()
		g.Distributed.replacePlaceholders(replacer)
	}
	if replacer.err != nil {
		return replacer.err
	}
	if err := g.check(); err != nil {
		return err
	}
	g.ApplyDefaults()
	return nil
}

// Defaults of the options that have one.
const (
	DefaultDefaultTTL           = time.Hour
	DefaultNegativeTTL          = time.Minute
	DefaultTimeout              = 10 * time.Second
	defaultStaleIfError         = 24 * time.Hour
	defaultRefreshAhead         = On
	defaultMaxDisk              = 4 << 30
	defaultMaxMemory            = 256 << 20
	defaultMaxNegativeMemory    = 16 << 20
	DefaultMaxConcurrentFetches = 512
)

// ApplyDefaults sets what is absent.
func (g *Getter) ApplyDefaults() {
	applyDefault(&g.DefaultTTL, caddy.Duration(DefaultDefaultTTL))
	applyDefault(&g.NegativeTTL, caddy.Duration(DefaultNegativeTTL))
	applyDefault(&g.Timeout, caddy.Duration(DefaultTimeout))
	applyDefault(&g.StaleIfError, caddy.Duration(defaultStaleIfError))
	applyDefault(&g.RefreshAhead, defaultRefreshAhead)
	applyDefault(&g.MaxDisk, defaultMaxDisk)
	applyDefault(&g.MaxMemory, defaultMaxMemory)
	applyDefault(&g.MaxNegativeMemory, defaultMaxNegativeMemory)
	applyDefault(&g.MaxConcurrentFetches, DefaultMaxConcurrentFetches)
	if g.Distributed != nil {
		g.Distributed.applyDefaults()
	}
}

func applyDefault[T comparable](option *T, value T) {
	var absent T
	if *option == absent {
		*option = value
	}
}

// check finds what is wrong with the options, however they were written. No text names a value that may be secret.
func (g *Getter) check() error {
	if err := CheckURL(g.URL); err != nil {
		return err
	}
	for _, option := range []struct {
		name     string
		duration caddy.Duration
	}{
		{"ttl", g.TTL},
		{"default_ttl", g.DefaultTTL},
		{"negative_ttl", g.NegativeTTL},
		{"timeout", g.Timeout},
		{"stale_if_error", max(0, g.StaleIfError)}, // negative is off
	} {
		if option.duration == 0 {
			continue // absent
		}
		if err := CheckDuration(time.Duration(option.duration)); err != nil {
			return fmt.Errorf("%s: %w", option.name, err)
		}
	}
	if g.TTL != 0 && g.DefaultTTL != 0 {
		return ErrContradictoryTTL
	}
	if g.MaxDisk != 0 && g.CacheDir == "" {
		return errors.New("max_disk is about what cache_dir holds, which is missing: name a folder there, or leave max_disk out")
	}
	if g.OnNegative != "" {
		if err := CheckOnNegative(g.OnNegative); err != nil {
			return err
		}
	}
	for option, value := range map[string]string{"refresh_ahead": g.RefreshAhead, "share_names": g.ShareNames} {
		if value != "" {
			if err := CheckSwitch(option, value); err != nil {
				return err
			}
		}
	}
	if g.MaxConcurrentFetches != 0 {
		if err := CheckNumber("max_concurrent_fetches", g.MaxConcurrentFetches); err != nil {
			return err
		}
	}
	if g.Distributed != nil {
		if err := CheckDistributed(g.Distributed); err != nil {
			return err
		}
	}
	return g.Client.check()
}
