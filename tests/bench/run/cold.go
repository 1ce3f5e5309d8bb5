package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// coldClients is how many handshakes wait for the backend at a time.
const coldClients = 256

// cold counts how many names a second the caches take in that they have never seen, with a backend that answers
// at once and with one that takes its time. Names are new in each round; variants see the same ones.
func (b *bench) cold(ctx context.Context, slow bool) error {
	plan := b.plan
	origin, err := b.startOrigin(ctx, bundles.ECDSAP256, plan.names())
	if err != nil {
		return err
	}
	defer origin.stop()
	var servers []*variant
	for _, name := range b.caches() {
		server, _, err := b.start(ctx, setting{
			name: name, url: origin.url(slow), waitName: bundles.Name(plan.names() - 1),
			options: []string{"max_memory 4GiB", fmt.Sprintf("max_concurrent_fetches %d", coldClients)},
		})
		if err != nil {
			return err
		}
		defer server.stop()
		servers = append(servers, server)
	}
	rates := make(map[string]sample)
	for round := range plan.coldRounds + 1 {
		for turn := range servers {
			server := servers[(turn+round)%len(servers)]
			result, err := b.run(ctx, server, load{
				first: round * plan.coldNames, names: plan.coldNames, count: plan.coldNames,
				parallel: coldClients, duration: time.Minute,
			})
			if err != nil {
				return err
			}
			if round > 0 { // the first only warms up
				rates[server.name] = append(rates[server.name], float64(result.handshakes)/result.seconds)
			}
		}
	}
	title, target := "cold misses per second", atLeast(1)
	if slow {
		title, target = "cold misses per second, backend takes 50 ms", atLeast(0.95)
	}
	for _, name := range b.caches() {
		low, high := rates[name].spread()
		b.add(informationRow(title+", "+name,
			fmt.Sprintf("%s (%s to %s)", thousands(rates[name].median()), thousands(low), thousands(high))))
	}
	if ours, pure := rates[cachedHTTP], rates[pureGo]; len(ours) > 0 && len(pure) > 0 {
		b.add(ratioRow(title+", against "+pureGo, ours.over(pure), target,
			fmt.Sprintf("%s against %s; %d clients, max_concurrent_fetches %d; client and backend on the same cores",
				thousands(ours.median()), thousands(pure.median()), coldClients, coldClients)))
	}
	return nil
}
