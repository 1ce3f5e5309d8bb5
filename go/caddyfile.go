package cachedhttp

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// UnmarshalCaddyfile reads the manager's line and block.
//
//	get_certificate cached_http <url> {
//	    ttl                    <duration>
//	    default_ttl            <duration>
//	    negative_ttl           <duration>
//	    cache_dir              <path>
//	    max_disk               <size>
//	    timeout                <duration>
//	    stale_if_error         <duration>|off
//	    refresh_ahead          on|off
//	    share_names            on|off
//	    on_negative            pass|deny
//	    max_memory             <size>
//	    max_negative_memory    <size>
//	    max_concurrent_fetches <number>
//	    header                 <name> <value>
//	    trusted_ca             <pem_files...>
//	    client_certificate     <cert_pem_file> <key_pem_file>
//	    distributed {
//	        encryption_key <key_files...>
//	        storage        <name> ...
//	        read_interval  <duration>
//	        timeout        <duration>
//	        max_concurrent <number>
//	    }
//	}
//
// The block may be absent. Only header may be repeated.
func (g *CertGetter) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume cert manager name
	if !d.AllArgs(&g.URL) {
		return d.Err("expected one argument: the URL of the backend")
	}
	if err := config.CheckURL(g.URL); err != nil {
		return d.WrapErr(err)
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] && option != "header" {
			return d.Errf("option %s is repeated; only header may stand more than once", option)
		}
		seen[option] = true
		if parse, known := options[option]; known {
			if err := parse(g, d); err != nil {
				return err
			}
		} else if parse, known := clientOptions[option]; known {
			if err := parse(&g.Client, d); err != nil {
				return err
			}
		} else {
			return d.Errf("unknown option %q; the options are %s", option, optionNames)
		}
		if option != "distributed" && d.NextBlock(nesting+1) {
			return d.Errf("option %s has no block", option)
		}
		if seen["ttl"] && seen["default_ttl"] {
			return d.WrapErr(config.ErrContradictoryTTL)
		}
	}
	return nil
}

const optionNames = "ttl, default_ttl, negative_ttl, cache_dir, max_disk, timeout, stale_if_error, refresh_ahead, share_names, on_negative, " +
	"max_memory, max_negative_memory, max_concurrent_fetches, distributed, header, trusted_ca and client_certificate"

// options has the function that reads the arguments of each option, but for clientOptions.
var options = map[string]func(*CertGetter, *caddyfile.Dispenser) error{
	"ttl": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &g.TTL)
	},
	"default_ttl": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &g.DefaultTTL)
	},
	"negative_ttl": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &g.NegativeTTL)
	},
	"timeout": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &g.Timeout)
	},
	"stale_if_error": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseDurationOrOff(d, &g.StaleIfError, config.CheckDuration)
	},
	"refresh_ahead": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseSwitch(d, &g.RefreshAhead)
	},
	"share_names": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseSwitch(d, &g.ShareNames)
	},
	"distributed": func(g *CertGetter, d *caddyfile.Dispenser) (err error) {
		g.Distributed, err = parseDistributed(d)
		return err
	},
	"max_disk": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseSize(d, &g.MaxDisk)
	},
	"max_memory": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseSize(d, &g.MaxMemory)
	},
	"max_negative_memory": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseSize(d, &g.MaxNegativeMemory)
	},
	"cache_dir": func(g *CertGetter, d *caddyfile.Dispenser) error {
		if !d.AllArgs(&g.CacheDir) || g.CacheDir == "" {
			return d.Err("cache_dir takes one argument: the path of a folder")
		}
		return nil
	},
	"on_negative": func(g *CertGetter, d *caddyfile.Dispenser) error {
		if !d.AllArgs(&g.OnNegative) {
			return d.Err("on_negative takes one argument: pass or deny")
		}
		if err := config.CheckOnNegative(g.OnNegative); err != nil {
			return d.WrapErr(err)
		}
		return nil
	},
	"max_concurrent_fetches": func(g *CertGetter, d *caddyfile.Dispenser) error {
		return parseNumber(d, &g.MaxConcurrentFetches)
	},
}
