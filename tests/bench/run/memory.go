package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// growth is what one variant's memory grew by, in bytes per certificate, at each size.
type growth struct {
	idle      map[int]float64 // as the process stands: with Go, this depends on when it last collected
	collected map[int]float64 // once Go has collected, which is what the target is judged by

	underTraffic int64 // of all together, after handshakes for them in turn
}

// memory asks each variant for more and more names once, and reads its memory and its cost per handshake at
// each size.
func (b *bench) memory(ctx context.Context) error {
	origin, err := b.startOrigin(ctx, bundles.ECDSAP256, b.plan.names())
	if err != nil {
		return err
	}
	defer origin.stop()
	grown := make(map[string]growth)
	for _, name := range b.caches() {
		if grown[name], err = b.growth(ctx, name, origin); err != nil {
			return err
		}
	}
	size := b.plan.memorySize
	for _, name := range b.caches() {
		growth := grown[name]
		b.add(informationRow(fmt.Sprintf("RSS per certificate, %s names, %s", thousands(float64(size)), name),
			fmt.Sprintf("%s bytes; %s before Go was made to collect; %s once names are asked for again and again",
				thousands(growth.collected[size]), thousands(growth.idle[size]), thousands(float64(growth.underTraffic)/float64(size)))))
	}
	ours, found := grown[cachedHTTP]
	pure, both := grown[pureGo]
	if found && both {
		ratio := ours.collected[size] / pure.collected[size]
		b.add(ratioRow(fmt.Sprintf("RSS per certificate, %s ECDSA names, against %s", thousands(float64(size)), pureGo),
			sample{ratio}, atMost(1.0/6), fmt.Sprintf("%s against %s bytes", thousands(ours.collected[size]), thousands(pure.collected[size]))))
	}
	return nil
}

func (b *bench) growth(ctx context.Context, name string, origin *origin) (growth, error) {
	growth := growth{idle: make(map[int]float64), collected: make(map[int]float64)}
	// The name that is asked first stands after those that are counted.
	extra := b.plan.names() - 1
	server, _, err := b.start(ctx, setting{
		name: name, url: origin.url(false), waitName: bundles.Name(extra),
		options: []string{"max_memory 4GiB"},
	})
	if err != nil {
		return growth, err
	}
	defer server.stop()
	// What handshakes need as such, threads and buffers, belongs to no certificate.
	if _, err := b.run(ctx, server, load{first: extra, names: 1, count: 1000, parallel: 8, duration: time.Minute}); err != nil {
		return growth, err
	}
	baseIdle, baseCollected, err := b.residence(server)
	if err != nil {
		return growth, err
	}
	held := 0
	for _, size := range b.plan.sizes {
		if _, err := b.run(ctx, server, each(held, size-held)); err != nil {
			return growth, err
		}
		held = size
		idle, collected, err := b.residence(server)
		if err != nil {
			return growth, err
		}
		growth.idle[size] = float64(idle-baseIdle) / float64(size)
		growth.collected[size] = float64(collected-baseCollected) / float64(size)
		b.points = append(b.points, point{"RSS per certificate, bytes", name, size, growth.collected[size]})
	}
	// Only now are names asked for again: those under traffic take more, in a tier bounded by their number.
	for _, size := range b.plan.sizes {
		cost, _, err := b.warmRound(ctx, server, origin, inTurn(size, b.plan.sizeRound))
		if err != nil {
			return growth, err
		}
		b.points = append(b.points, point{"server CPU per handshake, us", name, size, cost})
	}
	if _, growth.underTraffic, err = b.residence(server); err != nil {
		return growth, err
	}
	growth.underTraffic -= baseCollected
	return growth, nil
}

// residence is the resident memory once the process has had time to give some back, and once Go has collected.
func (b *bench) residence(server *variant) (idle, collected int64, err error) {
	time.Sleep(b.plan.idle)
	if idle, err = server.residentBytes(); err != nil {
		return 0, 0, err
	}
	if err = server.collectGarbage(); err != nil {
		return 0, 0, err
	}
	time.Sleep(b.plan.idle)
	collected, err = server.residentBytes()
	return idle, collected, err
}
