package cachedhttp

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
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
//	    max_negative           <size>
//	    max_concurrent_fetches <number>
//	    header                 <name> <value>
//	    trusted_ca             <pem_files...>
//	    client_certificate     <cert_pem_file> <key_pem_file>
//	}
//
// The block may be absent. Only header may be repeated.
func (getter *CertGetter) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume cert manager name
	if !d.AllArgs(&getter.URL) {
		return d.Err("expected one argument: the URL of the backend")
	}
	if err := checkURL(getter.URL); err != nil {
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
		if err := parse(getter, d); err != nil {
			return err
		}
		if d.NextBlock(nesting + 1) {
			return d.Errf("option %s has no block", option)
		}
		if seen["ttl"] && seen["default_ttl"] {
			return d.WrapErr(errContradictoryTTL)
		}
	}
	return nil
}

const optionNames = "ttl, default_ttl, negative_ttl, cache_dir, timeout, stale_if_error, refresh_ahead, on_negative, " +
	"max_memory, max_negative, max_concurrent_fetches, header, trusted_ca and client_certificate"

// options has the function that reads the arguments of each option.
var options = map[string]func(*CertGetter, *caddyfile.Dispenser) error{
	"ttl": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &getter.TTL)
	},
	"default_ttl": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &getter.DefaultTTL)
	},
	"negative_ttl": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &getter.NegativeTTL)
	},
	"timeout": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		return parseDuration(d, &getter.Timeout)
	},
	"stale_if_error": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		if d.CountRemainingArgs() == 1 && d.NextArg() {
			if d.Val() == off {
				getter.StaleIfError = -1
				return nil
			}
			d.Prev()
		}
		return parseDuration(d, &getter.StaleIfError)
	},
	"refresh_ahead": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		if !d.AllArgs(&getter.RefreshAhead) {
			return d.Err("refresh_ahead takes one argument: on or off")
		}
		if err := checkRefreshAhead(getter.RefreshAhead); err != nil {
			return d.WrapErr(err)
		}
		return nil
	},
	"max_memory": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		return parseSize(d, &getter.MaxMemory)
	},
	"max_negative": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		return parseSize(d, &getter.MaxNegative)
	},
	"cache_dir": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		if !d.AllArgs(&getter.CacheDir) || getter.CacheDir == "" {
			return d.Err("cache_dir takes one argument: the path of a folder")
		}
		return nil
	},
	"on_negative": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		if !d.AllArgs(&getter.OnNegative) {
			return d.Err("on_negative takes one argument: pass or deny")
		}
		if err := checkOnNegative(getter.OnNegative); err != nil {
			return d.WrapErr(err)
		}
		return nil
	},
	"max_concurrent_fetches": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		var text string
		if !d.AllArgs(&text) {
			return d.Err("max_concurrent_fetches takes one argument: a number")
		}
		number, err := strconv.Atoi(text)
		if err != nil {
			return d.Errf("max_concurrent_fetches: %q is not a number", text)
		}
		if err := checkMaxConcurrentFetches(number); err != nil {
			return d.WrapErr(err)
		}
		getter.MaxConcurrentFetches = number
		return nil
	},
	"header": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		var name, value string
		if !d.AllArgs(&name, &value) {
			return d.Err(`header takes two arguments: a name and a value, in quotes if it has spaces`)
		}
		if err := checkHeader(name, value); err != nil {
			return d.WrapErr(err)
		}
		if getter.Header == nil {
			getter.Header = make(map[string][]string)
		}
		name = http.CanonicalHeaderKey(name)
		getter.Header[name] = append(getter.Header[name], value)
		return nil
	},
	"trusted_ca": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		getter.TrustedCA = d.RemainingArgs()
		if len(getter.TrustedCA) == 0 || slices.Contains(getter.TrustedCA, "") {
			return d.Err("trusted_ca takes the paths of PEM files")
		}
		return nil
	},
	"client_certificate": func(getter *CertGetter, d *caddyfile.Dispenser) error {
		pair := new(ClientCertificate)
		if !d.AllArgs(&pair.Certificate, &pair.Key) || pair.Certificate == "" || pair.Key == "" {
			return d.Err("client_certificate takes two arguments: the path of the certificate and that of its key")
		}
		getter.ClientCertificate = pair
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
	if err := checkDuration(duration); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	*option = caddy.Duration(duration)
	return nil
}

func parseSize(d *caddyfile.Dispenser, option *ByteSize) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s takes one argument: a size such as 256MiB", name)
	}
	size, err := ParseByteSize(text)
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
