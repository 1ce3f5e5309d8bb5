package config

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Checks of single options, as soon as they are read. What holds placeholders is checked when those are replaced.

// ErrContradictoryTTL is for who sets both.
var ErrContradictoryTTL = errors.New("ttl and default_ttl contradict each other: " +
	"ttl overrides every response, so that default_ttl has no effect; use one of them")

// CheckURL checks the URL of a backend.
func CheckURL(text string) error {
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

// CheckDuration checks one that is not absent.
func CheckDuration(duration time.Duration) error {
	if duration < time.Millisecond {
		return fmt.Errorf("%v is too short; 1ms or more is allowed, such as 90s, 1h30m and 7d", duration)
	}
	return nil
}

// Values of on_negative.
const (
	OnNegativePass = "pass"
	OnNegativeDeny = "deny"
)

// CheckOnNegative checks on_negative.
func CheckOnNegative(value string) error {
	if value != OnNegativePass && value != OnNegativeDeny {
		return fmt.Errorf("on_negative: %q is unknown; %s and %s are allowed", value, OnNegativePass, OnNegativeDeny)
	}
	return nil
}

// Values of refresh_ahead and share_names; Off is one of stale_if_error, too.
const (
	On  = "on"
	Off = "off"
)

// CheckSwitch checks an option that is on or off.
func CheckSwitch(option, value string) error {
	if value != On && value != Off {
		return fmt.Errorf("%s: %q is unknown; %s and %s are allowed", option, value, On, Off)
	}
	return nil
}

// numbers are what the options that are numbers may be. Threads and connections are as many, at most.
var numbers = map[string]struct{ least, most int }{
	"max_concurrent_fetches": {1, 1024},
	"max_concurrent":         {2, 256},
	"max_orders":             {1, 10_000},
	"max_orders_per_domain":  {1, 10_000},
}

// CheckNumber checks one of those options.
func CheckNumber(option string, number int) error {
	allowed := numbers[option]
	if number < allowed.least || number > allowed.most {
		return fmt.Errorf("%s: %d is out of range; %d to %d are allowed", option, number, allowed.least, allowed.most)
	}
	return nil
}

// reservedHeaders say how a message is framed or coded, which is the client's own affair.
var reservedHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Te", "Transfer-Encoding", "Upgrade",
}

// CheckHeader checks a header field.
func CheckHeader(name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header: %q is not the name of a header field", name)
	}
	if slices.Contains(reservedHeaders, http.CanonicalHeaderKey(name)) {
		return fmt.Errorf("header: %s can't be set; the module sets it where it is needed", name)
	}
	if !hasPlaceholder(value) && !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("header: the value of %s has characters that no header field may have", name)
	}
	return nil
}
