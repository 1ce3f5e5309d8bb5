package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Permission is the options of the permission module.
type Permission struct {
	// The endpoint to ask about a name for which the managers' backends have no certificate, with a query parameter
	// `domain`. A 2xx status allows the name, a 4xx status denies it; anything else, 408 and 429 too, is an error that
	// is not kept. Redirects are not followed. Placeholders are replaced. Default: none, such names are denied.
	Ask string `json:"ask,omitempty"`

	// How long a yes of `ask` is kept. Default: `1h`.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long a no of `ask` is kept. Default: `60s`.
	NegativeTTL caddy.Duration `json:"negative_ttl,omitempty"`

	// How long `ask` may take. Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Of requests to `ask`.
	Client
}

// ErrAskMissing is for options that say something about ask.
var ErrAskMissing = errors.New("every option is about ask, which is missing")

// Prepare replaces placeholders, checks the options and applies defaults.
func (p *Permission) Prepare() error {
	if p.Ask == "" {
		if p.TTL != 0 || p.NegativeTTL != 0 || p.Timeout != 0 || !p.Client.isZero() {
			return ErrAskMissing
		}
		return nil
	}
	replacer := newReplacer()
	replacer.replace("ask", &p.Ask)
	p.replacePlaceholders(replacer)
	if replacer.err != nil {
		return replacer.err
	}
	if err := CheckURL(p.Ask); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	applyDefault(&p.TTL, caddy.Duration(DefaultDefaultTTL))
	applyDefault(&p.NegativeTTL, caddy.Duration(DefaultNegativeTTL))
	applyDefault(&p.Timeout, caddy.Duration(DefaultTimeout))
	for name, option := range map[string]caddy.Duration{
		"ttl": p.TTL, "negative_ttl": p.NegativeTTL, "timeout": p.Timeout,
	} {
		if err := CheckDuration(time.Duration(option)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return p.check()
}
