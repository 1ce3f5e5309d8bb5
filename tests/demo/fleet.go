package main

import (
	"context"
	"fmt"
	"os"
)

// makeFleetKey makes the key that what both nodes share is sealed with.
func (d *demo) makeFleetKey(ctx context.Context) error {
	if err := os.Mkdir(d.path("shared"), 0o700); err != nil {
		return err
	}
	return d.command(ctx, "keygen", d.path("fleet.key"))
}

// secondNode starts another Caddy with the same Caddyfile and folders of its own, which has never seen the backend.
func (d *demo) secondNode(ctx context.Context, names []string) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	second := *d
	second.nodeName, second.httpsPort, second.adminPort = "second", ports[0], ports[1]
	if err := os.Mkdir(d.path(second.nodeName), 0o700); err != nil {
		return err
	}
	heading("A second Caddy starts, empty, while the backend is stopped: it has what the first was sent from their storage")
	if err := second.startFront(ctx); err != nil {
		return err
	}
	defer second.front.stop()
	if err := second.handshakes(ctx, expectation{requests: 0}, names...); err != nil {
		return err
	}
	fmt.Println("  The records in", d.path("shared"), "are sealed: neither a key nor a name is in clear there.")
	return nil
}
