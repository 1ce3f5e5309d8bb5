package cachedhttp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddyserver/caddy/v2"
)

// Defaults of the options that have one.
const (
	defaultDefaultTTL           = time.Hour
	defaultNegativeTTL          = time.Minute
	defaultTimeout              = 10 * time.Second
	defaultStaleIfError         = 24 * time.Hour
	defaultRefreshAhead         = on
	defaultMaxMemory            = 256 << 20
	defaultMaxNegative          = 16 << 20
	defaultMaxConcurrentFetches = 64
)

func (getter *CertGetter) applyDefaults() {
	applyDefault(&getter.DefaultTTL, caddy.Duration(defaultDefaultTTL))
	applyDefault(&getter.NegativeTTL, caddy.Duration(defaultNegativeTTL))
	applyDefault(&getter.Timeout, caddy.Duration(defaultTimeout))
	applyDefault(&getter.StaleIfError, caddy.Duration(defaultStaleIfError))
	applyDefault(&getter.RefreshAhead, defaultRefreshAhead)
	applyDefault(&getter.MaxMemory, defaultMaxMemory)
	applyDefault(&getter.MaxNegative, defaultMaxNegative)
	applyDefault(&getter.MaxConcurrentFetches, defaultMaxConcurrentFetches)
}

func applyDefault[T comparable](option *T, value T) {
	var absent T
	if *option == absent {
		*option = value
	}
}

// replacePlaceholders replaces them where the documentation says so. One that is unknown or empty is an error.
func (getter *CertGetter) replacePlaceholders() error {
	replacer := caddy.NewReplacer()
	replace := func(option, text string) (string, error) {
		replaced, err := replacer.ReplaceOrErr(text, true, true)
		if err != nil {
			return "", fmt.Errorf("%s: %w", option, err)
		}
		return replaced, nil
	}
	var err error
	if getter.URL, err = replace("url", getter.URL); err != nil {
		return err
	}
	if getter.CacheDir, err = replace("cache_dir", getter.CacheDir); err != nil {
		return err
	}
	for name, values := range getter.Header {
		for index := range values {
			if values[index], err = replace("header "+name, values[index]); err != nil {
				return err
			}
			if !httpguts.ValidHeaderFieldValue(values[index]) {
				return fmt.Errorf("header: the value of %s has characters that no header field may have", name)
			}
		}
	}
	for index := range getter.TrustedCA {
		if getter.TrustedCA[index], err = replace("trusted_ca", getter.TrustedCA[index]); err != nil {
			return err
		}
	}
	if pair := getter.ClientCertificate; pair != nil {
		if pair.Certificate, err = replace("client_certificate", pair.Certificate); err != nil {
			return err
		}
		if pair.Key, err = replace("client_certificate", pair.Key); err != nil {
			return err
		}
	}
	return nil
}

// originName is the backend's URL as a name for its store: without credentials, and without the query, which
// may hold a secret too but tells backends apart, so that a digest stands for it.
func originName(backend string) (string, error) {
	parsed, err := url.Parse(backend)
	if err != nil {
		return "", errors.New("the URL of the backend can't be parsed")
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

// engineSettings is the document that a native engine is opened with.
type engineSettings struct {
	Origin               string `json:"backend"`
	CacheDir             string `json:"cache_dir,omitempty"`
	MaxMemory            uint64 `json:"max_memory"`
	MaxNegative          uint64 `json:"max_negative_memory"`
	MaxConcurrentFetches int    `json:"max_concurrent_fetches"`
}

func (getter *CertGetter) engineSettings(key engineKey) engineSettings {
	return engineSettings{
		key.origin, key.cacheDir,
		uint64(getter.MaxMemory), uint64(getter.MaxNegative), getter.MaxConcurrentFetches,
	}
}

// orMore has the greater of each limit.
func (settings engineSettings) orMore(other engineSettings) engineSettings {
	settings.MaxMemory = max(settings.MaxMemory, other.MaxMemory)
	settings.MaxNegative = max(settings.MaxNegative, other.MaxNegative)
	settings.MaxConcurrentFetches = max(settings.MaxConcurrentFetches, other.MaxConcurrentFetches)
	return settings
}

func (settings engineSettings) document() ([]byte, error) { return json.Marshal(settings) }

// identity stands for what the backend knows the module instance by: its answers may depend on it.
func (getter *CertGetter) identity() ([sha256.Size]byte, error) {
	parsed, err := url.Parse(getter.URL)
	if err != nil {
		return [sha256.Size]byte{}, errors.New("the URL of the backend can't be parsed")
	}
	text, err := json.Marshal([]any{parsed.User.String(), getter.Header, getter.ClientCertificate})
	return sha256.Sum256(text), err
}

// instanceSettings is the document that a native instance is opened with. It holds secrets.
func (getter *CertGetter) instanceSettings() ([]byte, error) {
	settings := struct {
		URL                  string      `json:"url"`
		TTL                  int64       `json:"ttl_ms,omitempty"`
		DefaultTTL           int64       `json:"default_ttl_ms"`
		NegativeTTL          int64       `json:"negative_ttl_ms"`
		Timeout              int64       `json:"timeout_ms"`
		StaleIfError         int64       `json:"stale_if_error_ms"`
		RefreshAhead         bool        `json:"refresh_ahead"`
		Headers              [][2]string `json:"headers,omitempty"`
		TrustedCAPEM         string      `json:"trusted_ca_pem,omitempty"`
		ClientCertificatePEM string      `json:"client_certificate_pem,omitempty"`
	}{
		URL:         getter.URL,
		TTL:         time.Duration(getter.TTL).Milliseconds(),
		DefaultTTL:  time.Duration(getter.DefaultTTL).Milliseconds(),
		NegativeTTL: time.Duration(getter.NegativeTTL).Milliseconds(),
		Timeout:     time.Duration(getter.Timeout).Milliseconds(),

		StaleIfError: max(0, time.Duration(getter.StaleIfError).Milliseconds()),
		RefreshAhead: getter.RefreshAhead == on,
	}
	for _, name := range slices.Sorted(maps.Keys(getter.Header)) {
		for _, value := range getter.Header[name] {
			settings.Headers = append(settings.Headers, [2]string{name, value})
		}
	}
	var err error
	if settings.TrustedCAPEM, err = readPEM("trusted_ca", getter.TrustedCA...); err != nil {
		return nil, err
	}
	if pair := getter.ClientCertificate; pair != nil {
		settings.ClientCertificatePEM, err = readPEM("client_certificate", pair.Certificate, pair.Key)
		if err != nil {
			return nil, err
		}
	}
	return json.Marshal(settings)
}

// maxPEMFile is more than a file with every public authority has.
const maxPEMFile = 4 << 20

// readPEM joins files. What is in them is checked on the other side; here only that it can be passed on.
func readPEM(option string, paths ...string) (string, error) {
	var joined strings.Builder
	for _, path := range paths {
		about, err := os.Stat(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", option, err)
		}
		if !about.Mode().IsRegular() || about.Size() > maxPEMFile {
			return "", fmt.Errorf("%s: %s is not a file of at most %d bytes", option, path, maxPEMFile)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", option, err)
		}
		joined.Write(text)
		joined.WriteByte('\n')
	}
	return joined.String(), nil
}
