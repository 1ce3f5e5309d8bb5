package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// leakedKey replaces a certificate at the backend, and then wherever it is cached. Until the purge the old one is
// served, as its lifetime allows.
func (d *demo) leakedKey(ctx context.Context, name string) error {
	fmt.Printf("\nThe key of %s has leaked. What the cache holds of it:\n", name)
	if err := d.command(ctx, "inspect", name); err != nil {
		return err
	}
	serial, err := d.writeBundle(name, testca.P256)
	if err != nil {
		return err
	}
	heading("The backend has a new certificate, serial " + serial + ", which the cache does not know of yet")
	if err := d.handshakes(ctx, expectation{requests: 0}, name); err != nil {
		return err
	}
	fmt.Println()
	if err := d.command(ctx, "purge", name); err != nil {
		return err
	}
	heading("The next handshake has the new one")
	if err := d.handshakes(ctx, expectation{requests: 1, serial: serial}, name); err != nil {
		return err
	}
	return d.handshakes(ctx, expectation{requests: 0, serial: serial}, name)
}

// newCustomers is how many of them are fetched before they come.
const newCustomers = 50

// prefetch fills the cache with names that nobody has asked for. Browsers are asked for, and until the backend has shown that
// it has ECDSA certificates only, old clients too.
func (d *demo) prefetch(ctx context.Context) error {
	fmt.Printf("\n%d new customers go live: their certificates are fetched before they come\n", newCustomers)
	var names []string
	for number := range newCustomers {
		name := fmt.Sprintf("customer-%d.example", number+1)
		if _, err := d.writeBundle(name, testca.P256); err != nil {
			return err
		}
		names = append(names, name)
	}
	list := d.path("customers.txt")
	if err := os.WriteFile(list, []byte(strings.Join(names, "\n")), 0o600); err != nil {
		return err
	}
	before := d.requests
	if err := d.command(ctx, "prefetch", list); err != nil {
		return err
	}
	d.settleRequests(before + 2*newCustomers) // as many as it may be
	if cost := d.requests - before; cost < newCustomers || cost > 2*newCustomers {
		return fmt.Errorf("the prefetch cost %d backend requests instead of %d to %d", cost, newCustomers, 2*newCustomers)
	}
	heading("Their first handshakes: answered from memory")
	return d.handshakes(ctx, expectation{requests: 0}, names[0], names[newCustomers-1])
}

// command runs `caddy cached-http` as an operator would, and shows what it says.
func (d *demo) command(ctx context.Context, arguments ...string) error {
	fmt.Printf("  $ caddy cached-http %s\n", strings.Join(arguments, " "))
	command := exec.CommandContext(ctx, d.caddy, append([]string{"cached-http", "--address", loopback(d.adminPort)}, arguments...)...)
	command.Env = d.environment()
	output, err := command.CombinedOutput()
	for line := range strings.Lines(string(output)) {
		fmt.Print("  ", line)
	}
	if err != nil {
		return fmt.Errorf("caddy cached-http %s: %w", arguments[0], err)
	}
	return nil
}
