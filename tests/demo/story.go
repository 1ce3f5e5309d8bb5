package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// demoNames have a bundle at the backend; the last one is what a browser sends for bücher.example.
var demoNames = []struct {
	name      string
	algorithm testca.Algorithm
}{
	{"shop.example", testca.P256},
	{"www.shop.example", testca.P256},
	{"mail.example", testca.RSA2048},
	{"wiki.example", testca.RSA2048},
	{"xn--bcher-kva.example", testca.P256},
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

	if err := d.storm(ctx, names); err != nil {
		return err
	}

	if err := d.leakedKey(ctx, names[0]); err != nil {
		return err
	}
	if err := d.prefetch(ctx); err != nil {
		return err
	}

	heading("The backend is stopped: known names are served all the same")
	d.backend.stop()
	if err := d.handshakes(ctx, expectation{requests: 0}, names...); err != nil {
		return err
	}
	if err := d.secondNode(ctx, names); err != nil {
		return err
	}
	if err := d.outage(ctx, names); err != nil {
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
	if err := d.writeAuthority(d.path("ca.pem")); err != nil {
		return nil, err
	}
	var names []string
	for _, site := range demoNames {
		if _, err := d.writeBundle(site.name, site.algorithm); err != nil {
			return nil, err
		}
		names = append(names, site.name)
	}
	if err := d.makeFleetKey(ctx); err != nil {
		return nil, err
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

// madeUpNames is how many names the demo's scanner thinks of.
const madeUpNames = 300

// storm is a scanner that asks for names that nobody has, while customers come to those that somebody has.
func (d *demo) storm(ctx context.Context, names []string) error {
	fmt.Printf("\nA scanner makes up %d names, eight at a time, while customers come\n", madeUpNames)
	before := d.requests
	var scanner sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		scanner.Go(func() {
			for n := next.Add(1); n <= madeUpNames && ctx.Err() == nil; n = next.Add(1) {
				_, _, _ = d.handshake(ctx, fmt.Sprintf("made-up-%d.example", n))
			}
		})
	}
	served, slowest := 0, time.Duration(0)
	for next.Load() < madeUpNames && ctx.Err() == nil {
		_, took, err := d.handshake(ctx, names[served%len(names)])
		if err != nil {
			return fmt.Errorf("a customer of %s was not served in the storm: %w", names[served%len(names)], err)
		}
		served++
		slowest = max(slowest, took)
	}
	scanner.Wait()
	d.settleRequests(before + madeUpNames)
	fmt.Printf("  all %d handshakes of customers succeeded, the slowest in %.1f ms; the backend was asked %d times,\n",
		served, slowest.Seconds()*1000, d.requests-before)
	fmt.Println("  once for each name made up; it will not be for the next minute, however often they come back")
	if d.requests-before != madeUpNames {
		return fmt.Errorf("the storm cost %d backend requests instead of %d", d.requests-before, madeUpNames)
	}
	return d.handshakes(ctx, expectation{refused: true, requests: 0}, "made-up-1.example")
}

// outage goes on for longer than the certificates may be used without asking: a reload pins that to a second.
func (d *demo) outage(ctx context.Context, names []string) error {
	heading("The outage goes on, past what the backend allowed (a reload pins the lifetime to 1 s): served still")
	shortLived, err := d.changedCaddyfile("short-lived.Caddyfile", "cached_http $1 {\n\t\t\tttl 1s\n\t\t\tcache_dir {$$FRONT_FOLDER}/cache\n\t\t}")
	if err != nil {
		return err
	}
	if err := reloadCaddy(ctx, d.caddy, shortLived, d.adminPort, d.environment()); err != nil {
		return err
	}
	time.Sleep(time.Second)
	return d.handshakes(ctx, expectation{requests: 0}, append(names, names...)...)
}

// rollBackAndForth swaps the one word in the Caddyfile, and swaps it back.
func (d *demo) rollBackAndForth(ctx context.Context, name string) error {
	heading("Roll-back, backend up again: the same binary with \"http\" for \"cached_http\" asks each time")
	if err := d.startBackend(ctx); err != nil {
		return err
	}
	stock, err := d.changedCaddyfile("rolled-back.Caddyfile", "http $1")
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

// checkLog looks for what must never be in a front's log: PEM text, and an order from a certificate authority.
func (d *demo) checkLog() error {
	for _, name := range []string{"front.log", "second.log"} {
		log, err := os.ReadFile(d.path(name))
		if err != nil {
			return err
		}
		if found := unwelcomeInLog.Find(log); found != nil {
			return fmt.Errorf("%s has %q in it", name, found)
		}
	}
	return nil
}
