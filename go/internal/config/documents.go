package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// Engine is the document that a native engine is opened with.
type Engine struct {
	Backend              string `json:"backend"`
	CacheDir             string `json:"cache_dir,omitempty"`
	MaxDisk              uint64 `json:"max_disk"`
	MaxMemory            uint64 `json:"max_memory"`
	MaxNegativeMemory    uint64 `json:"max_negative_memory"`
	MaxConcurrentFetches int    `json:"max_concurrent_fetches"`
	// Distributed is another one for each module instance, so that each configuration that begins to run has the key files
	// read anew.
	Distributed *Fleet `json:"distributed,omitempty"`
}

// Engine returns the settings of the engine that the options are about. Engines with one backend and one cache
// directory are the same; the rest are limits.
func (g *Getter) Engine() (Engine, error) {
	backend, err := BackendName(g.URL)
	if err != nil {
		return Engine{}, err
	}
	engine := Engine{
		Backend:              backend,
		MaxDisk:              uint64(g.MaxDisk),
		MaxMemory:            uint64(g.MaxMemory),
		MaxNegativeMemory:    uint64(g.MaxNegativeMemory),
		MaxConcurrentFetches: g.MaxConcurrentFetches,
	}
	if engine.Distributed, err = g.Distributed.fleet(); err != nil {
		return Engine{}, err
	}
	if g.CacheDir != "" {
		if engine.CacheDir, err = filepath.Abs(g.CacheDir); err != nil {
			return Engine{}, fmt.Errorf("cache_dir: %w", err)
		}
	}
	return engine, nil
}

// MaxLimits has the greater of each limit. What is shared with a fleet is as this one says, or as the other does if this says
// nothing.
func (e Engine) MaxLimits(other Engine) Engine {
	if e.Distributed == nil {
		e.Distributed = other.Distributed
	}
	e.MaxDisk = max(e.MaxDisk, other.MaxDisk)
	e.MaxMemory = max(e.MaxMemory, other.MaxMemory)
	e.MaxNegativeMemory = max(e.MaxNegativeMemory, other.MaxNegativeMemory)
	e.MaxConcurrentFetches = max(e.MaxConcurrentFetches, other.MaxConcurrentFetches)
	return e
}

// Document is the settings as JSON.
func (e Engine) Document() ([]byte, error) { return json.Marshal(e) }

// BackendName is the backend's URL as a name for its store: without credentials, and without the query, which
// may hold a secret too but tells backends apart, so that a digest stands for it.
func BackendName(backend string) (string, error) {
	parsed, err := parseURL(backend)
	if err != nil {
		return "", err
	}
	name := url.URL{Scheme: parsed.Scheme, Host: strings.ToLower(parsed.Host), Path: parsed.Path, RawPath: parsed.RawPath}
	if name.Path == "" {
		name.Path = "/"
	}
	if parsed.RawQuery != "" {
		digest := sha256.Sum256([]byte(parsed.RawQuery))
		name.RawQuery = "sha256=" + hex.EncodeToString(digest[:8])
	}
	return name.String(), nil
}

// parseURL hides the parser's own error, which quotes the URL.
func parseURL(text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL of the backend can't be parsed")
	}
	return parsed, nil
}

// Identity stands for what the backend knows the client by, and the client the backend: what one is told may not be
// meant for another, or come from somebody whom the other doesn't trust.
type Identity [sha256.Size]byte

// Identity digests the options that make it up; of files the text, wherever it lies.
func (g *Getter) Identity() (Identity, error) {
	parsed, err := parseURL(g.URL)
	if err != nil {
		return Identity{}, err
	}
	trustedCA, clientCertificate, err := g.pemTexts()
	if err != nil {
		return Identity{}, err
	}
	text, err := json.Marshal([]any{parsed.User.String(), g.headers(), trustedCA, clientCertificate})
	return sha256.Sum256(text), err
}

// LookupDocument is the document that a lookup config is opened with. It holds secrets.
func (g *Getter) LookupDocument() ([]byte, error) {
	trustedCA, clientCertificate, err := g.pemTexts()
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		URL                  string      `json:"url"`
		TTL                  int64       `json:"ttl_ms,omitempty"`
		DefaultTTL           int64       `json:"default_ttl_ms"`
		NegativeTTL          int64       `json:"negative_ttl_ms"`
		Timeout              int64       `json:"timeout_ms"`
		StaleIfError         int64       `json:"stale_if_error_ms"`
		RefreshAhead         bool        `json:"refresh_ahead"`
		ShareNames           bool        `json:"share_names,omitempty"`
		Headers              [][2]string `json:"headers,omitempty"`
		TrustedCAPEM         string      `json:"trusted_ca_pem,omitempty"`
		ClientCertificatePEM string      `json:"client_certificate_pem,omitempty"`
	}{
		URL:          g.URL,
		TTL:          time.Duration(g.TTL).Milliseconds(),
		DefaultTTL:   time.Duration(g.DefaultTTL).Milliseconds(),
		NegativeTTL:  time.Duration(g.NegativeTTL).Milliseconds(),
		Timeout:      time.Duration(g.Timeout).Milliseconds(),
		StaleIfError: max(0, time.Duration(g.StaleIfError).Milliseconds()),
		RefreshAhead: g.RefreshAhead == On,
		ShareNames:   g.ShareNames == On,

		Headers:              g.headers(),
		TrustedCAPEM:         trustedCA,
		ClientCertificatePEM: clientCertificate,
	})
}
