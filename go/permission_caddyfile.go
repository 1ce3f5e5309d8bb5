package cachedhttp

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads the permission's line and block.
//
//	permission cached_http {
//	    ask          <url>
//	    ttl          <duration>
//	    negative_ttl <duration>
//	    timeout      <duration>
//	}
//
// The block may be absent.
func (permission *Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume permission name
	if d.NextArg() {
		return d.Err("permission cached_http takes no argument: it answers from the get_certificate cached_http of the configuration")
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return d.Errf("option %s is repeated", option)
		}
		seen[option] = true
		if err := permission.parseOption(option, d); err != nil {
			return err
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("option %s has no block", option)
		}
	}
	if permission.Ask == "" && len(seen) > 0 {
		return d.WrapErr(errAskMissing)
	}
	return nil
}

func (permission *Permission) parseOption(option string, d *caddyfile.Dispenser) error {
	switch option {
	case "ask":
		if !d.AllArgs(&permission.Ask) {
			return d.Err("ask takes one argument: the URL of an endpoint")
		}
		if err := checkURL(permission.Ask); err != nil {
			return d.WrapErr(err)
		}
		return nil
	case "ttl":
		return parseDuration(d, &permission.TTL)
	case "negative_ttl":
		return parseDuration(d, &permission.NegativeTTL)
	case "timeout":
		return parseDuration(d, &permission.Timeout)
	}
	return d.Errf("unknown option %q; the options are ask, ttl, negative_ttl and timeout", option)
}
