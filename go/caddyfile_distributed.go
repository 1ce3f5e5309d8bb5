package cachedhttp

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/cached-http/caddy-cached-http/go/internal/config"
)

const distributedOptionNames = "encryption_key, storage, read_interval, timeout and max_concurrent"

// parseDistributed reads the block of distributed, whose options may each stand once.
func parseDistributed(d *caddyfile.Dispenser) (*config.Distributed, error) {
	if d.NextArg() {
		return nil, d.Err("distributed takes no argument but a block")
	}
	distributed, seen := new(config.Distributed), make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] {
			return nil, d.Errf("distributed: option %s is repeated", option)
		}
		seen[option] = true
		parse, known := distributedOptions[option]
		if !known {
			return nil, d.Errf("distributed: unknown option %q; the options are %s", option, distributedOptionNames)
		}
		if err := parse(distributed, d); err != nil {
			return nil, err
		}
		if option != "storage" && d.NextBlock(nesting+1) {
			return nil, d.Errf("distributed: option %s has no block", option)
		}
	}
	if err := config.CheckDistributed(distributed); err != nil {
		return nil, d.WrapErr(err)
	}
	return distributed, nil
}

var distributedOptions = map[string]func(*config.Distributed, *caddyfile.Dispenser) error{
	"encryption_key": func(c *config.Distributed, d *caddyfile.Dispenser) error {
		if c.EncryptionKeys = d.RemainingArgs(); len(c.EncryptionKeys) == 0 {
			return d.Err("distributed: encryption_key takes the paths of key files: the first seals, all open")
		}
		return nil
	},
	"storage": func(c *config.Distributed, d *caddyfile.Dispenser) error {
		if !d.NextArg() {
			return d.Err("distributed: storage takes the name of a Caddy storage, and its options")
		}
		name := d.Val()
		module, err := caddyfile.UnmarshalModule(d, "caddy.storage."+name)
		if err != nil {
			return err
		}
		storage, isStorage := module.(caddy.StorageConverter)
		if !isStorage {
			return d.Errf("distributed: caddy.storage.%s is no storage", name)
		}
		c.StorageRaw = caddyconfig.JSONModuleObject(storage, "module", name, nil)
		return nil
	},
	"read_interval": func(c *config.Distributed, d *caddyfile.Dispenser) error {
		return parseDuration(d, &c.ReadInterval)
	},
	"timeout": func(c *config.Distributed, d *caddyfile.Dispenser) error {
		return parseDuration(d, &c.Timeout)
	},
	"max_concurrent": func(c *config.Distributed, d *caddyfile.Dispenser) error {
		return parseNumber(d, &c.MaxConcurrent)
	},
}
