package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// handshakeRow says what one kind of handshake is to cost, as ratios to the other variants. One name is asked
// for by one connection at a time: certmagic lets handshakes of a name that come together share what the first
// gets, and stock would do less than it does for names in turn.
type handshakeRow struct {
	title    string
	kind     bundles.Kind
	names    int
	parallel int
	targets  map[string]bound
}

// handshakeRows has targets for the machine at hand, since the signature is most of what an RSA handshake costs.
func handshakeRows(hasIFMA bool) []handshakeRow {
	rsa := map[string]bound{static: atMost(0.60), pureGo: atMost(0.60), stock: atMost(0.48)}
	if !hasIFMA {
		rsa = map[string]bound{static: atMost(0.80), pureGo: atMost(0.80), stock: atMost(0.65)}
	}
	ecdsa := map[string]bound{static: atMost(1.03), pureGo: atMost(0.99), stock: atMost(0.66)}
	return []handshakeRow{
		{"RSA-2048, one name", bundles.RSA2048, 1, 1, rsa},
		{"ECDSA P-256, 1,000 names", bundles.ECDSAP256, ecdsaNames, 8, ecdsa},
	}
}

func (h handshakeRow) load(duration time.Duration) load {
	return load{names: h.names, parallel: h.parallel, duration: duration}
}

// handshakes has all variants up at once and under load one after the other, in a new order each round.
func (b *bench) handshakes(ctx context.Context, wanted handshakeRow) error {
	origin, err := b.startOrigin(ctx, wanted.kind, wanted.names)
	if err != nil {
		return err
	}
	defer origin.stop()
	servers, err := b.startAll(ctx, wanted, origin)
	for _, server := range servers {
		defer server.stop()
	}
	if err != nil {
		return err
	}
	for _, server := range servers {
		for _, warming := range []load{each(0, wanted.names), wanted.load(b.plan.round / 2)} {
			if _, err := b.run(ctx, server, warming); err != nil {
				return err
			}
		}
	}
	costs := make(map[string]sample)
	var backendCost sample
	for round := range b.plan.rounds {
		for turn := range servers {
			server := servers[(turn+round)%len(servers)]
			cost, backend, err := b.warmRound(ctx, server, origin, wanted.load(b.plan.round))
			if err != nil {
				return err
			}
			costs[server.name] = append(costs[server.name], cost)
			if server.name == stock {
				backendCost = append(backendCost, backend)
			}
		}
	}
	b.reportHandshakes(wanted, costs, backendCost)
	return b.profiles(ctx, servers, wanted)
}

func (b *bench) startAll(ctx context.Context, wanted handshakeRow, origin *origin) ([]*variant, error) {
	folder, err := b.writeBundles(wanted.kind, wanted.names)
	if err != nil {
		return nil, err
	}
	var servers []*variant
	for _, name := range b.variants {
		server, _, err := b.start(ctx, setting{name: name, url: origin.url(false), bundles: folder})
		if err != nil {
			return servers, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// writeBundles makes the folder that the static variant loads.
func (b *bench) writeBundles(kind bundles.Kind, names int) (string, error) {
	issuer, err := bundles.NewIssuer(kind)
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(b.folder, "bundles-")
	if err != nil {
		return "", err
	}
	return folder, issuer.Each(0, names, func(n int, bundle []byte) error {
		return os.WriteFile(filepath.Join(folder, bundles.Name(n)+".pem"), bundle, 0o600)
	})
}

// warmRound is one variant's turn: microseconds of its CPU, and of the backend's, for one handshake. It is an
// error if a cache asked the backend, or the stock getter didn't: then something else was measured.
func (b *bench) warmRound(ctx context.Context, server *variant, origin *origin, load load) (cost, backend float64, err error) {
	requestsBefore, err := origin.requests()
	if err != nil {
		return 0, 0, err
	}
	backendBefore, err := origin.cpu()
	if err != nil {
		return 0, 0, err
	}
	result, err := b.run(ctx, server, load)
	if err != nil {
		return 0, 0, err
	}
	backendAfter, err := origin.cpu()
	if err != nil {
		return 0, 0, err
	}
	requests, err := origin.requests()
	requests -= requestsBefore
	switch {
	case err != nil:
	case server.name != stock && requests > 0:
		err = fmt.Errorf("%s asked the backend %d times for names it should have", server.name, requests)
	case server.name == stock && requests < result.handshakes*9/10:
		err = fmt.Errorf("%s asked the backend only %d times in %d handshakes", server.name, requests, result.handshakes)
	}
	backend = float64((backendAfter - backendBefore).Nanoseconds()) / 1e3 / float64(result.handshakes)
	return result.perHandshake(), backend, err
}

func (b *bench) reportHandshakes(wanted handshakeRow, costs map[string]sample, backendCost sample) {
	ours := costs[cachedHTTP]
	for _, name := range b.variants {
		low, high := costs[name].spread()
		text := fmt.Sprintf("%s us (%s to %s)", thousands(costs[name].median()), thousands(low), thousands(high))
		if name == stock {
			text += fmt.Sprintf(", and %s us of the backend's", thousands(backendCost.median()))
		}
		b.add(informationRow("server CPU per handshake, "+wanted.title+", "+name, text))
		b.chart = append(b.chart, bar{wanted.title, name, costs[name].median()})
		if target, found := wanted.targets[name]; found && len(ours) > 0 {
			note := fmt.Sprintf("%s us against %s us", thousands(ours.median()), thousands(costs[name].median()))
			if name == stock {
				note += "; the server's CPU alone"
			}
			b.add(ratioRow("CPU per handshake, "+wanted.title+", against "+name, ours.over(costs[name]), target, note))
		}
	}
	if pure := costs[pureGo]; len(ours) == 0 && len(pure) > 0 {
		for _, name := range []string{static, stock} {
			ratios := sample(pure.over(costs[name]))
			b.add(informationRow("the pure Go cache, "+wanted.title+", against "+name, plain(ratios.median())))
		}
	}
}

// profiles writes where the time goes, function by function, after the rounds and only in full runs.
func (b *bench) profiles(ctx context.Context, servers []*variant, wanted handshakeRow) error {
	if !b.plan.fullCommand {
		return nil
	}
	for _, server := range servers {
		done := make(chan error, 1)
		go func() { done <- b.profile(ctx, server, string(wanted.kind)) }()
		_, err := b.run(ctx, server, wanted.load(7*time.Second))
		if profileError := <-done; err == nil {
			err = profileError
		}
		if err != nil {
			return err
		}
	}
	return nil
}
