package cachedhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddyserver/caddy/v2"
)

// largestMaxConcurrentFetches bounds the threads that wait for the backend.
const largestMaxConcurrentFetches = 1024

// check finds what is wrong with the options, however they were written. Options that hold placeholders are
// checked when those are replaced. No text names a value that may be secret.
func (getter *CertGetter) check() error {
	if err := checkURL(getter.URL); err != nil {
		return err
	}
	for _, option := range []struct {
		name     string
		duration caddy.Duration
	}{
		{"ttl", getter.TTL},
		{"default_ttl", getter.DefaultTTL},
		{"negative_ttl", getter.NegativeTTL},
		{"timeout", getter.Timeout},
		{"stale_if_error", max(0, getter.StaleIfError)}, // negative is off
	} {
		if option.duration == 0 {
			continue // absent
		}
		if err := checkDuration(time.Duration(option.duration)); err != nil {
			return fmt.Errorf("%s: %w", option.name, err)
		}
	}
	if getter.TTL != 0 && getter.DefaultTTL != 0 {
		return errContradictoryTTL
	}
	if getter.OnNegative != "" {
		if err := checkOnNegative(getter.OnNegative); err != nil {
			return err
		}
	}
	if getter.RefreshAhead != "" {
		if err := checkRefreshAhead(getter.RefreshAhead); err != nil {
			return err
		}
	}
	if getter.MaxConcurrentFetches != 0 {
		if err := checkMaxConcurrentFetches(getter.MaxConcurrentFetches); err != nil {
			return err
		}
	}
	for name, values := range getter.Header {
		for _, value := range values {
			if err := checkHeader(name, value); err != nil {
				return err
			}
		}
	}
	if slices.Contains(getter.TrustedCA, "") {
		return errors.New("trusted_ca: a path is empty")
	}
	if pair := getter.ClientCertificate; pair != nil && (pair.Certificate == "" || pair.Key == "") {
		return errors.New("client_certificate needs two paths: that of the certificate and that of its key")
	}
	return nil
}

var errContradictoryTTL = errors.New("ttl and default_ttl contradict each other: " +
	"ttl overrides every response, so that default_ttl has no effect; use one of them")

func checkURL(text string) error {
	if text == "" {
		return errors.New("the URL of the backend is missing")
	}
	if hasPlaceholder(text) {
		return nil
	}
	parsed, err := url.Parse(text)
	if err != nil {
		// The parser's own text quotes the URL, which may hold a password.
		return errors.New("the URL of the backend can't be parsed; write it as in https://host:port/path")
	}
	if (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Hostname() == "" {
		return errors.New("the URL of the backend must start with http:// or https:// and name a host")
	}
	if parsed.Fragment != "" {
		return errors.New("the URL of the backend must not have a fragment (#...), which is never sent")
	}
	return nil
}

func checkDuration(duration time.Duration) error {
	if duration < time.Millisecond {
		return fmt.Errorf("%v is too short; 1ms or more is allowed, such as 90s, 1h30m and 7d", duration)
	}
	return nil
}

func checkOnNegative(value string) error {
	if value != onNegativePass && value != onNegativeDeny {
		return fmt.Errorf("on_negative: %q is unknown; %s and %s are allowed", value, onNegativePass, onNegativeDeny)
	}
	return nil
}

// Values of refresh_ahead.
const (
	on  = "on"
	off = "off"
)

func checkRefreshAhead(value string) error {
	if value != on && value != off {
		return fmt.Errorf("refresh_ahead: %q is unknown; %s and %s are allowed", value, on, off)
	}
	return nil
}

func checkMaxConcurrentFetches(number int) error {
	if number < 1 || number > largestMaxConcurrentFetches {
		return fmt.Errorf("max_concurrent_fetches: %d is out of range; 1 to %d are allowed", number, largestMaxConcurrentFetches)
	}
	return nil
}

// Fields that say how a message is framed or coded, which is the client's own affair.
var ownHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Te", "Transfer-Encoding", "Upgrade",
}

func checkHeader(name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header: %q is not the name of a header field", name)
	}
	if slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)) {
		return fmt.Errorf("header: %s can't be set; the module sets it where it is needed", name)
	}
	if !hasPlaceholder(value) && !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("header: the value of %s has characters that no header field may have", name)
	}
	return nil
}

func hasPlaceholder(text string) bool {
	_, rest, opened := strings.Cut(text, "{")
	return opened && strings.Contains(rest, "}")
}
