package cachedhttp

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

// clientOptions are those of everything that makes requests.
var clientOptions = map[string]func(*config.Client, *caddyfile.Dispenser) error{
	"header": func(c *config.Client, d *caddyfile.Dispenser) error {
		var name, value string
		if !d.AllArgs(&name, &value) {
			return d.Err(`header takes two arguments: a name and a value, in quotes if it has spaces`)
		}
		if err := config.CheckHeader(name, value); err != nil {
			return d.WrapErr(err)
		}
		if c.Header == nil {
			c.Header = make(map[string][]string)
		}
		name = http.CanonicalHeaderKey(name)
		c.Header[name] = append(c.Header[name], value)
		return nil
	},
	"trusted_ca": func(c *config.Client, d *caddyfile.Dispenser) error {
		c.TrustedCA = d.RemainingArgs()
		if len(c.TrustedCA) == 0 || slices.Contains(c.TrustedCA, "") {
			return d.Err("trusted_ca takes the paths of PEM files")
		}
		return nil
	},
	"client_certificate": func(c *config.Client, d *caddyfile.Dispenser) error {
		pair := new(config.ClientCertificate)
		if !d.AllArgs(&pair.Certificate, &pair.Key) || pair.Certificate == "" || pair.Key == "" {
			return d.Err("client_certificate takes two arguments: the path of the certificate and that of its key")
		}
		c.ClientCertificate = pair
		return nil
	},
}

// parseDurationOrOff reads off as a negative duration.
func parseDurationOrOff(d *caddyfile.Dispenser, option *caddy.Duration, check func(time.Duration) error) error {
	if d.CountRemainingArgs() == 1 && d.NextArg() {
		if d.Val() == config.Off {
			*option = -1
			return nil
		}
		d.Prev()
	}
	return parseCheckedDuration(d, option, check)
}

func parseDuration(d *caddyfile.Dispenser, option *caddy.Duration) error {
	return parseCheckedDuration(d, option, config.CheckDuration)
}

func parseCheckedDuration(d *caddyfile.Dispenser, option *caddy.Duration, check func(time.Duration) error) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s takes one argument: a duration such as 90s, 1h30m and 7d", name)
	}
	duration, err := caddy.ParseDuration(text)
	if err != nil {
		return d.Errf("%s: %q is not a duration; write one such as 90s, 1h30m and 7d", name, text)
	}
	if err := check(duration); err != nil {
		return d.Errf("%s: %v", name, err)
	}
	*option = caddy.Duration(duration)
	return nil
}

func parseNumber(d *caddyfile.Dispenser, option *int) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s takes one argument: a number", name)
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return d.Errf("%s: %q is not a number", name, text)
	}
	*option = number
	return wrapped(d, config.CheckNumber(name, number))
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

func parseSwitch(d *caddyfile.Dispenser, value *string) error {
	option := d.Val()
	if !d.AllArgs(value) {
		return d.Errf("%s takes one argument: on or off", option)
	}
	if err := config.CheckSwitch(option, *value); err != nil {
		return d.WrapErr(err)
	}
	return nil
}
