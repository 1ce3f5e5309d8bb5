package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// demoNames have a bundle at the backend; the last one is what a browser sends for bücher.example.
var demoNames = []struct {
	name   string
	useRSA bool
}{
	{"shop.example", false},
	{"www.shop.example", false},
	{"mail.example", true},
	{"wiki.example", true},
	{"xn--bcher-kva.example", false},
}

// story is the demo, step by step; it ends at the first handshake that is not as promised.
func (d *demo) story(ctx context.Context) error {
	names, err := d.setTheStage(ctx)
	if err != nil {
		return err
	}

	heading("First handshake of each name: the backend is asked once")
	if err := d.handshakes(ctx, expectation{requests: 1}, names...); err != nil {
		return err
	}
	heading("Second handshake: answered from memory")
	if err := d.handshakes(ctx, expectation{requests: 0}, names...); err != nil {
		return err
	}

	heading("A name the backend has no bundle for: asked once, refused twice")
	if err := d.handshakes(ctx, expectation{refused: true, requests: 1}, "unknown.example"); err != nil {
		return err
	}
	if err := d.handshakes(ctx, expectation{refused: true, requests: 0}, "unknown.example"); err != nil {
		return err
	}

	heading("The backend is stopped: known names are served all the same")
	d.backend.stop()
	if err := d.handshakes(ctx, expectation{requests: 0}, names...); err != nil {
		return err
	}
	heading("Caddy is restarted, the backend still stopped: warm from the disk")
	d.front.stop()
	if err := d.startFront(ctx); err != nil {
		return err
	}
	if err := d.handshakes(ctx, expectation{requests: 0}, names...); err != nil {
		return err
	}

	if err := d.rollBackAndForth(ctx, names[0]); err != nil {
		return err
	}
	if err := d.checkLog(); err != nil {
		return err
	}
	fmt.Println("\nAll as promised. No certificate was ordered from anybody, and no key or PEM text is in the log.")
	return nil
}

// setTheStage makes the bundles, starts both servers and returns the names.
func (d *demo) setTheStage(ctx context.Context) ([]string, error) {
	for _, folder := range []string{"bundles", "front"} {
		if err := os.Mkdir(d.path(folder), 0o700); err != nil {
			return nil, err
		}
	}
	if err := d.authority.writeCertificate(d.path("ca.pem")); err != nil {
		return nil, err
	}
	var names []string
	for _, site := range demoNames {
		if err := d.authority.writeBundle(d.path("bundles"), site.name, site.useRSA); err != nil {
			return nil, err
		}
		names = append(names, site.name)
	}
	if err := d.startBackend(ctx); err != nil {
		return nil, err
	}
	if err := d.startFront(ctx); err != nil {
		return nil, err
	}
	fmt.Printf("Backend: a Caddy that serves PEM bundles from a folder (%s)\n", filepath.Join(d.files, "backend.Caddyfile"))
	fmt.Printf("Front:   a Caddy with get_certificate cached_http      (%s)\n", filepath.Join(d.files, "front.Caddyfile"))
	fmt.Println("Each row is one full TLS handshake, what it asked of the backend, and the backend's requests so far.")
	return names, nil
}

// rollBackAndForth swaps the one word in the Caddyfile, and swaps it back.
func (d *demo) rollBackAndForth(ctx context.Context, name string) error {
	heading("Roll-back, backend up again: the same binary with \"http\" for \"cached_http\" asks each time")
	if err := d.startBackend(ctx); err != nil {
		return err
	}
	stock, err := d.rolledBackCaddyfile()
	if err != nil {
		return err
	}
	if err := reloadCaddy(ctx, d.caddy, stock, d.adminPort, d.environment()); err != nil {
		return err
	}
	if err := d.handshakes(ctx, expectation{requests: 1}, name, name, name); err != nil {
		return err
	}

	heading("And \"cached_http\" again: what is on the disk is still good")
	ours := filepath.Join(d.files, "front.Caddyfile")
	if err := reloadCaddy(ctx, d.caddy, ours, d.adminPort, d.environment()); err != nil {
		return err
	}
	return d.handshakes(ctx, expectation{requests: 0}, name, name)
}

var unwelcomeInLog = regexp.MustCompile(`-----BEGIN|obtaining certificate|127\.0\.0\.1:1/directory`)

// checkLog looks for what must never be in the front's log: PEM text, and an order from a certificate authority.
func (d *demo) checkLog() error {
	log, err := os.ReadFile(d.path("front.log"))
	if err != nil {
		return err
	}
	if found := unwelcomeInLog.Find(log); found != nil {
		return fmt.Errorf("the front's log has %q in it", found)
	}
	return nil
}
