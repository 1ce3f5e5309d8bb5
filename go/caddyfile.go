package cachedhttp

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
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
//	    timeout                <duration>
//	    stale_if_error         <duration>|off
//	    refresh_ahead          on|off
//	    on_negative            pass|deny
//	    max_memory             <size>
//	    max_negative_memory    <size>
//	    max_concurrent_fetches <number>
//	    header                 <name> <value>
//	    trusted_ca             <pem_files...>
//	    client_certificate     <cert_pem_file> <key_pem_file>
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
		parse, known := options[option]
		if !known {
			return d.Errf("unknown option %q; the options are %s", option, optionNames)
		}
		if seen[option] && option != "header" {
			return d.Errf("option %s is repeated; only header may stand more than once", option)
		}
		seen[option] = true
		if err := parse(g, d); err != nil {
			return err
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("option %s has no block", option)
		}
		if seen["ttl"] && seen["default_ttl"] {
			return d.WrapErr(config.ErrContradictoryTTL)
		}
	}
	return nil
}

const optionNames = "ttl, default_ttl, negative_ttl, cache_dir, timeout, stale_if_error, refresh_ahead, on_negative, " +
	"max_memory, max_negative_memory, max_concurrent_fetches, header, trusted_ca and client_certificate"

// options has the function that reads the arguments of each option.
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
		if d.CountRemainingArgs() == 1 && d.NextArg() {
			if d.Val() == config.Off {
				g.StaleIfError = -1
				return nil
			}
			d.Prev()
		}
		return parseDuration(d, &g.StaleIfError)
	},
	"refresh_ahead": func(g *CertGetter, d *caddyfile.Dispenser) error {
		if !d.AllArgs(&g.RefreshAhead) {
			return d.Err("refresh_ahead takes one argument: on or off")
		}
		if err := config.CheckRefreshAhead(g.RefreshAhead); err != nil {
			return d.WrapErr(err)
		}
		return nil
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
		var text string
		if !d.AllArgs(&text) {
			return d.Err("max_concurrent_fetches takes one argument: a number")
		}
		number, err := strconv.Atoi(text)
		if err != nil {
			return d.Errf("max_concurrent_fetches: %q is not a number", text)
		}
		if err := config.CheckMaxConcurrentFetches(number); err != nil {
			return d.WrapErr(err)
		}
		g.MaxConcurrentFetches = number
		return nil
	},
	"header": func(g *CertGetter, d *caddyfile.Dispenser) error {
		var name, value string
		if !d.AllArgs(&name, &value) {
			return d.Err(`header takes two arguments: a name and a value, in quotes if it has spaces`)
		}
		if err := config.CheckHeader(name, value); err != nil {
			return d.WrapErr(err)
		}
		if g.Header == nil {
			g.Header = make(map[string][]string)
		}
		name = http.CanonicalHeaderKey(name)
		g.Header[name] = append(g.Header[name], value)
		return nil
	},
	"trusted_ca": func(g *CertGetter, d *caddyfile.Dispenser) error {
		g.TrustedCA = d.RemainingArgs()
		if len(g.TrustedCA) == 0 || slices.Contains(g.TrustedCA, "") {
			return d.Err("trusted_ca takes the paths of PEM files")
		}
		return nil
	},
	"client_certificate": func(g *CertGetter, d *caddyfile.Dispenser) error {
		pair := new(config.ClientCertificate)
		if !d.AllArgs(&pair.Certificate, &pair.Key) || pair.Certificate == "" || pair.Key == "" {
			return d.Err("client_certificate takes two arguments: the path of the certificate and that of its key")
		}
		g.ClientCertificate = pair
		return nil
	},
}

func parseDuration(d *caddyfile.Dispenser, option *caddy.Duration) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s takes one argument: a duration such as 90s, 1h30m and 7d", name)
	}
	duration, err := caddy.ParseDuration(text)
	if err != nil {
		return d.Errf("%s: %q is not a duration; write one such as 90s, 1h30m and 7d", name, text)
	}
	if err := config.CheckDuration(duration); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	*option = caddy.Duration(duration)
	return nil
}

func parseSize(d *caddyfile.Dispenser, option *config.ByteSize) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s takes one argument: a size such as 256MiB", name)
	}
	size, err := config.ParseByteSize(text)
	if err != nil {
		return d.Errf("%s: %v", name, err)
	}
	if size == 0 {
		return d.Errf("%s: 0 is too small; write a size such as 256MiB", name)
	}
	// Whoever writes 256 means MiB; 256 bytes would hold nothing.
	if strings.Trim(text, "0123456789") == "" {
		return d.Errf("%s: %s has no unit; write a size such as 256MiB", name, text)
	}
	*option = size
	return nil
}
