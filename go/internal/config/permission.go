package config

import (
	"cmp"
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

	// Where a name must point before Caddy orders a certificate for it: addresses of this server, or names of hosts that
	// have them. One of the name's addresses must be one of these or of these hosts. DNS servers alone are asked: the hosts
	// file of this machine says nothing about where clients are sent. A DNS that fails is an error and no "no". Without
	// `ask`, a name that points here is allowed. Placeholders are replaced. Default: anywhere.
	ResolvesTo []string `json:"resolves_to,omitempty"`

	// The DNS servers to ask for `resolves_to`, with a port if it isn't 53. Default: those of the system.
	Resolvers []string `json:"resolvers,omitempty"`

	// How long a yes of `ask` or `resolves_to` is kept. Default: `1h`.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long a no of `ask` or `resolves_to` is kept. Default: `60s`.
	NegativeTTL caddy.Duration `json:"negative_ttl,omitempty"`

	// How long `ask` may take, and `resolves_to`. Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long no order is made for a name after one has failed. It doubles with each failure in a row, up to 24 h, and
	// is up to a fifth shorter, by chance. Where new names of one registered domain fail one after the other, the domain
	// cools down as a whole, for 1 minute to as long as this. A certificate that Caddy has is served, and renewed in
	// time, all the same. A negative value, in a Caddyfile `off`, is none. Default: `10m`.
	Cooldown caddy.Duration `json:"cooldown,omitempty"`

	// How many orders on demand may be under way at once. What is beyond is denied. Default: 32.
	MaxOrders int `json:"max_orders,omitempty"`

	// How many of them may be of one registered domain, such as example.co.uk. Default: 4, or `max_orders` if that is less.
	MaxOrdersPerDomain int `json:"max_orders_per_domain,omitempty"`

	// Of requests to `ask`.
	Client
}

// Texts about options that have nothing to be about.
var (
	ErrAskMissing     = errors.New("header, trusted_ca and client_certificate are about ask, which is missing")
	ErrAnswersMissing = errors.New("ttl, negative_ttl and timeout are about answers of ask and resolves_to, which are both missing")
	ErrTargetsMissing = errors.New("resolvers are asked for resolves_to, which is missing")
)

// Defaults of orders.
const (
	defaultCooldown           = 10 * time.Minute
	defaultMaxOrders          = 32
	defaultMaxOrdersPerDomain = 4
)

// Prepare replaces placeholders, checks the options and applies defaults.
func (p *Permission) Prepare() error {
	replacer := newReplacer()
	replacer.replace("ask", &p.Ask)
	for i := range p.ResolvesTo {
		replacer.replace("resolves_to", &p.ResolvesTo[i])
	}
	for i := range p.Resolvers {
		replacer.replace("resolvers", &p.Resolvers[i])
	}
	p.replacePlaceholders(replacer)
	if replacer.err != nil {
		return replacer.err
	}
	if err := p.CheckTogether(); err != nil {
		return err
	}
	if p.Ask != "" {
		if err := CheckURL(p.Ask); err != nil {
			return fmt.Errorf("ask: %w", err)
		}
	}
	for _, check := range []error{CheckTargets(p.ResolvesTo), CheckResolvers(p.Resolvers)} {
		if check != nil {
			return check
		}
	}
	p.applyDefaults()
	if err := p.checkNumbers(); err != nil {
		return err
	}
	return p.check()
}

// CheckTogether finds an option that is about another one, which is missing or does not go with it.
func (p *Permission) CheckTogether() error {
	if all := cmp.Or(p.MaxOrders, defaultMaxOrders); p.MaxOrdersPerDomain > all {
		return fmt.Errorf("max_orders_per_domain: %d is more than max_orders, which is %d", p.MaxOrdersPerDomain, all)
	}
	if p.Ask == "" && !p.isZero() {
		return ErrAskMissing
	}
	if len(p.ResolvesTo) > 0 {
		return nil
	}
	if p.Ask == "" && (p.TTL != 0 || p.NegativeTTL != 0 || p.Timeout != 0) {
		return ErrAnswersMissing
	}
	if len(p.Resolvers) > 0 {
		return ErrTargetsMissing
	}
	return nil
}

func (p *Permission) applyDefaults() {
	applyDefault(&p.TTL, caddy.Duration(DefaultDefaultTTL))
	applyDefault(&p.NegativeTTL, caddy.Duration(DefaultNegativeTTL))
	applyDefault(&p.Timeout, caddy.Duration(DefaultTimeout))
	applyDefault(&p.Cooldown, caddy.Duration(defaultCooldown))
	applyDefault(&p.MaxOrders, defaultMaxOrders)
	applyDefault(&p.MaxOrdersPerDomain, min(defaultMaxOrdersPerDomain, p.MaxOrders))
}

func (p *Permission) checkNumbers() error {
	for name, option := range map[string]caddy.Duration{
		"ttl": p.TTL, "negative_ttl": p.NegativeTTL, "timeout": p.Timeout,
	} {
		if err := CheckDuration(time.Duration(option)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if p.Cooldown > 0 {
		if err := CheckCooldown(time.Duration(p.Cooldown)); err != nil {
			return fmt.Errorf("cooldown: %w", err)
		}
	}
	if err := CheckNumber("max_orders", p.MaxOrders); err != nil {
		return err
	}
	return CheckNumber("max_orders_per_domain", p.MaxOrdersPerDomain)
}
