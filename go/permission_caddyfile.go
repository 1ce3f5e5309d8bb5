package cachedhttp

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// UnmarshalCaddyfile reads the permission's line and block.
//
//	permission cached_http {
//	    ask                <url>
//	    ttl                <duration>
//	    negative_ttl       <duration>
//	    timeout            <duration>
//	    header             <name> <value>
//	    trusted_ca         <pem_files...>
//	    client_certificate <cert_pem_file> <key_pem_file>
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
	if p.Ask == "" && len(seen) > 0 {
		return d.WrapErr(config.ErrAskMissing)
	}
	return nil
}

func (p *Permission) parseOption(option string, d *caddyfile.Dispenser) error {
	switch option {
	case "ask":
		if !d.AllArgs(&p.Ask) {
			return d.Err("ask takes one argument: the URL of an endpoint")
		}
		if err := config.CheckURL(p.Ask); err != nil {
			return d.WrapErr(err)
		}
		return nil
	case "ttl":
		return parseDuration(d, &p.TTL)
	case "negative_ttl":
		return parseDuration(d, &p.NegativeTTL)
	case "timeout":
		return parseDuration(d, &p.Timeout)
	}
	if parse, known := clientOptions[option]; known {
		return parse(&p.Client, d)
	}
	return d.Errf("unknown option %q; the options are ask, ttl, negative_ttl, timeout, header, trusted_ca and client_certificate", option)
}
