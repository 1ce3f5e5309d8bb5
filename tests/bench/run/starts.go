package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cached-http/caddy-cached-http/tests/bench/bundles"
)

// starts times cached_http from its start to its first handshake, with a full cache_dir and with an empty one in
// turn. With the full one the handshake has to be served from its file.
func (b *bench) starts(ctx context.Context) error {
	origin, err := b.startOrigin(ctx, bundles.ECDSAP256, 1)
	if err != nil {
		return err
	}
	defer origin.stop()
	for _, files := range []int{b.plan.files / 100, b.plan.files / 10, b.plan.files} {
		if err := b.startsWith(ctx, origin, files, files == b.plan.files); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) startsWith(ctx context.Context, origin *origin, files int, judged bool) error {
	full, err := b.writeEntries(origin.url(false), files)
	if err != nil {
		return err
	}
	defer os.RemoveAll(full)
	var fullTimes, emptyTimes sample
	for range b.plan.starts {
		before, err := origin.requests()
		if err != nil {
			return err
		}
		took, err := b.startWith(ctx, origin, full)
		if err != nil {
			return err
		}
		fullTimes = append(fullTimes, took)
		after, err := origin.requests()
		if err != nil {
			return err
		}
		if after != before {
			return errors.New("the first name was not served from its file: is run/entry_files.go out of date?")
		}
		empty, err := os.MkdirTemp(b.folder, "cache-")
		if err != nil {
			return err
		}
		if took, err = b.startWith(ctx, origin, empty); err != nil {
			return err
		}
		emptyTimes = append(emptyTimes, took)
	}
	b.points = append(b.points, point{"start to first handshake, ms", cachedHTTP, files, fullTimes.median()})
	if judged {
		b.add(ratioRow(fmt.Sprintf("start to first handshake, %s files, against an empty cache_dir", thousands(float64(files))),
			fullTimes.over(emptyTimes), atMost(1.2),
			fmt.Sprintf("%.0f ms against %.0f ms", fullTimes.median(), emptyTimes.median())))
	}
	return nil
}

// startWith is the time to the first handshake, in milliseconds.
func (b *bench) startWith(ctx context.Context, origin *origin, directory string) (float64, error) {
	server, took, err := b.start(ctx, setting{
		name: cachedHTTP, url: origin.url(false), options: []string{"cache_dir " + directory},
	})
	if err != nil {
		return 0, err
	}
	server.stop()
	return float64(took) / float64(time.Millisecond), nil
}
