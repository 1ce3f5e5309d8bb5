package cachedhttp

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// UnmarshalCaddyfile reads the permission's line and block.
//
//	permission cached_http {
//	    ask                   <url>
//	    resolves_to           <addresses_or_hosts...>
//	    resolvers             <dns_servers...>
//	    ttl                   <duration>
//	    negative_ttl          <duration>
//	    timeout               <duration>
//	    cooldown              <duration>|off
//	    max_orders            <number>
//	    max_orders_per_domain <number>
//	    header                <name> <value>
//	    trusted_ca            <pem_files...>
//	    client_certificate    <cert_pem_file> <key_pem_file>
//	}
//
// The block may be absent. Only header may be repeated.
func (p *Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume permission name
	if d.NextArg() {
		return d.Err("permission cached_http takes no argument: it answers from the get_certificate cached_http of the configuration")
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] && option != "header" {
			return d.Errf("option %s is repeated; only header may stand more than once", option)
		}
		seen[option] = true
		if err := p.parseOption(option, d); err != nil {
			return err
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("option %s has no block", option)
		}
	}
	return wrapped(d, p.CheckTogether())
}

func (p *Permission) parseOption(option string, d *caddyfile.Dispenser) error {
	switch option {
	case "ask":
		if !d.AllArgs(&p.Ask) {
			return d.Err("ask takes one argument: the URL of an endpoint")
		}
		return wrapped(d, config.CheckURL(p.Ask))
	case "resolves_to":
		if p.ResolvesTo = d.RemainingArgs(); len(p.ResolvesTo) == 0 {
			return d.Err("resolves_to takes the addresses of this server, or names of hosts that have them")
		}
		return wrapped(d, config.CheckTargets(p.ResolvesTo))
	case "resolvers":
		if p.Resolvers = d.RemainingArgs(); len(p.Resolvers) == 0 {
			return d.Err("resolvers takes the addresses of DNS servers")
		}
		return wrapped(d, config.CheckResolvers(p.Resolvers))
	case "ttl":
		return parseDuration(d, &p.TTL)
	case "negative_ttl":
		return parseDuration(d, &p.NegativeTTL)
	case "timeout":
		return parseDuration(d, &p.Timeout)
	case "cooldown":
		return parseDurationOrOff(d, &p.Cooldown, config.CheckCooldown)
	case "max_orders":
		return parseNumber(d, &p.MaxOrders)
	case "max_orders_per_domain":
		return parseNumber(d, &p.MaxOrdersPerDomain)
	}
	if parse, known := clientOptions[option]; known {
		return parse(&p.Client, d)
	}
	return d.Errf("unknown option %q; the options are %s", option, permissionOptionNames)
}

const permissionOptionNames = "ask, resolves_to, resolvers, ttl, negative_ttl, timeout, cooldown, max_orders, max_orders_per_domain, " +
	"header, trusted_ca and client_certificate"

func wrapped(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}
